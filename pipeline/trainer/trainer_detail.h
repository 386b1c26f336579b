/* The internals of a trainer, shared by pipeline/trainer/trainer.c (the step) and
 * pipeline/trainer/trainer_state.c (the state in checkpoints). */
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
    int64_t held;       /* floats of each state array: params total; when sharded, what it owns */
    float *m, *v, *ema; /* [held]: moments of AdamW, EMA (NULL: none); sharded: packed pieces */
    uint64_t *keys;     /* [micro_batch]: global indices of its samples */
    sum_stack *partial; /* sums of earlier micro-batches, if reproducible */
    double *losses;     /* of this rank's micro-batches */
    double *shared;     /* [shared_count]: what a step sums over ranks besides the gradient */
    int64_t shared_count;
    double *sample_losses; /* [batch], 0 for those of other ranks until they are summed; NULL: not
                              wanted */
    loss_scale scale;
    int64_t step;
    int64_t skips; /* skipped steps in a row */
    bool changed_precision;
};

/* Copies from `all`, a buffer like the parameters, what this rank holds of it. Local. */
void trainer_extract(const trainer *t, const float *all, float *held);

#endif
