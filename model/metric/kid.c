/* Kernel sums from matrix products of the features, in f64. */
#include "model/metric/kid.h"
#include "io/alloc.h"
#include "model/metric/bootstrap.h"
#include "model/metric/subset.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>

/* Rows of a kernel matrix that are computed together. */
enum { ROWS = 256 };

/* Sum of k(x_i, y_j) over all i and j, or without i = j. x, y: [m][dim]; scratch: [ROWS][m]. */
static double kernel_sum(const double *x, const double *y, int64_t m, int64_t dim, bool diagonal,
                         double *scratch) {
    double sum = 0;
    for (int64_t from = 0; from < m; from += ROWS) {
        int64_t rows = m - from < ROWS ? m - from : ROWS;
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)m, (int)dim,
                    1.0 / (double)dim, x + from * dim, (int)dim, y, (int)dim, 0.0, scratch, (int)m);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < m; j++) {
                double k = scratch[i * m + j] + 1;
                if (diagonal || from + i != j) sum += k * k * k;
            }
    }
    return sum;
}

static status check(int64_t m, int64_t dim) {
    if (m < 2 || m > INT32_MAX || dim < 1 || dim > INT32_MAX)
        return status_fail(ST_INPUT,
                           "kernel distance of %" PRId64 " vectors of %" PRId64
                           " dimensions: at least 2 and 1 are needed",
                           m, dim);
    return ST_OK;
}

status kid_discrepancy(const float *a, const float *b, int64_t m, int64_t dim, double *out) {
    status st = ST_OK;
    double *x = NULL, *y = NULL, *scratch = NULL;
    int64_t values = 0, products = 0;
    *out = NAN;
    TRY(check(m, dim));
    if (!size_mul(m, dim, &values) || !size_mul(ROWS, m, &products))
        TRY(status_memory("kernel distance", INT64_MAX));
    TRY(array_alloc(&x, values, sizeof *x, "features"));
    TRY(array_alloc(&y, values, sizeof *y, "features"));
    TRY(array_alloc(&scratch, products, sizeof *scratch, "kernels"));
    for (int64_t i = 0; i < values; i++) {
        x[i] = a[i];
        y[i] = b[i];
    }
    double n = (double)m;
    double within =
        kernel_sum(x, x, m, dim, false, scratch) + kernel_sum(y, y, m, dim, false, scratch);
    double between = kernel_sum(x, y, m, dim, true, scratch);
    double distance = within / (n * (n - 1)) - 2 * between / (n * n);
    if (!isfinite(distance))
        TRY(status_fail(ST_INPUT, "the kernel distance is not finite: the extractor gave NaN, "
                                  "infinity or very large features for some slice"));
    *out = distance;
done:
    free(x);
    free(y);
    free(scratch);
    return st;
}

status kid(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim,
           const kid_settings *settings, double *value, kid_result *out) {
    status st = ST_OK;
    int64_t size = settings->size, subsets = settings->subsets, values = 0;
    int64_t *items = NULL;
    float *x = NULL, *y = NULL;
    double *drawn = NULL;
    *out = (kid_result){NAN, NAN, NAN};
    TRY(check(size, dim));
    if (size > n_a || size > n_b || subsets < 1 || settings->resamples < 1)
        TRY(status_fail(ST_INPUT,
                        "kernel distance by %" PRId64 " subsets of %" PRId64
                        " vectors from %" PRId64 " and %" PRId64 ", %" PRId64
                        " resamples: a subset cannot be larger than a "
                        "set, and at least 1 of each is needed",
                        subsets, size, n_a, n_b, settings->resamples));
    if (!size_mul(size, dim, &values)) TRY(status_memory("kernel distance", INT64_MAX));
    TRY(array_alloc(&items, n_a > n_b ? n_a : n_b, sizeof *items, "subsets"));
    TRY(array_alloc(&x, values, sizeof *x, "features"));
    TRY(array_alloc(&y, values, sizeof *y, "features"));
    TRY(array_alloc(&drawn, settings->resamples, sizeof *drawn, "resamples"));
    for (int64_t i = 0; i < subsets; i++) {
        subset_draw(settings->seed, (uint64_t)i, 0, n_a, size, items);
        subset_rows(a, items, size, dim, x);
        subset_draw(settings->seed, (uint64_t)i, 1, n_b, size, items);
        subset_rows(b, items, size, dim, y);
        TRY(kid_discrepancy(x, y, size, dim, &value[i]));
    }
    bootstrap_array of_subsets = {value, 1, 1, 1, subsets, 0};
    bootstrap_interval interval;
    TRY(bootstrap_mean(&of_subsets, &out->mean));
    TRY(bootstrap_draw(&of_subsets, settings->seed, settings->resamples, drawn));
    TRY(bootstrap_percentile(drawn, settings->resamples, settings->level, &interval));
    out->low = interval.low;
    out->high = interval.high;
done:
    free(items);
    free(x);
    free(y);
    free(drawn);
    return st;
}
