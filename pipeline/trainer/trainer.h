/* Data-parallel training of any network: the training step that the denoiser and the segmenters
 * share.
 *
 * A step has a fixed global batch whose samples have the global indices step * batch + 0..batch-1.
 * Each rank processes a contiguous share in micro-batches, the last of which is padded with samples
 * of weight 0. Gradients are accumulated and summed over the ranks during the last backward pass
 * (pipeline/trainer/reduction.h), so that the update is that of the global batch for any number of
 * ranks. Decisions (skip, stop, diverged) use reduced values only.
 */
#ifndef CTAUG_PIPELINE_TRAINER_TRAINER_H
#define CTAUG_PIPELINE_TRAINER_TRAINER_H

#include "io/checkpoint.h"
#include "io/comm.h"
#include "io/log.h"
#include "model/nn/plan.h"
#include "pipeline/trainer/gradient_partition.h"

typedef struct trainer_settings {
    int64_t steps;       /* of the whole training: the end of the learning rate schedule */
    int64_t batch;       /* global */
    int64_t micro_batch; /* samples a rank processes at once */
    double lr;           /* peak */
    int64_t warmup;      /* steps */
    double weight_decay, clip;
    double beta1;   /* of AdamW; 0: 0.9 */
    bool rectified; /* RAdam instead of AdamW */
    bool keep_ema;
    double ema;            /* with keep_ema: the decay at the end of its ramp-up */
    double sigma_data;     /* kept in checkpoints for those who use the network; 0: none */
    uint64_t seed;         /* initialisation and dropout */
    tensor_type precision; /* compute type; with bf16 the loss is scaled (model/loss_scale.h) */
    bool recompute;        /* activations inside blocks are recomputed in the backward pass */
    sharding sharded;      /* a rank stores moments and EMA of its part only, and updates it */
    bool bf16_wire;        /* gradients are sent between nodes in bf16 */
    bool reproducible;  /* micro-batches are summed in a fixed tree: the same bits for every number
                           of ranks that is a power of two, with equal threads */
    int together;       /* max ranks that share memory; 0: all of a node */
    bool sample_losses; /* trainer_sample_losses() are wanted */
    /* Arrays of the caller that belong to the state, equal on all ranks: they are written to
     * checkpoints and restored from them. Borrowed. */
    const checkpoint_array *extra;
    int64_t extra_count;
    const node *read; /* a node besides the loss that trainer_feed.target() reads; NULL: none */
} trainer_settings;

/* The source of samples. The callbacks are Local, but for gather(). */
typedef struct trainer_feed {
    /* Called before the first fill() of a step with this rank's samples first..first+count-1, of
     * which there may be none: for losses over the whole batch. It may fill the inputs of the plan
     * and run it forward. Agrees on failures. May be NULL. Collective. */
    status (*gather)(void *context, plan *pl, int64_t first, int64_t count);
    /* Fills the inputs of slots 0..count-1 of the plan with the samples first..first+count-1
     * (global indices). The trainer sets the weights of the slots in input "weight". */
    status (*fill)(void *context, plan *pl, int64_t first, int64_t count);
    /* Called after fill() with the samples that the next fill() will request, so that they can be
     * prefetched during the step. May be NULL. */
    void (*ahead)(void *context, int64_t first, int64_t count);
    /* Called after fill() for samples whose target depends on the parameters: may fill the inputs
     * anew, run the plan forward with `keys`, which the step uses as well, and read
     * settings->read. May be NULL. */
    status (*target)(void *context, plan *pl, const plan_keys *keys, int64_t first, int64_t count);
    /* A step that trains other values than it computes with. enter() is called before the first
     * fill() and may change params->value; leave() is called when params->grad has the sum over the
     * ranks, undoes this, and converts the gradient. It may also be NULL, like enter(). With
     * leave() the optimiser cannot be sharded, since each rank would have only its part of the
     * gradient. */
    void (*enter)(void *context, params *p);
    void (*leave)(void *context, params *p);
    void *context;
} trainer_feed;

typedef struct trainer trainer;

