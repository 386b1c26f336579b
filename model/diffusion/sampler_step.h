/* What the steps of samplers share: the state of a run and one evaluation of the network. Private
 * to model/diffusion/sampler*.c. */
#ifndef CTAUG_MODEL_DIFFUSION_SAMPLER_STEP_H
#define CTAUG_MODEL_DIFFUSION_SAMPLER_STEP_H

#include "model/diffusion/sampler.h"

enum { SAMPLER_KEPT = 4 };

/* The arrays have `count` values. */
typedef struct sampler_state {
    const sampling *how;
    denoise_fn denoise;
    void *context;
    const uint64_t *index; /* [batch] */
    int64_t batch, n, count;
    float *x;                         /* the samples at the level `at` */
    float *x0, *eps;                  /* of the last evaluation */
    float *predicted, *unconditional; /* scratch of an evaluation */
    float *noise;                     /* of the present step */
    float *kept[SAMPLER_KEPT];        /* those that the sampler asks for: its own */
    int64_t step;                     /* 0, 1, ... */
    int64_t pass;                     /* of the step: 0, 1, ... (sampling.resample) */
    noise_level at, to;               /* the ends of this step */
    noise_level before, earlier;      /* `at` of the last step, and of the one before it */
} sampler_state;

/* One step: x at s->at becomes x at s->to. */
typedef status (*sampler_step)(sampler_state *s);

/* x0 and eps of x at this level: the prediction with guidance, converted, corrected and clamped.
 * Where x_0 is changed, eps is recomputed, so that the two remain consistent with x. Local. */
status sampler_evaluate(sampler_state *s, const noise_level *at, const float *x);

/* Fills s->noise with the normal numbers of this step. Local. */
void sampler_draw(sampler_state *s);

/* out[count] = sum of factor * array over the n terms, in f64; out may be one of the arrays. */
typedef struct sampler_term {
    double factor;
    const float *array;
} sampler_term;

void sampler_sum(const sampler_state *s, const sampler_term *terms, int n, float *out);

/* out[count]: x on the straight line of the last evaluation, alpha x_0 + sigma e. Local. */
void sampler_line(const sampler_state *s, const noise_level *at, float *out);

/* sampler_line.c */
status sampler_ddpm(sampler_state *s);
status sampler_ddim(sampler_state *s);
status sampler_euler(sampler_state *s);
status sampler_euler_ancestral(sampler_state *s);
status sampler_consistency(sampler_state *s);
/* sampler_slope.c */
status sampler_heun(sampler_state *s);
status sampler_midpoint(sampler_state *s);
status sampler_plms(sampler_state *s);
/* sampler_exponential.c */
status sampler_dpm_2m(sampler_state *s);
status sampler_dpm_2m_sde(sampler_state *s);
status sampler_unipc_2(sampler_state *s);

#endif
