/* The training problem of diffusion: a slice, a time and a noise become the denoiser's inputs and
 * its target. One graph (network and loss) serves training and validation. */
#ifndef CTAUG_PIPELINE_NOISING_H
#define CTAUG_PIPELINE_NOISING_H

#include "pipeline/denoiser.h"

typedef struct noising {
    const study *study;
    slices *train, *validation; /* the caller's */
    unet_config config;
    graph *graph;
    node loss;
    schedule schedule;
    const objective *objective;
    slice_sample sample; /* buffers of one slice */
    float *noise, *x_t;  /* size*size */
} noising;

/* Describes network and loss. train and validation must outlive it. Local. */
status noising_open(const study *s, const label_set *labels, slices *train, slices *validation,
                    noising *out);
void noising_close(noising *n);

/* Fills as in trainer_feed (pipeline/trainer.h), context a noising: global samples first.. of the training
 * slices; time, noise and dropping of conditions follow from (seed, global sample index). Local. */
status noising_fill(void *context, plan *pl, int64_t first, int64_t count);

/* A validation loss that any two moments of a training can be compared by: fixed slices, times
 * spread evenly over 1..T, fixed noise. Uses at most 64 slices, dealt to the ranks; `values` are
 * the parameters to judge (the EMA). Collective. */
typedef struct validator validator;
status validator_open(noising *n, const comm *c, const kernels *engine, validator **out);
void validator_close(validator *v);
status validator_run(validator *v, const float *values, double *loss);

#endif
