/* The training problem of diffusion: a slice, a time and a noise become the denoiser's inputs and
 * its target. One graph (network and loss) serves training and validation. Training samples are
 * made ready by a thread (pipeline/data/prefetch.h), and only laid into the plan by the caller's.
 */
#ifndef CTAUG_PIPELINE_TRAIN_NOISING_H
#define CTAUG_PIPELINE_TRAIN_NOISING_H

#include "pipeline/common/denoiser.h"
#include "pipeline/data/prefetch.h"

/* A sample before it is laid into a plan. */
typedef struct noised {
    slice_sample sample;
    float *x_t, *target; /* size*size */
    int64_t t;
    bool conditional;
} noised;

typedef struct noising {
    const study *study;
    slices *train, *validation; /* the caller's */
    unet_config config;
    graph *graph;
    node loss;
    schedule schedule;
    const objective *objective;
    prefetch *prefetch; /* fills slots, and alone draws from train meanwhile */
    noised *slots;
    int64_t slot_count;
    noised judged; /* of validation */
} noising;

/* Describes network and loss, starts the thread. train and validation must outlive it, and it must
 * stay where it is. Local. */
status noising_open(const study *s, const label_set *labels, slices *train, slices *validation,
                    noising *out);
void noising_close(noising *n);

/* Fill and ahead as in trainer_feed (pipeline/trainer/trainer.h), context a noising: global samples
 * first.. of the training slices; time, noise and dropping of conditions follow from (seed, global
 * sample index). From `ahead` to the next fill or close nobody else may use the slices `train`.
 * Local. */
status noising_fill(void *context, plan *pl, int64_t first, int64_t count);
void noising_announce(void *context, int64_t first, int64_t count);

/* A validation loss that any two moments of a training can be compared by: fixed slices, times
 * spread evenly over 1..T, fixed noise. Uses at most 64 slices, dealt to the ranks; `values` are
 * the parameters to judge (the EMA). Collective. */
typedef struct validator validator;
status validator_open(noising *n, const stage_context *stage, validator **out);
void validator_close(validator *v);
status validator_run(validator *v, const float *values, double *loss);

#endif
