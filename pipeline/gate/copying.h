/* Whether synthetic slices copy training slices (model/metric/copies.h), measured on the embedding.
 *
 * A synthetic slice counts as a copy if its ratio is below a bound, which slices that copy nobody
 * reach in COPY_RATE of the cases. The bound is the smaller quantile of two kinds of such slices:
 * control slices (pipeline/gate/control.h), compared with the sides exchanged; and real held-out
 * slices, compared with the training patients and the other held-out ones.
 *
 * Synthetic slices of one label map resemble each other. Rates are therefore means over the
 * patients whose maps they have (over volumes if the store does not record them), and the intervals
 * are 95 % bootstrap intervals over these.
 */
#ifndef CTAUG_PIPELINE_GATE_COPYING_H
#define CTAUG_PIPELINE_GATE_COPYING_H

#include "pipeline/common/denoiser.h"
#include "pipeline/gate/sets.h"

enum { COPY_PAIRS = 10 };

/* A synthetic slice and the nearest training slice. */
typedef struct copy_pair {
    int64_t made;                            /* number of the slice in gate_sets.made */
    int64_t training;                        /* number in gate_sets.reference */
    int64_t training_volume, training_slice; /* in the real store */
    double distance;                         /* between their vectors, 0..2 */
    double distance_held;                    /* to the nearest slice of all held-out patients */
    bool source; /* the training patient is the one whose label map was deformed */
} copy_pair;

typedef struct copying {
    int64_t n, volumes, clusters; /* synthetic slices, volumes, units that are resampled */
    int64_t control_n, real_n;    /* control slices, real held-out slices */
    int64_t drawn;                /* patients on each side of a ratio */
    double bound;                 /* of the ratio */
    double control_bound, real_bound;
    double expected;                        /* COPY_RATE */
    double rate, low, high;                 /* copy rate of the synthetic slices */
    double excess, excess_low, excess_high; /* rate - expected */
    copy_pair pairs[COPY_PAIRS];            /* the closest ones, nearest first */
    int64_t pair_count;
} copying;

/* Measures with a trained embedding. `base`: as for control_sample(). Valid on rank 0. Collective.
 */
status copying_measure(const stage_context *stage, const gate_sets *g, denoiser *d, embedding *e,
                       int64_t base, copying *out);

#endif
