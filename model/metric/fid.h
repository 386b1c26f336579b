/* Fréchet distance between two sets of features (Heusel et al. 2017, eq. 6), in f64.
 *
 * Moments are accumulated locally, summed over ranks outside (sum, outer and n are plain sums), and
 * finished once. Covariances use n - 1.
 */
#ifndef CTAUG_MODEL_METRIC_FID_H
#define CTAUG_MODEL_METRIC_FID_H

#include "io/status.h"

#include <stdint.h>

/* Plain sums of x and of x x^T, in f64. */
typedef struct moments {
    int64_t dim;
    int64_t n;
    double *sum;   /* dim */
    double *outer; /* dim * dim, row-major, full */
    double *rows;  /* scratch of moments_add */
} moments;

/* Zeroed; ST_INPUT if dim is not 1..32000. Local. */
status moments_create(int64_t dim, moments *out);
void moments_free(moments *m);

/* Adds `rows` feature vectors (row-major rows x dim). */
void moments_add(moments *m, const float *features, int64_t rows);

/* ||mu_a - mu_b||^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2); LAPACK symmetric eigenvalues, negative
 * ones (rounding) clamped to 0. ST_INPUT if either has n < 2, the sizes differ or a feature was not
 * finite. Local. */
status frechet_distance(const moments *a, const moments *b, double *out);

#endif
