/* Dice of single lesions by their size: a mean over structures hides that small ones are missed. */
#ifndef CTAUG_PIPELINE_EVALUATE_LESIONS_H
#define CTAUG_PIPELINE_EVALUATE_LESIONS_H

#include "pipeline/evaluate/results.h"

typedef struct lesion_sums {
    double dice, count; /* over lesions */
} lesion_sums;

/* Adds the lesions of `label` in truth[shape], u8 z y x with `spacing` mm, to sums[LESION_SIZES]. A
 * lesion is a connected component; its Dice is that of its voxels against all predicted components
 * that touch it, 0 if none does. Local. */
status lesions_score(const uint8_t *truth, const uint8_t *predicted, const int64_t shape[3],
                     const double spacing[3], int label, lesion_sums sums[LESION_SIZES]);

#endif
