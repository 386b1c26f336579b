/* Which slices the batches of a training take: a fixed share of synthetic ones in each batch, and
 * real ones alone in the last steps. The training of the diffusion model mixes in slices of
 * unlabelled patients instead of synthetic ones. */
#ifndef CTAUG_PIPELINE_DATA_MIXTURE_H
#define CTAUG_PIPELINE_DATA_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mixture {
    int64_t batch;     /* slices of a step, at least 1 */
    int64_t synthetic; /* of them synthetic, 0..batch, in the steps before `real_from` */
    int64_t real_from; /* first step, from 0, whose batch is real alone */
} mixture;

/* The mixture for `share` (0..1) of synthetic slices, rounded to whole slices of a batch, and the
 * part `real_only_last` (0..1) of all steps, rounded to whole steps. share 0: real slices alone. */
mixture mixture_of(int64_t batch, int64_t steps, double share, double real_only_last);

/* Slot `slot` (0, 1, 2, ... over all steps) of the training: whether it takes a synthetic slice,
 * and in *draw the number of slots before it that take the same kind. The synthetic slots are
 * spread evenly over a batch, so that ranks have equal work. */
bool mixture_at(const mixture *m, int64_t slot, int64_t *draw);

#endif
