/* Samplers: generation of data from noise, with one interface for all of them. A sampler is a row
 * of the table in sampler.c.
 *
 * A sampler does not know the network: it calls `denoise` for predictions. Its noise comes from
 * Philox streams identified by (seed, RNG_SAMPLE, global sample index, step), so that the bytes of
 * a sample do not depend on the batch or rank in which it is generated.
 */
#ifndef CTAUG_MODEL_DIFFUSION_SAMPLER_H
#define CTAUG_MODEL_DIFFUSION_SAMPLER_H

#include "model/diffusion/objective.h"
#include "model/diffusion/schedule.h"
#include "model/diffusion/variance.h"

/* Fills predicted[batch*n] for x_t[batch*n], all samples at time t (1..T). conditional 0: with the
 * conditions dropped (needed for classifier-free guidance). */
typedef status (*denoise_fn)(void *context, const float *x_t, int64_t t, int conditional,
                             float *predicted);

/* Changes the predicted x0[n] of sample b. eps is recomputed from x_t and the new x0. */
typedef void (*correct_fn)(void *context, int64_t b, float *x0);

typedef enum sampler_kind {
    SAMPLER_DDPM, /* Ho et al. 2020, algorithm 2, on a subset of the steps */
    SAMPLER_DDIM  /* Song et al. 2021, eq. 12 and 16 */
} sampler_kind;

extern const named_table sampler_kinds;

typedef struct sampling {
    sampler_kind sampler;
    /* 1..T. The times are evenly spaced from T to 1 (Nichol & Dhariwal 2021, section 4), then 0;
     * with 1 step: from T to 0. */
    int64_t steps;
    double eta; /* DDIM: 0 (deterministic) .. 1 */
    /* Classifier-free guidance (Ho & Salimans 2022): cond + (w - 1)(cond - uncond). With w = 1 the
     * network is called once a step, otherwise twice. */
    double guidance;
    double clip;            /* x_0 is clamped to [-clip, clip]; 0: no clamping */
    correct_fn correct;     /* with the context of `denoise`; NULL: none */
    variance_kind variance; /* of DDPM's steps; DDIM has its own */
    /* With VARIANCE_LEARNED: the network's second outputs, [batch*n], which a conditional `denoise`
     * fills. */
    const float *output;
    uint64_t seed;
    const schedule *schedule;
    const objective *objective;
} sampling;

/* Generates x[batch*n] (overwritten). index[batch]: global sample indices. ST_USAGE if a setting is
 * out of range, ST_DIVERGED if x becomes non-finite. Local. */
status sampler_run(const sampling *how, denoise_fn denoise, void *context, const uint64_t *index,
                   int64_t batch, int64_t n, float *x);

#endif
