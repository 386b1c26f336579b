/* Fréchet distance computed from symmetric eigenvalue problems, or of few vectors from a singular
 * value problem.
 *
 * tr (A^1/2 B A^1/2)^1/2 is the sum of the square roots of the eigenvalues of A^1/2 B A^1/2. With
 * A = V D V^T that matrix has the same eigenvalues as M = D^1/2 (V^T B V) D^1/2. M is symmetric and
 * takes two matrix products and two symmetric eigenvalue problems. The square root of the
 * non-symmetric product A B, used by the first published implementation, is avoided: in floating
 * point it has complex parts that must be discarded.
 *
 * Let the rows of X be the centred vectors of a set divided by the root of n - 1, so that A = X^T
 * X, and Y those of the other. The same trace is then the sum of the singular values of X Y^T,
 * which has n_a x n_b elements.
 */
#include "model/metric/fid.h"
#include "io/alloc.h"

#include <cblas.h>
#include <inttypes.h>
#include <lapacke.h>
#include <math.h>

/* Feature vectors that are converted to f64 together, so that their outer products are one matrix
 * product. */
enum { ROWS = 64 };

/* The largest dimension (rounded) for which LAPACK can address the matrix and the workspace of
 * dsyevd, 1 + 6 dim + 2 dim^2, with 32-bit integers. */
enum { DIM_MAX = 32000 };

status moments_create(int64_t dim, moments *out) {
    status st = ST_OK;
    *out = (moments){0};
    if (dim < 1 || dim > DIM_MAX)
        TRY(status_fail(ST_INPUT,
                        "features of %" PRId64
                        " dimensions: the number of dimensions must be 1 to %d",
                        dim, DIM_MAX));
    TRY(array_alloc(&out->sum, dim, sizeof *out->sum, "feature sums"));
    TRY(array_alloc(&out->outer, dim * dim, sizeof *out->outer, "feature products"));
    TRY(array_alloc(&out->rows, ROWS * dim, sizeof *out->rows, "feature rows"));
    out->dim = dim;
done:
    if (st != ST_OK) moments_free(out);
    return st;
}

void moments_free(moments *m) {
    free(m->sum);
    free(m->outer);
    free(m->rows);
    *m = (moments){0};
}

void moments_add(moments *m, const float *features, int64_t rows) {
    int64_t dim = m->dim;
    for (int64_t from = 0; from < rows; from += ROWS) {
        int64_t count = rows - from < ROWS ? rows - from : ROWS;
        for (int64_t r = 0; r < count; r++) {
            for (int64_t i = 0; i < dim; i++) {
                double x = features[(from + r) * dim + i];
                m->rows[r * dim + i] = x;
                m->sum[i] += x;
            }
        }
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)dim, (int)dim, (int)count, 1.0,
                    m->rows, (int)dim, m->rows, (int)dim, 1.0, m->outer, (int)dim);
    }
    m->n += rows;
}

/* cov = (outer - sum sum^T / n) / (n - 1), exactly symmetric. `which`: the set, for the message. */
static status covariance(const moments *m, const char *which, double *cov) {
    double n = (double)m->n;
    for (int64_t i = 0; i < m->dim; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double both = 0.5 * (m->outer[i * m->dim + j] + m->outer[j * m->dim + i]);
            double c = (both - m->sum[i] * m->sum[j] / n) / (n - 1);
            if (!isfinite(c))
                return status_fail(ST_INPUT,
                                   "the covariance of the %s set of features is not finite at "
                                   "(%" PRId64 ", %" PRId64 "): the extractor gave NaN or "
                                   "infinity for some slice",
                                   which, i, j);
            cov[i * m->dim + j] = cov[j * m->dim + i] = c;
        }
    }
    return ST_OK;
}

/* Eigenvalues of the symmetric `matrix` in ascending order, negative ones set to 0. If `vectors` is
 * set, the eigenvectors replace the matrix, one in each column; otherwise its contents are lost. */
static status eigen(double *matrix, int64_t dim, bool vectors, double *values) {
    lapack_int info = LAPACKE_dsyevd(LAPACK_ROW_MAJOR, vectors ? 'V' : 'N', 'U', (lapack_int)dim,
                                     matrix, (lapack_int)dim, values);
    if (info != 0)
        return status_fail(ST_INTERNAL,
                           "LAPACK dsyevd failed with code %d on a covariance of %" PRId64
                           " dimensions",
                           (int)info, dim);
    for (int64_t i = 0; i < dim; i++)
        if (values[i] < 0) values[i] = 0;
    return ST_OK;
}

/* out = op(a) b, where op transposes `a` if asked to; dim x dim matrices. */
static void product(const double *a, CBLAS_TRANSPOSE transpose, const double *b, double *out,
                    int64_t dim) {
    int n = (int)dim;
    cblas_dgemm(CblasRowMajor, transpose, CblasNoTrans, n, n, n, 1.0, a, n, b, n, 0.0, out, n);
}

static double trace(const double *matrix, int64_t dim) {
    double sum = 0;
    for (int64_t i = 0; i < dim; i++) sum += matrix[i * dim + i];
    return sum;
}

/* M of the first comment, from V, D and B. It is symmetric up to rounding; dsyevd reads one
 * triangle only. `scratch` holds dim * dim values. */
static void symmetric_product(const double *v, const double *d, const double *b, double *scratch,
                              double *m, int64_t dim) {
    product(b, CblasNoTrans, v, scratch, dim);
    product(v, CblasTrans, scratch, m, dim);
    for (int64_t i = 0; i < dim; i++)
        for (int64_t j = 0; j < dim; j++) m[i * dim + j] *= sqrt(d[i] * d[j]);
}

