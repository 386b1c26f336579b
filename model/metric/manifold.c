/* Squared distances |x|^2 + |y|^2 - 2 x . y, from matrix products in f64. Both sets are shifted by
 * the mean of the real one, which changes no distance and reduces the cancellation. */
#include "model/metric/manifold.h"
#include "io/alloc.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>

/* Rows of a distance matrix that are computed together. */
enum { ROWS = 128 };

typedef struct cloud {
    int64_t n, dim;
    double *x;      /* [n][dim] */
    double *square; /* [n] |x|^2 */
    double *radius; /* [n] squared distance of the k-th nearest neighbour */
} cloud;

static void cloud_free(cloud *c) {
    free(c->x);
    free(c->square);
    free(c->radius);
}

/* mean[dim] is subtracted. */
static status cloud_create(const float *x, int64_t n, int64_t dim, const double *mean, cloud *out) {
    status st = ST_OK;
    int64_t values = 0;
    *out = (cloud){.n = n, .dim = dim};
    if (!size_mul(n, dim, &values)) TRY(status_memory("features", INT64_MAX));
    TRY(array_alloc(&out->x, values, sizeof *out->x, "features"));
    TRY(array_alloc(&out->square, n, sizeof *out->square, "features"));
    TRY(array_alloc(&out->radius, n, sizeof *out->radius, "features"));
    for (int64_t r = 0; r < n; r++) {
        for (int64_t i = 0; i < dim; i++) {
            double v = x[r * dim + i] - mean[i];
            out->x[r * dim + i] = v;
            out->square[r] += v * v;
        }
        if (!isfinite(out->square[r]))
            TRY(status_fail(ST_INPUT,
                            "feature vector %" PRId64 " is not finite: the extractor gave NaN or "
                            "infinity for some slice",
                            r));
    }
done:
    return st;
}

static void mean_of(const float *x, int64_t n, int64_t dim, double *mean) {
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < dim; i++) mean[i] += x[r * dim + i];
    for (int64_t i = 0; i < dim; i++) mean[i] /= (double)n;
}

/* squared[rows][b->n]: of rows [from, from + rows) of a to all of b. */
static void distances(const cloud *a, int64_t from, int64_t rows, const cloud *b, double *squared) {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)b->n, (int)a->dim, -2.0,
                a->x + from * a->dim, (int)a->dim, b->x, (int)b->dim, 0.0, squared, (int)b->n);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < b->n; j++) {
            double d = squared[i * b->n + j] + a->square[from + i] + b->square[j];
            squared[i * b->n + j] = d > 0 ? d : 0; /* negative only by rounding */
        }
}

/* The k-th smallest of x[n] without x[self]. nearest: [k], in ascending order. */
static double kth_smallest(const double *x, int64_t n, int64_t self, int64_t k, double *nearest) {
    int64_t known = 0;
    for (int64_t j = 0; j < n; j++) {
        if (j == self || (known == k && x[j] >= nearest[k - 1])) continue;
        int64_t at = known < k ? known++ : k - 1;
        for (; at > 0 && nearest[at - 1] > x[j]; at--) nearest[at] = nearest[at - 1];
        nearest[at] = x[j];
    }
    return nearest[k - 1];
}

static void find_radii(cloud *c, int64_t k, double *squared, double *nearest) {
    for (int64_t from = 0; from < c->n; from += ROWS) {
        int64_t rows = c->n - from < ROWS ? c->n - from : ROWS;
        distances(c, from, rows, c, squared);
        for (int64_t i = 0; i < rows; i++)
            c->radius[from + i] = kth_smallest(squared + i * c->n, c->n, from + i, k, nearest);
    }
}

/* precise[synthetic->n]: zeroed; set to 1 for those in a real ball. */
static void score(const cloud *real, const cloud *synthetic, int64_t k, double *squared,
                  uint8_t *precise, manifold_scores *out) {
    int64_t inside = 0, recalled = 0, covered = 0, precise_count = 0;
    for (int64_t from = 0; from < real->n; from += ROWS) {
        int64_t rows = real->n - from < ROWS ? real->n - from : ROWS;
        distances(real, from, rows, synthetic, squared);
        for (int64_t i = 0; i < rows; i++) {
            int64_t in_ball = 0, in_balls = 0;
            for (int64_t j = 0; j < synthetic->n; j++) {
                double d = squared[i * synthetic->n + j];
                bool in_real = d <= real->radius[from + i];
                in_ball += in_real;
                in_balls += d <= synthetic->radius[j];
                if (in_real) precise[j] = 1;
            }
            inside += in_ball;
            covered += in_ball > 0;
            recalled += in_balls > 0;
        }
    }
    for (int64_t j = 0; j < synthetic->n; j++) precise_count += precise[j];
    out->precision = (double)precise_count / (double)synthetic->n;
    out->recall = (double)recalled / (double)real->n;
    out->density = (double)inside / ((double)k * (double)synthetic->n);
    out->coverage = (double)covered / (double)real->n;
}

static status check(int64_t n_real, int64_t n_synthetic, int64_t dim, int64_t k) {
    if (k < 1 || k >= n_real || k >= n_synthetic || n_real > INT32_MAX || n_synthetic > INT32_MAX ||
        dim < 1 || dim > INT32_MAX)
        return status_fail(ST_INPUT,
                           "neighbour %" PRId64 " among %" PRId64 " real and %" PRId64
                           " synthetic vectors of %" PRId64
                           " dimensions: each set must have more vectors than that",
                           k, n_real, n_synthetic, dim);
    return ST_OK;
}

status manifold_compare(const float *real, int64_t n_real, const float *synthetic,
                        int64_t n_synthetic, int64_t dim, int64_t k, manifold_scores *out) {
    status st = ST_OK;
    cloud a = {0}, b = {0};
    double *mean = NULL, *squared = NULL, *nearest = NULL;
    uint8_t *precise = NULL;
    *out = (manifold_scores){NAN, NAN, NAN, NAN};
    TRY(check(n_real, n_synthetic, dim, k));
    TRY(array_alloc(&mean, dim, sizeof *mean, "features"));
    mean_of(real, n_real, dim, mean);
    TRY(cloud_create(real, n_real, dim, mean, &a));
    TRY(cloud_create(synthetic, n_synthetic, dim, mean, &b));
    int64_t most = n_real > n_synthetic ? n_real : n_synthetic;
    TRY(array_alloc(&squared, ROWS * most, sizeof *squared, "distances"));
    TRY(array_alloc(&nearest, k, sizeof *nearest, "distances"));
    TRY(array_alloc(&precise, n_synthetic, sizeof *precise, "distances"));
    find_radii(&a, k, squared, nearest);
    find_radii(&b, k, squared, nearest);
    score(&a, &b, k, squared, precise, out);
done:
    cloud_free(&a);
    cloud_free(&b);
    free(mean);
    free(squared);
    free(nearest);
    free(precise);
    return st;
}
