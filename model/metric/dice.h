/* Dice overlap per structure (Dice 1945): 2 |A and B| / (|A| + |B|), accumulated as counts so that
 * slices of one patient, seen by several ranks, add up before the ratio is taken. */
#ifndef CTAUG_MODEL_METRIC_DICE_H
#define CTAUG_MODEL_METRIC_DICE_H

#include <stdint.h>

enum { DICE_LABELS = 32 };

typedef struct dice_counts {
    int64_t both[DICE_LABELS], truth[DICE_LABELS], predicted[DICE_LABELS];
} dice_counts;

/* Labels must be below DICE_LABELS; larger ones are counted nowhere. */
void dice_add(dice_counts *d, const uint8_t *truth, const uint8_t *predicted, int64_t n);

/* Dice of a label; NAN when it occurs in neither (the patient does not count for this structure).
 */
double dice_of(const dice_counts *d, int label);

#endif
