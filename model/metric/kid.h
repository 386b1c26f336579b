/* Kernel distance between two sets of features (KID; Binkowski et al. 2018): the squared maximum
 * mean discrepancy with the kernel k(x, y) = (x . y / dim + 1)^3, by its unbiased estimator
 * (Gretton et al. 2012, eq. 3). It may be negative. Unlike the FID its expectation does not depend
 * on the number of features.
 */
#ifndef CTAUG_MODEL_METRIC_KID_H
#define CTAUG_MODEL_METRIC_KID_H

#include "io/status.h"

#include <stdint.h>

typedef struct kid_settings {
    int64_t subsets, size; /* the mean over `subsets` draws of `size` vectors from each set */
    uint64_t seed;
    int64_t resamples; /* of the subsets, for the interval */
    double level;      /* of the interval */
} kid_settings;

typedef struct kid_result {
    double mean;
    /* Percentile bootstrap over the subsets. It shows how much depends on the draw of subsets, not
     * how the sets themselves would vary: all subsets come from the same vectors. */
    double low, high;
} kid_result;

/* *out = squared discrepancy of a[m][dim] and b[m][dim], m >= 2. ST_INPUT if it is not finite.
 * Local. */
status kid_discrepancy(const float *a, const float *b, int64_t m, int64_t dim, double *out);

/* KID of a[n_a][dim] and b[n_b][dim]. Subset i is drawn without replacement by subset_draw() with
 * index i, step 0 for a and 1 for b. value[subsets]: the subsets' values. ST_INPUT if size is not
 * in 2..min(n_a, n_b), subsets or resamples is less than 1, or a feature is not finite. Local. */
status kid(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim,
           const kid_settings *settings, double *value, kid_result *out);

#endif
