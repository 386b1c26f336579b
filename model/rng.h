/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011; library Random123).
 *
 * A stream is named by (seed, purpose, index, step) and has no state: what a sample gets depends on
 * which sample it is, never on the rank or the order in which it is made. `index` is the global
 * sample index (or volume, or parameter), `step` the training or sampling step.
 *
 * How names become numbers: the key (2 x 32 bits) is Philox itself applied to the purpose under the
 * seed, so that neighbouring seeds and purposes share nothing; the counter (4 x 32 bits) is block,
 * index (two words), step. A stream holds 2^33 numbers. rng_normal draws from blocks of its own, so
 * that mixing normals with other numbers in one stream never uses a word twice.
 */
#ifndef CTAUG_MODEL_RNG_H
#define CTAUG_MODEL_RNG_H

#include <stdint.h>

typedef enum rng_purpose {
    RNG_INIT = 1,  /* parameter initialisation; index: parameter */
    RNG_ORDER,     /* order of slices in an epoch */
    RNG_AUGMENT,   /* affine augmentation of a training slice */
    RNG_TIMESTEP,  /* diffusion time of a training sample */
    RNG_NOISE,     /* training noise */
    RNG_CONDITION, /* whether conditions are dropped */
    RNG_DROPOUT,   /* dropout masks */
    RNG_DEFORM,    /* deformation of a label volume; index: volume */
    RNG_SAMPLE,    /* x_T and sampler noise; index: volume * 2^20 + slice, step: sampler step */
    RNG_VALIDATE,  /* noise and times of the validation loss */
    RNG_PHANTOM,   /* phantom patients; index: patient, step: what is drawn */
    RNG_SPLIT      /* which patient is in which split */
} rng_purpose;

typedef struct rng_stream {
    uint32_t key[2]; /* from seed and purpose */
    uint32_t step;
    uint64_t index;
    uint64_t at; /* position: words drawn so far; rng_below takes two a try, others one */
} rng_stream;

rng_stream rng_open(uint64_t seed, rng_purpose purpose, uint64_t index, uint32_t step);

uint32_t rng_u32(rng_stream *r);
double rng_uniform(rng_stream *r);                     /* [0, 1), multiples of 2^-32 */
double rng_between(rng_stream *r, double a, double b); /* [a, b) */
double rng_normal(rng_stream *r);                      /* mean 0, variance 1 (Box-Muller) */
uint64_t rng_below(rng_stream *r, uint64_t n);         /* 0..n-1, unbiased; n > 0 */

/* n numbers from the present position on; the same as n single calls, only faster. Uniform numbers
 * are cut, not rounded, to 24 bits: 1 is never reached. */
void rng_fill_normal(rng_stream *r, float *out, int64_t n);
void rng_fill_uniform(rng_stream *r, float *out, int64_t n);

#endif
