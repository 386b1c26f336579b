/* Dice coefficient per structure (Dice 1945): 2 |A and B| / (|A| + |B|). It is accumulated as
 * counts, so that the slices of one patient can be evaluated on several ranks and the counts added
 * before the ratio is taken. */
#ifndef CTAUG_MODEL_METRIC_DICE_H
#define CTAUG_MODEL_METRIC_DICE_H

#include <stdint.h>

/* Every value of a u8 label: background and 255 structures. */
enum { DICE_LABELS = 256 };

/* Voxels per label: in both segmentations, in the true one and in the predicted one. */
typedef struct dice_counts {
    int64_t both[DICE_LABELS], truth[DICE_LABELS], predicted[DICE_LABELS];
} dice_counts;

/* Adds the counts of n voxels. Local. */
void dice_add(dice_counts *d, const uint8_t *truth, const uint8_t *predicted, int64_t n);

/* Dice coefficient of a label; NAN if the label occurs in neither segmentation (the patient is then
 * left out for this structure). Local. */
double dice_of(const dice_counts *d, int label);

#endif