static status check(const moments *a, const moments *b) {
    if (a->dim != b->dim)
        return status_fail(ST_INPUT,
                           "Fréchet distance between features of %" PRId64 " and %" PRId64
                           " dimensions: both sets must come from the same extractor",
                           a->dim, b->dim);
    if (a->n < 2 || b->n < 2)
        return status_fail(ST_INPUT,
                           "Fréchet distance between %" PRId64 " and %" PRId64
                           " feature vectors: a covariance needs at least 2 of each",
                           a->n, b->n);
    return ST_OK;
}

status frechet_distance(const moments *a, const moments *b, double *out) {
    status st = ST_OK;
    int64_t dim = a->dim, square = dim * dim;
    double *memory = NULL;
    *out = NAN;
    TRY(check(a, b));
    TRY(array_alloc(&memory, 4 * square + dim, sizeof *memory, "covariances"));
    double *cov_a = memory, *cov_b = memory + square, *scratch = memory + 2 * square;
    double *m = memory + 3 * square, *values = memory + 4 * square;

    TRY(covariance(a, "first", cov_a));
    TRY(covariance(b, "second", cov_b));
    double distance = trace(cov_a, dim) + trace(cov_b, dim);
    for (int64_t i = 0; i < dim; i++) {
        double gap = a->sum[i] / (double)a->n - b->sum[i] / (double)b->n;
        distance += gap * gap;
    }
    TRY(eigen(cov_a, dim, true, values));
    symmetric_product(cov_a, values, cov_b, scratch, m, dim);
    TRY(eigen(m, dim, false, values));
    for (int64_t i = 0; i < dim; i++) distance -= 2 * sqrt(values[i]);
    *out = distance < 0 ? 0 : distance; /* negative only by rounding */
done:
    free(memory);
    return st;
}

/* rows[n][dim] = the vectors without their mean, divided by the root of n - 1. ST_INPUT if one is
 * not finite. */
static status centre(const float *x, int64_t n, int64_t dim, const char *which, double *mean,
                     double *rows) {
    for (int64_t j = 0; j < dim; j++) mean[j] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < dim; j++) mean[j] += (double)x[i * dim + j];
    for (int64_t j = 0; j < dim; j++) {
        mean[j] /= (double)n;
        if (!isfinite(mean[j]))
            return status_fail(ST_INPUT,
                               "feature %" PRId64 " of the %s set is not finite for some slice", j,
                               which);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < dim; j++)
            rows[i * dim + j] = ((double)x[i * dim + j] - mean[j]) / sqrt((double)(n - 1));
    return ST_OK;
}

/* *sum = the sum of the singular values of matrix[m][n], whose contents are lost. values[min(m,
 * n)]: scratch. LAPACK gets the transposed matrix, which has the same ones. */
static status singular_sum(double *matrix, int64_t m, int64_t n, double *values, double *sum) {
    double none = 0;
    const int64_t least = m < n ? m : n;
    lapack_int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', (lapack_int)n, (lapack_int)m, matrix,
                                     (lapack_int)n, values, &none, 1, &none, 1);
    if (info != 0)
        return status_fail(ST_INTERNAL,
                           "LAPACK dgesdd failed with code %d on products of %" PRId64
                           " and %" PRId64 " features",
                           (int)info, m, n);
    *sum = 0;
    for (int64_t i = 0; i < least; i++) *sum += values[i];
    return ST_OK;
}

/* The distance by singular values. Local. */
static status distance_of_few(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim,
                              double *out) {
    status st = ST_OK;
    double *x = NULL, *y = NULL, *mean = NULL, *product = NULL, *values = NULL, root = 0;
    TRY(array_alloc(&x, n_a * dim, sizeof *x, "features"));
    TRY(array_alloc(&y, n_b * dim, sizeof *y, "features"));
    TRY(array_alloc(&mean, 2 * dim, sizeof *mean, "features"));
    TRY(array_alloc(&product, n_a * n_b, sizeof *product, "products of features"));
    TRY(array_alloc(&values, n_a < n_b ? n_a : n_b, sizeof *values, "singular values"));
    TRY(centre(a, n_a, dim, "first", mean, x));
    TRY(centre(b, n_b, dim, "second", mean + dim, y));
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n_a, (int)n_b, (int)dim, 1.0, x,
                (int)dim, y, (int)dim, 0.0, product, (int)n_b);
    double distance = 0;
    for (int64_t i = 0; i < n_a * dim; i++) distance += x[i] * x[i];
    for (int64_t i = 0; i < n_b * dim; i++) distance += y[i] * y[i];
    for (int64_t j = 0; j < dim; j++) distance += pow(mean[j] - mean[dim + j], 2);
    TRY(singular_sum(product, n_a, n_b, values, &root));
    distance -= 2 * root;
    *out = distance < 0 ? 0 : distance; /* negative only by rounding */
done:
    free(x);
    free(y);
    free(mean);
    free(product);
    free(values);
    return st;
}

status frechet_of_rows(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim,
                       double *out) {
    status st = ST_OK;
    moments m = {0}, n = {0};
    int64_t size = 0;
    *out = NAN;
    if (n_a >= 2 && n_b >= 2 && (n_a < dim || n_b < dim) && size_mul(n_a, dim, &size) &&
        size_mul(n_b, dim, &size) && size_mul(n_a, n_b, &size))
        return distance_of_few(a, n_a, b, n_b, dim, out);
    TRY(moments_create(dim, &m));
    TRY(moments_create(dim, &n));
    moments_add(&m, a, n_a);
    moments_add(&n, b, n_b);
    TRY(frechet_distance(&m, &n, out));
done:
    moments_free(&m);
    moments_free(&n);
    return st;
}
