/* Fréchet distance computed from symmetric eigenvalue problems.
 *
 * tr (A^1/2 B A^1/2)^1/2 is the sum of the square roots of the eigenvalues of A^1/2 B A^1/2. With
 * A = V D V^T that matrix has the same eigenvalues as M = D^1/2 (V^T B V) D^1/2. M is symmetric and
 * takes two matrix products and two symmetric eigenvalue problems. The square root of the
 * non-symmetric product A B, used by the first published implementation, is avoided: in floating
 * point it has complex parts that must be discarded.
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
