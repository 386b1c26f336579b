/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011; library Random123).
 *
 * A stream is identified by (seed, purpose, index, step). Its numbers depend on these four alone,
 * never on the rank or on the order in which samples are made. `index` is the global index of a
 * sample (or volume, or parameter), `step` the training or sampling step.
 *
 * Mapping to Philox: the key (2 x 32 bits) is Philox itself applied to the purpose with the seed as
 * key, so that neighbouring seeds and purposes give unrelated streams. The counter (4 x 32 bits) is
 * block, index (two words), step. A stream holds 2^33 numbers. rng_normal() uses a separate range
 * of blocks, so that no word is used twice when normals and other numbers are drawn from one
 * stream.
 */
#ifndef CTAUG_MODEL_RNG_H
#define CTAUG_MODEL_RNG_H

#include <stdint.h>

typedef enum rng_purpose {
    RNG_INIT = 1,   /* parameter initialisation; index: parameter */
    RNG_ORDER,      /* order of slices in an epoch */
    RNG_AUGMENT,    /* affine augmentation of a training slice */
    RNG_TIMESTEP,   /* diffusion time of a training sample */
    RNG_NOISE,      /* training noise */
    RNG_CONDITION,  /* dropping of conditions (classifier-free guidance) */
    RNG_DROPOUT,    /* dropout masks */
    RNG_DEFORM,     /* label deformation; index: volume, step: draw */
    RNG_SAMPLE,     /* x_T and sampler noise; index: volume * 2^20 + slice, step: sampler step */
    RNG_VALIDATE,   /* noise and times of the validation loss */
    RNG_PHANTOM,    /* phantom patients; index: patient, step: group of draws */
    RNG_SPLIT,      /* assignment of patients to splits */
    RNG_BOOTSTRAP,  /* bootstrap draws; index: resample, step: what is drawn */
    RNG_SUBSET,     /* draws without replacement for metrics; index: draw, step: which set */
    RNG_LABELLED,   /* which patients keep their labels; index: patient, step: labelled set */
    RNG_SHIFT,      /* noise of the shifted test set; index: slice */
    RNG_PAINT,      /* painters without a network; index as RNG_SAMPLE, or the volume (step 0) */
    RNG_INSERT,     /* inserted structures; index: volume, step: 16 * entry + draw */
    RNG_TRANSPLANT, /* mixtures of label maps; index: volume, step: draw */
    RNG_APPEARANCE, /* grey values of the structures of a volume; index: volume */
    RNG_GAN,    /* noise of a GAN in training; index: sample, step: 0 discriminator, 1 generator */
    RNG_EMBED,  /* intensities of a slice that trains the embedding of the gate */
    RNG_COPIES, /* patients that slices are compared with; index: volume, step: draw, side */
    RNG_MEMBERSHIP, /* noise of membership losses; index: number of the loss */
    RNG_BOUND,      /* times and noise of the variational bound; index: test slice, step: group of
                       times */
    RNG_SHORTCUT,   /* which training samples learn self-consistency; index: group of samples */
    RNG_CAPTION,    /* wordings of captions; index: of the caption */
    RNG_PATCH,      /* where a patch lies in its slice; index: sample */
    RNG_LATENT,     /* noise of latents in training; index: sample, step: 0 autoencoder, 1
                       discriminator */
    RNG_CAPTION_FACTS, /* facts that captions leave out; index and step as RNG_CAPTION */
    RNG_RESIDUAL       /* noise of decoded slices; index as RNG_SAMPLE, or the volume (step 1) */
} rng_purpose;

typedef struct rng_stream {
    uint32_t key[2]; /* derived from seed and purpose */
    uint32_t step;
    uint64_t index;
    uint64_t at; /* position: words drawn so far; rng_below() uses two a try, the others one */
} rng_stream;

/* The stream of (seed, purpose, index, step), at its beginning. Local. */
rng_stream rng_open(uint64_t seed, rng_purpose purpose, uint64_t index, uint32_t step);

uint32_t rng_u32(rng_stream *r);
double rng_uniform(rng_stream *r);                     /* [0, 1), multiples of 2^-32 */
double rng_between(rng_stream *r, double a, double b); /* [a, b) */
double rng_normal(rng_stream *r);                      /* mean 0, variance 1 (Box-Muller) */
uint64_t rng_below(rng_stream *r, uint64_t n);         /* 0..n-1, unbiased; n > 0 */

/* n numbers from the current position on: the same numbers as n single calls, computed faster.
 * Uniform numbers are truncated, not rounded, to 24 bits, so that 1 never occurs. Local. */
void rng_fill_normal(rng_stream *r, float *out, int64_t n);
void rng_fill_uniform(rng_stream *r, float *out, int64_t n);

#endif
