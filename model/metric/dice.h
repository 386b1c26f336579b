/* Dice overlap per structure (Dice 1945): 2 |A and B| / (|A| + |B|), accumulated as counts so that
 * slices of one patient, seen by several ranks, add up before the ratio is taken. */
#ifndef CTAUG_MODEL_METRIC_DICE_H
#define CTAUG_MODEL_METRIC_DICE_H

#include <stdint.h>

/* Every value of a u8 label: background and 255 structures. */
enum { DICE_LABELS = 256 };

typedef struct dice_counts {
    int64_t both[DICE_LABELS], truth[DICE_LABELS], predicted[DICE_LABELS];
} dice_counts;

/* Adds the counts of n voxels. Local. */
void dice_add(dice_counts *d, const uint8_t *truth, const uint8_t *predicted, int64_t n);

/* Dice of a label; NAN when it occurs in neither (the patient does not count for this structure).
 */
double dice_of(const dice_counts *d, int label);

#endif
