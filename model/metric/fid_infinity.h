/* The Fréchet distance extrapolated to infinitely many vectors (Chong & Forsyth 2020). The
 * estimate from n vectors has a bias that is nearly linear in 1/n: it is computed for several n,
 * and a line FID = intercept + slope / n is fitted by least squares. The published experiments have
 * n well above the number of dimensions; for smaller n the covariance is singular and the line a
 * worse approximation.
 */
#ifndef CTAUG_MODEL_METRIC_FID_INFINITY_H
#define CTAUG_MODEL_METRIC_FID_INFINITY_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fid_infinity_settings {
    const int64_t *size; /* [sizes] the numbers n, at least two different ones */
    int64_t sizes;
    int64_t draws; /* of each n; their mean is fitted */
    uint64_t seed;
    /* The first set is used whole, as published: its own bias remains in the intercept. Otherwise
     * n vectors are drawn from it too, and the line accounts for both sets. */
    bool whole_reference;
} fid_infinity_settings;

typedef struct fid_infinity_result {
    double intercept, slope;
} fid_infinity_result;

/* Of a[n_a][dim], the reference, and b[n_b][dim]. fid[sizes]: the mean of the draws at each n. Draw
 * j of size i is made without replacement by subset_draw() with index i * draws + j, step 0 for a
 * and 1 for b. ST_INPUT if a size is less than 2 or larger than a set drawn from, or as for
 * frechet_distance(). Local. */
status fid_infinity(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim,
                    const fid_infinity_settings *settings, double *fid, fid_infinity_result *out);

#endif
