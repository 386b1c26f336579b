/* Data-parallel training of any network: the loop body that the denoiser and the segmenters share.
 *
 * A step has a fixed global batch whose samples have global indices step * batch + 0..batch-1. Each
 * rank takes a contiguous share, in micro-batches whose last one is padded with samples of weight
 * 0; gradients are accumulated, then summed over ranks while the last backward pass still runs
 * (pipeline/trainer/reduction.h), so that the update is that of the global batch whatever the rank
 * count. Decisions (skip, stop, diverged) use reduced values only.
 */
#ifndef CTAUG_PIPELINE_TRAINER_TRAINER_H
#define CTAUG_PIPELINE_TRAINER_TRAINER_H

#include "io/checkpoint.h"
#include "io/comm.h"
#include "model/nn/plan.h"
#include "pipeline/trainer/gradient_partition.h"

typedef struct trainer_settings {
    int64_t steps;       /* of the whole training: the learning rate ends there */
    int64_t batch;       /* global */
    int64_t micro_batch; /* samples a rank takes at once */
    double lr;
    int64_t warmup;
    double weight_decay, clip;
    bool keep_ema;
    double ema;            /* with keep_ema: the decay that its ramp-up ends at */
    uint64_t seed;         /* initialisation and dropout */
    tensor_type precision; /* of activations: with bf16 the loss is scaled (model/loss_scale.h) */
    bool recompute;        /* activations inside blocks are computed again in the backward pass */
    sharding sharded;      /* a rank holds moments and EMA of its part only, and updates that */
    bool bf16_wire;        /* gradients are rounded to bf16 for their way between nodes */
    bool reproducible; /* micro-batches are summed in one fixed tree: every power of two of ranks
                              (of equal threads) gives the same bits */
    int together;      /* at most so many ranks share memory; 0: all of a node */
} trainer_settings;

/* Where samples come from. Local. */
typedef struct trainer_feed {
    /* Fills the inputs of slots 0..count-1 of the plan for the samples `first`.. `first`+count-1
     * (global indices); slot weights are set by the trainer in input "weight". */
    status (*fill)(void *context, plan *pl, int64_t first, int64_t count);
    /* Tells, right after a fill, which samples the next one will ask for, so that they can be made
     * ready while the step runs. May be NULL. */
    void (*ahead)(void *context, int64_t first, int64_t count);
    void *context;
} trainer_feed;

typedef struct trainer trainer;

typedef struct trainer_report {
    double loss;          /* mean over the global batch, before the update */
    double gradient_norm; /* before clipping */
    double lr;
    bool skipped; /* loss or norm was not finite: no update was made */
    bool stop;    /* a rank asked to stop */
    double scale; /* that the loss was multiplied with inside */
    /* Seconds of this rank: waiting for samples; communication beside the backward pass (waiting
     * for other ranks and for what they send); summing, copying and sending in the backward pass
     * and, when sharded, in the update; norm and update; the whole step. */
    double data, exposed, reduce, update, total;
} trainer_report;

/* Parameters begin after (settings.seed); equal on all ranks. g must outlive it. ST_USAGE naming
 * the study's keys where settings.reproducible cannot be had. Collective. */
status trainer_create(const comm *c, const trainer_settings *settings, const graph *g, node loss,
                      const kernels *engine, trainer **out);
void trainer_destroy(trainer *t); /* Collective */

/* One optimiser step. stop_requested: this rank wants to stop (agreed in report->stop). ST_DIVERGED
 * after 5 skipped steps in a row, not counting those before which the loss scale could still fall.
 * Collective. */
status trainer_step(trainer *t, const trainer_feed *feed, bool stop_requested,
                    trainer_report *report);

/* Whether the parameters of all ranks are the same bits: ST_INTERNAL if not. Collective. */
status trainer_check_equal(const trainer *t);

/* Whether gradients travel as messages between ranks of one node (pipeline/trainer/reduction.h). */
bool trainer_lacks_shared_memory(const trainer *t);

int64_t trainer_at(const trainer *t); /* optimiser steps made or skipped */
params *trainer_params(trainer *t);
const plan *trainer_plan(const trainer *t);
int64_t trainer_forward_flops(const trainer *t); /* of one sample */

/* The averaged parameters (params total; NULL without EMA), valid until the next step; a sharded
 * trainer puts them together in the gradient's place. Collective. */
const float *trainer_ema(trainer *t);

/* Saves, on rank 0, everything the next step follows from, in one form whatever the number of ranks
 * and the sharding; restores it on every rank from the newest checkpoint with this fingerprint, if
 * there is one (*found). Collective. */
status trainer_save(trainer *t, const char *directory, const char *fingerprint, int keep);
status trainer_restore(trainer *t, const char *directory, const char *fingerprint, bool *found);

/* Whether the checkpoint that was restored was trained in another precision than this trainer's. */
bool trainer_changed_precision(const trainer *t);

/* Reads the EMA values of a checkpoint into p. Local. */
status trainer_load_ema(const char *directory, int64_t step, params *p);

#endif
