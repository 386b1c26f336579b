/* Fréchet distance between two sets of features (FID; Heusel et al. 2017, eq. 6), in f64.
 *
 * Moments are accumulated on each rank. The caller sums them over the ranks (n, sum and outer are
 * plain sums); the distance is computed from the totals. Covariances are normalised by n - 1.
 */
#ifndef CTAUG_MODEL_METRIC_FID_H
#define CTAUG_MODEL_METRIC_FID_H

#include "io/status.h"

#include <stdint.h>

/* Plain sums of x and of x x^T, in f64. */
typedef struct moments {
    int64_t dim;   /* features a vector */
    int64_t n;     /* vectors */
    double *sum;   /* dim */
    double *outer; /* dim * dim, row-major, both triangles */
    double *rows;  /* scratch of moments_add */
} moments;

/* Creates zeroed moments, which the caller frees with moments_free(). ST_INPUT if dim is not in
 * 1..32000. Local. */
status moments_create(int64_t dim, moments *out);
void moments_free(moments *m);

/* Adds `rows` feature vectors (row-major, rows x dim). Local. */
void moments_add(moments *m, const float *features, int64_t rows);

/* *out = ||mu_a - mu_b||^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), with A and B the covariances.
 * Negative eigenvalues, which are due to rounding, are set to 0. ST_INPUT if n < 2 in a set, the
 * dimensions differ or a feature was not finite; ST_INTERNAL if LAPACK fails. *out is then NAN.
 * Local. */
status frechet_distance(const moments *a, const moments *b, double *out);

/* The same distance of a[n_a][dim] and b[n_b][dim]. With fewer vectors than features in a set it
 * takes n_a n_b dim operations instead of dim^3. Local. */
status frechet_of_rows(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim,
                       double *out);

#endif
