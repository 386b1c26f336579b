/* The noise that an autoencoder drops, as a model of its residual in uniform tissue: a stationary
 * Gaussian field, which has the residual's power spectrum (model/metric/noise_spectrum.h), times a
 * standard deviation in HU for each class of tissue, times the level of the volume. Added to a
 * decoded slice it gives back the noise of the scanner: a decoder with this field is the Gaussian
 * p(x | z) of a variational autoencoder (Kingma & Welling 2014) with correlated noise. All are
 * Local. */
#ifndef CTAUG_MODEL_RESIDUAL_NOISE_H
#define CTAUG_MODEL_RESIDUAL_NOISE_H

#include "model/metric/noise_spectrum.h"
#include "model/rng.h"

enum {
    RESIDUAL_PATCH = 8, /* side of the patches whose spectrum is measured */
    RESIDUAL_SIDE = RESIDUAL_PATCH - 1,
    RESIDUAL_CLASSES = 4,
    RESIDUAL_LEVELS = 16
};

typedef struct residual_noise {
    float kernel[RESIDUAL_SIDE * RESIDUAL_SIDE]; /* y x; the sum of its squares is 1, or it is 0 */
    float sigma[RESIDUAL_CLASSES];               /* HU */
    float level[RESIDUAL_LEVELS]; /* of slices, the quantiles (i + 1/2) / RESIDUAL_LEVELS */
} residual_noise;

/* The symmetric filter that gives white noise a power spectrum, up to a factor: power[side][side]
 * with side = RESIDUAL_PATCH as noise_spectrum_power() adds it. All 0 without power. */
void residual_kernel(const double *power, float *kernel);

/* Floats of scratch that residual_field() needs. */
int64_t residual_scratch(int64_t size);

/* out[size][size]: a field of mean 0 and variance 1 from the stream; all 0 if the kernel is. */
void residual_field(const residual_noise *n, rng_stream *r, int64_t size, float *scratch,
                    float *out);

/* The level at the share u of the slices, 0 <= u < 1, interpolated linearly. */
double residual_level(const residual_noise *n, double u);

#endif