typedef struct trainer_report {
    double loss;          /* mean over the global batch, before the update */
    double gradient_norm; /* before clipping */
    double lr;
    bool skipped; /* loss or norm was not finite: no update was made */
    bool stop;    /* a rank requested a stop */
    double scale; /* factor of the loss inside the step (loss scale) */
    /* Seconds of this rank. */
    double data;    /* waiting for samples */
    double exposed; /* communication outside the backward pass: waiting for other ranks */
    double reduce;  /* summing, copying and sending in the backward pass and in a sharded update */
    double update;  /* gradient norm and update */
    double total;   /* the whole step */
} trainer_report;

/* Creates a trainer with parameters initialised from settings->seed, equal on all ranks. g must
 * outlive it. ST_USAGE, naming the study's keys, if settings->reproducible is impossible.
 * Collective. */
status trainer_create(const comm *c, const trainer_settings *settings, const graph *g, node loss,
                      const kernels *engine, trainer **out);
void trainer_destroy(trainer *t); /* Collective */

/* Makes one optimiser step. stop_requested: this rank requests a stop; report->stop is the agreed
 * decision. ST_DIVERGED after 5 skipped steps in a row; steps at which the loss scale could still
 * fall do not count. Collective. */
status trainer_step(trainer *t, const trainer_feed *feed, bool stop_requested,
                    trainer_report *report);

/* The losses of the last step's samples, [batch], as their mean is in the report; on every rank,
 * with the same bits. Valid until the next step, with settings->sample_losses. Local. */
const double *trainer_sample_losses(const trainer *t);

/* ST_INTERNAL unless the parameters of all ranks have the same bits. Collective. */
status trainer_check_equal(const trainer *t);

/* Whether ranks of one node cannot share memory and exchange gradients as messages
 * (pipeline/trainer/reduction.h). Local. */
bool trainer_lacks_shared_memory(const trainer *t);

int64_t trainer_step_count(const trainer *t); /* number of optimiser steps made or skipped */
params *trainer_params(trainer *t);
const plan *trainer_plan(const trainer *t);
int64_t trainer_forward_flops(const trainer *t); /* of one sample */

/* The EMA of the parameters (params total floats; NULL without EMA), valid until the next step. A
 * sharded trainer gathers it in the gradient buffer. Collective. */
const float *trainer_ema(trainer *t);

/* Writes a checkpoint on rank 0: everything the next step depends on, in a form that does not
 * depend on the number of ranks and the sharding. Only the newest `keep` checkpoints remain.
 * Collective. */
status trainer_save(trainer *t, const char *directory, const char *fingerprint, int keep);

/* Finds the newest good checkpoint with this fingerprint (checkpoint_find() on rank 0) and logs
 * which damaged ones were set aside, with the reason. Collective. */
status trainer_find(const comm *c, const char *directory, const char *fingerprint, journal *log,
                    checkpoint_choice *out);

/* All good checkpoints with this fingerprint, newest first (checkpoint_list() on rank 0). The
 * caller frees *out with free(). Collective. */
status trainer_kept(const comm *c, const char *directory, const char *fingerprint,
                    checkpoint_kept **out, int64_t *count);

/* Restores every rank from the checkpoint at `step`. ST_INTEGRITY if its scalars make no sense.
 * Collective. */
status trainer_restore(trainer *t, const char *directory, int64_t step);

/* The parameters become those that `read` sets on rank 0, and so does their EMA. To be called
 * before the first step. Collective. */
status trainer_begin(trainer *t, status (*read)(void *context, params *p), void *context);

/* Whether the restored checkpoint was trained with another compute type. Local. */
bool trainer_changed_precision(const trainer *t);

/* The arrays "<group>/<parameter>" over `flat` (params total floats), as checkpoints name them; the
 * caller frees *arrays with free(). Local. */
status trainer_arrays(const params *p, const char *group, float *flat, checkpoint_array **arrays);

/* Reads the EMA of a checkpoint into the values of p. Local. */
status trainer_load_ema(const char *directory, int64_t step, params *p);

/* Reads settings.sigma_data of the training that wrote a checkpoint. Local. */
status trainer_load_sigma_data(const char *directory, int64_t step, double *sigma_data);

#endif
