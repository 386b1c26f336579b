/* Samplers: generation of data from noise, with one interface for all of them. A sampler is a row
 * of the table in sampler.c.
 *
 * A sampler does not know the network: it calls `denoise` for predictions. Its noise comes from
 * Philox streams identified by (seed, RNG_SAMPLE, global sample index, step), so that the bytes of
 * a sample do not depend on the batch or rank in which it is generated.
 */
#ifndef CTAUG_MODEL_DIFFUSION_SAMPLER_H
#define CTAUG_MODEL_DIFFUSION_SAMPLER_H

#include "model/diffusion/process.h"
#include "model/diffusion/time_grid.h"
#include "model/diffusion/variance.h"

/* Fills predicted[batch*n] for x_t[batch*n], all samples at this level. conditional 0: with the
 * conditions dropped (needed for classifier-free guidance). */
typedef status (*denoise_fn)(void *context, const float *x_t, const noise_level *at,
                             int conditional, float *predicted);

/* Changes the predicted x0[n] of sample b. eps is recomputed from x_t and the new x0. */
typedef void (*correct_fn)(void *context, int64_t b, float *x0);

/* The order is that of the global error as the steps become smaller; evaluations are calls of the
 * network a step. */
typedef enum sampler_kind {
    SAMPLER_DDPM,  /* Ho et al. 2020, algorithm 2, on a subset of the steps; ddpm alone */
    SAMPLER_DDIM,  /* Song et al. 2021, eq. 12 and 16; ddpm alone; order 1 for eta 0 */
    SAMPLER_EULER, /* order 1: DDIM for eta 0, since its steps are straight lines in (x_0, e) */
    SAMPLER_EULER_ANCESTRAL, /* a draw from the posterior, as DDPM, written with x_0 and e */
    SAMPLER_HEUN,            /* Karras et al. 2022, algorithm 1; order 2, 2 evaluations */
    SAMPLER_MIDPOINT,        /* the explicit midpoint rule; order 2, 2 evaluations */
    SAMPLER_PLMS,            /* Liu et al. 2022 (PNDM): linear multi-step with four derivatives; the
                                first step is Heun's, the next two have two and three; order 2 */
    SAMPLER_DPM_2M,          /* DPM-Solver++(2M), Lu et al. 2022b, algorithm 2; order 2 */
    SAMPLER_DPM_2M_SDE,      /* SDE-DPM-Solver++(2M), the same paper */
    SAMPLER_UNIPC_2,         /* Zhao et al. 2023, UniPC-2 with B(h) = e^h - 1; order 3: that of its
                                predictor is 2, the corrector adds 1 */
    SAMPLER_CONSISTENCY      /* Song et al. 2023, algorithm 1: x_0 at once, then noise again, for
                                networks that predict the end of the path (consistency.h) */
} sampler_kind;

extern const named_table sampler_kinds;

/* Whether the sampler is defined for the process. Local. */
bool sampler_fits(sampler_kind kind, process_kind process);

/* Whether the sampler takes the times of this grid: SAMPLER_CONSISTENCY those of GRID_CONSISTENCY,
 * no other sampler those. Local. */
bool sampler_fits_grid(sampler_kind kind, time_grid_kind grid);

/* Whether a sampler may make its steps several times. Local. */
bool sampler_resamples(sampler_kind kind);

typedef struct sampling {
    sampler_kind sampler;
    time_grid_kind grid;
    int64_t steps; /* at least 1; ddpm on a uniform grid: at most T */
    double eta;    /* DDIM: 0 (deterministic) .. 1 */
    /* Classifier-free guidance (Ho & Salimans 2022): cond + (w - 1)(cond - uncond). With w = 1 the
     * network is called once for an evaluation, otherwise twice. */
    double guidance;
    /* Guidance is applied where sigma / (alpha + sigma) lies in these bounds; 0 and 1: everywhere
     * (Kynkaanniemi et al. 2024). */
    double interval[2];
    /* 0..1: the guided prediction is scaled towards the standard deviation of the conditional one,
     * over a sample (Lin et al. 2023, section 3.4). */
    double rescale;
    double clip;        /* x_0 is clamped to [-clip, clip]; 0: no clamping */
    correct_fn correct; /* with the context of `denoise`; NULL: none */
    /* Each step but the last is made this often, with noise added between, back to its beginning,
     * so that what `correct` sets and the rest come together (Lugmayr et al. 2022, algorithm 1,
     * with jumps of one step). 0 or 1: once. Only for samplers whose steps do not depend on earlier
     * ones (sampler_resamples()). */
    int64_t resample;
    variance_kind variance; /* of the steps of SAMPLER_DDPM; the others have their own */
    /* With VARIANCE_LEARNED: the network's second outputs, [batch*n], which a conditional `denoise`
     * fills. */
    const float *output;
    uint64_t seed;
    const process *process;
} sampling;

/* Generates x[batch*n] (overwritten). index[batch]: global sample indices. ST_USAGE if a setting is
 * out of range or does not fit the process (a shortcut model: Euler's method on the uniform grid,
 * with a number of steps that it is trained for), ST_DIVERGED if x becomes non-finite. Local. */
status sampler_run(const sampling *how, denoise_fn denoise, void *context, const uint64_t *index,
                   int64_t batch, int64_t n, float *x);

/* *evaluations: calls of `denoise` that sampler_run() makes, those without conditions included.
 * ST_USAGE as there. Local. */
status sampler_evaluations(const sampling *how, int64_t *evaluations);

#endif
