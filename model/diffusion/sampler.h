/* Samplers: from noise to data with the same interface for all. A sampler is a row in a table.
 *
 * A sampler owns no network: it asks `denoise` for predictions and takes its noise from Philox
 * streams keyed by (seed, RNG_SAMPLE, global sample index, step), so that a sample's bytes do not
 * depend on the batch or rank it is made in.
 */
#ifndef CTAUG_MODEL_DIFFUSION_SAMPLER_H
#define CTAUG_MODEL_DIFFUSION_SAMPLER_H

#include "model/diffusion/objective.h"
#include "model/diffusion/schedule.h"

/* predicted[batch*n] for x_t[batch*n], all samples at time t (1..T). conditional false: conditions
 * dropped (needed for guidance). */
typedef status (*denoise_fn)(void *context, const float *x_t, int64_t t, int conditional,
                             float *predicted);

typedef enum sampler_kind {
    SAMPLER_DDPM, /* Ho et al. 2020, algorithm 2, on a subset of the steps */
    SAMPLER_DDIM  /* Song et al. 2021, eq. 12 and 16 */
} sampler_kind;

extern const named_table sampler_kinds;

typedef struct sampling {
    sampler_kind sampler;
    int64_t steps;   /* 1..T, the times evenly spread from T to 1 (Nichol & Dhariwal 2021,
                        section 4), then 0; 1 step: from T to 0 */
    double eta;      /* DDIM: 0 deterministic .. 1 */
    double guidance; /* Ho & Salimans 2022: cond + (w - 1)(cond - uncond); 1: one call a step */
    double clip;     /* x_0 is clamped to [-clip, clip]; 0: not */
    uint64_t seed;
    const schedule *schedule;
    const objective *objective;
} sampling;

/* Draws x[batch*n] in place of whatever it held. index[batch]: global sample indices. ST_USAGE for
 * settings out of range, ST_DIVERGED if the predictions were not finite. Local. */
status sampler_run(const sampling *how, denoise_fn denoise, void *context, const uint64_t *index,
                   int64_t batch, int64_t n, float *x);

#endif
