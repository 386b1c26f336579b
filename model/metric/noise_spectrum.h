/* The noise power spectrum of CT slices in bands, from square patches of uniform tissue (Siewerdsen
 * et al. 2002, for images whose only variation is noise).
 *
 * A patch has its mean subtracted and is multiplied by a Hann window in both directions. Its power
 * at the frequency (u, v), in cycles a pixel, is |DFT|^2 over the sum of the squared window: white
 * noise of variance s^2 has the power s^2 everywhere. Band b holds the frequencies with
 * b / 8 < |(u, v)| <= (b + 1) / 8. All are Local. */
#ifndef CTAUG_MODEL_METRIC_NOISE_SPECTRUM_H
#define CTAUG_MODEL_METRIC_NOISE_SPECTRUM_H

#include <stdbool.h>
#include <stdint.h>

enum { NOISE_PATCH = 16, NOISE_BANDS = 4 };

/* Adds the power at (u, v) = (k / side, l / side) of the patch of side x side pixels, at most
 * NOISE_PATCH, whose first one is (y, x) of image[size][size], in the square of its unit, to
 * power[k][l] of [side][side]; frequencies from 1/2 on are those less 1. */
void noise_spectrum_power(const float *image, int64_t size, int64_t y, int64_t x, int side,
                          double *power);

/* Adds the mean power of each band of the patch whose first pixel is (y, x) of image[size][size],
 * in the square of its unit, to power[NOISE_BANDS]. */
void noise_spectrum_add(const float *image, int64_t size, int64_t y, int64_t x, double *power);

/* Whether all pixels of that patch have the same label, which is not 0. */
bool noise_spectrum_is_uniform(const uint8_t *labels, int64_t size, int64_t y, int64_t x);

#endif
