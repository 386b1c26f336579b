/* Multi-scale structural similarity of two images (MS-SSIM; Wang, Simoncelli & Bovik 2003). Its
 * mean over pairs of a set measures diversity: 1 if all images are equal.
 *
 * Local means, variances and covariances are weighted by a Gaussian window of 11 x 11 pixels with a
 * standard deviation of 1.5 pixels; only positions where the window lies inside the image count.
 * With K1 = 0.01 and K2 = 0.03, as published:
 *
 *   l  = (2 mu_a mu_b + C1) / (mu_a^2 + mu_b^2 + C1),      C1 = (K1 range)^2
 *   cs = (2 cov_ab + C2) / (var_a + var_b + C2),           C2 = (K2 range)^2
 *
 * Each level halves the image by means of 2 x 2 pixels; an odd last row or column is dropped. The
 * result is the product over levels of the mean of cs, or of l cs on the last level, each to the
 * power of its weight: 0.0448, 0.2856, 0.3001, 0.2363, 0.1333. A negative mean counts as 0. Images
 * smaller than 176 x 176 have as many levels as have at least 11 x 11 pixels; the weights of these
 * are divided by their sum. Values from different numbers of levels cannot be compared.
 */
#ifndef CTAUG_MODEL_METRIC_MS_SSIM_H
#define CTAUG_MODEL_METRIC_MS_SSIM_H

#include "io/status.h"

#include <stdint.h>

/* *out: similarity of a and b, both [size][size]. range: the largest minus the smallest possible
 * value of a pixel. ST_INPUT if size is less than 11, the range is not positive or a pixel is not
 * finite. Local. */
status ms_ssim(const float *a, const float *b, int64_t size, double range, double *out);

/* *out: the structural similarity of one scale, the mean of l cs of the images themselves (Wang,
 * Bovik, Sheikh & Simoncelli 2004, equation 13, with the window above). Otherwise as ms_ssim().
 * Local. */
status ssim(const float *a, const float *b, int64_t size, double range, double *out);

/* value[pairs]: the similarity of pairs of different images of image[n][size][size]; *mean: their
 * mean. Pair i is drawn from the stream (seed, RNG_SUBSET, i, 2); a pair may occur twice. ST_INPUT
 * as above, or if n is less than 2 or pairs less than 1. Local; uses OpenMP. */
status ms_ssim_pairs(const float *image, int64_t n, int64_t size, double range, int64_t pairs,
                     uint64_t seed, double *value, double *mean);

#endif
