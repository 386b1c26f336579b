/* The inside of a trainer, for pipeline/trainer/trainer.c (the step) and
 * pipeline/trainer/trainer_state.c (what is kept between runs). */
#ifndef CTAUG_PIPELINE_TRAINER_TRAINER_DETAIL_H
#define CTAUG_PIPELINE_TRAINER_TRAINER_DETAIL_H

#include "model/loss_scale.h"
#include "model/sum.h"
#include "pipeline/trainer/reduction.h"
#include "pipeline/trainer/trainer.h"

struct trainer {
    const comm *comm;
    trainer_settings set;
    params *params;
    reduction *reduction;
    bool sharded;
    plan *plan;
    node loss;
    int64_t held;       /* floats of state: params total, or what this rank owns */
    float *m, *v, *ema; /* held each, in the order of the partition; ema NULL without EMA */
    uint64_t *keys;     /* global indices of the micro-batch */
    sum_stack *partial; /* of earlier micro-batches, when reproducible */
    double *losses;     /* of this rank's micro-batches */
    double *shared;     /* what a step adds up over ranks besides the gradient */
    int64_t shared_count;
    loss_scale scale;
    int64_t step;
    int64_t skips; /* in a row */
    bool changed_precision;
};

/* What this rank holds of a flat buffer like the parameters. Local. */
void trainer_take(const trainer *t, const float *all, float *held);

#endif
