/* The Fréchet distance: closed forms, invariances, unusable input, and values computed by numpy. */
#include "model/metric/fid.h"
#include "model/rng.h"
#include "tests/feature_case.h"
#include "tests/golden/fid.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static double distance(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim) {
    moments ma, mb;
    double d;
    assert_int_equal(moments_create(dim, &ma), ST_OK);
    assert_int_equal(moments_create(dim, &mb), ST_OK);
    moments_add(&ma, a, n_a);
    moments_add(&mb, b, n_b);
    assert_int_equal(frechet_distance(&ma, &mb, &d), ST_OK);
    moments_free(&ma);
    moments_free(&mb);
    return d;
}

static double of_rows(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim) {
    double d;
    assert_int_equal(frechet_of_rows(a, n_a, b, n_b, dim, &d), ST_OK);
    return d;
}

/* Two of the cases have fewer vectors than dimensions and therefore singular covariances. */
static void equals_numpy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_fid / sizeof *golden_fid; k++) {
        const struct golden_fid *g = &golden_fid[k];
        float *a = features(g->n_a, g->dim, 0), *b = features(g->n_b, g->dim, 1);
        assert_non_null(a);
        assert_non_null(b);
        double ab = distance(a, g->n_a, b, g->n_b, g->dim);
        double ba = distance(b, g->n_b, a, g->n_a, g->dim);
        assert_true(fabs(ab - g->distance) < 1e-5 * g->distance);
        assert_true(fabs(ab - ba) < 1e-6 * ab);
        assert_true(distance(a, g->n_a, a, g->n_a, g->dim) < 1e-5);
        assert_true(fabs(of_rows(a, g->n_a, b, g->n_b, g->dim) - g->distance) < 1e-5 * g->distance);
        assert_true(fabs(of_rows(b, g->n_b, a, g->n_a, g->dim) - ab) < 1e-6 * ab);
        assert_true(of_rows(a, g->n_a, a, g->n_a, g->dim) < 1e-5);
        free(a);
        free(b);
    }
}

/* Moments made by hand: n vectors of mean mu and diagonal covariance c have
 * outer = (n - 1) c + n mu mu^T. Then d = |mu_a - mu_b|^2 + sum (sqrt c_a - sqrt c_b)^2. */
static void by_hand(moments *m, int64_t n, const double *mean, const double *cov, int64_t dim) {
    assert_int_equal(moments_create(dim, m), ST_OK);
    m->n = n;
    for (int64_t i = 0; i < dim; i++) {
        m->sum[i] = (double)n * mean[i];
        for (int64_t j = 0; j < dim; j++)
            m->outer[i * dim + j] =
                (i == j ? (double)(n - 1) * cov[i] : 0) + (double)n * mean[i] * mean[j];
    }
}

static void diagonal_closed_form(void **state) {
    (void)state;
    enum { DIM = 6 };
    const double mean_a[DIM] = {0, 1, 2, -3, 0.5, 0}, cov_a[DIM] = {1, 4, 0, 2, 1e-6, 9};
    const double mean_b[DIM] = {1, 1, 0, -3, 0, 0}, cov_b[DIM] = {1, 1, 3, 0, 1e3, 9};
    moments a, b;
    double d, truth = 0;
    by_hand(&a, 1000, mean_a, cov_a, DIM);
    by_hand(&b, 50, mean_b, cov_b, DIM);
    for (int i = 0; i < DIM; i++)
        truth += pow(mean_a[i] - mean_b[i], 2) + pow(sqrt(cov_a[i]) - sqrt(cov_b[i]), 2);
    assert_int_equal(frechet_distance(&a, &b, &d), ST_OK);
    assert_true(fabs(d - truth) < 1e-6 * truth);
    moments_free(&a);
    moments_free(&b);
}

/* The same rotation of both sets changes nothing; a shift of one set by s adds |s|^2. */
static void rotation_and_shift(void **state) {
    (void)state;
    enum { N = 300, DIM = 5 };
    float a[N * DIM], b[N * DIM];
    rng_stream r = rng_open(1, RNG_NOISE, 0, 0);
    rng_fill_normal(&r, a, N * DIM);
    rng_fill_normal(&r, b, N * DIM);
    for (int i = 0; i < N * DIM; i++) b[i] = b[i] * (1 + (float)(i % DIM)) + 0.25f;
    double plain = distance(a, N, b, N, DIM);
    for (int k = 0; k < 40; k++) {
        int p = k % DIM, q = (k + 1 + k / DIM % (DIM - 1)) % DIM;
        float c = (float)cos(k + 1), s = (float)sin(k + 1);
        for (int row = 0; row < N; row++) {
            float *sets[2] = {a + row * DIM, b + row * DIM};
            for (int w = 0; w < 2; w++) {
                float x = sets[w][p], y = sets[w][q];
                sets[w][p] = c * x - s * y, sets[w][q] = s * x + c * y;
            }
        }
    }
    assert_true(fabs(distance(a, N, b, N, DIM) - plain) < 1e-5 * plain);
    /* 4 vectors are fewer than the features. */
    assert_true(fabs(of_rows(a, 4, b, N, DIM) - distance(a, 4, b, N, DIM)) < 1e-5 * plain);
    float moved[N * DIM];
    for (int i = 0; i < N * DIM; i++) moved[i] = a[i] + (i % DIM == 2 ? 3 : 0);
    assert_true(fabs(distance(a, N, moved, N, DIM) - 9) < 1e-4);
    assert_true(fabs(of_rows(a, 4, moved, 4, DIM) - 9) < 1e-4);
}

/* Moments summed over pieces, as ranks do, equal those of the whole; outer is full and symmetric.
 */
static void pieces_add_up(void **state) {
    (void)state;
    enum { N = 201, DIM = 7 };
    moments whole, left, right;
    float *x = features(N, DIM, 1);
    assert_non_null(x);
    assert_int_equal(moments_create(DIM, &whole), ST_OK);
    assert_int_equal(moments_create(DIM, &left), ST_OK);
    assert_int_equal(moments_create(DIM, &right), ST_OK);
    moments_add(&whole, x, N);
    moments_add(&left, x, 70);
    moments_add(&right, x + 70 * DIM, 1);
    moments_add(&right, x, 0);
    moments_add(&right, x + 71 * DIM, N - 71);
    assert_int_equal(left.n + right.n, whole.n);
    for (int i = 0; i < DIM; i++) {
        assert_true(fabs(left.sum[i] + right.sum[i] - whole.sum[i]) < 1e-10);
        for (int j = 0; j < DIM; j++) {
            double truth = 0, two = left.outer[i * DIM + j] + right.outer[i * DIM + j];
            for (int r = 0; r < N; r++) truth += (double)x[r * DIM + i] * x[r * DIM + j];
            assert_true(fabs(whole.outer[i * DIM + j] - truth) < 1e-10);
            assert_true(fabs(two - truth) < 1e-10);
        }
    }
    moments_free(&whole);
    moments_free(&left);
    moments_free(&right);
    free(x);
}

static void wrong_sets(void **state) {
    (void)state;
    moments a, b, other;
    double d;
    const float x[6] = {1, 2, 3, 4, 5, 7}, bad[4] = {1, 2, NAN, 3};
    assert_int_equal(moments_create(0, &a), ST_INPUT);
    assert_int_equal(moments_create(INT64_MAX, &a), ST_INPUT);
    assert_int_equal(moments_create(2, &a), ST_OK);
    assert_int_equal(moments_create(2, &b), ST_OK);
    assert_int_equal(moments_create(3, &other), ST_OK);
    moments_add(&a, x, 3);
    moments_add(&b, x, 1);
    moments_add(&other, x, 2);
    assert_int_equal(frechet_distance(&a, &b, &d), ST_INPUT);
    assert_int_equal(frechet_distance(&a, &other, &d), ST_INPUT);
    moments_add(&b, bad, 2);
    assert_int_equal(frechet_distance(&a, &b, &d), ST_INPUT);
    assert_non_null(strstr(status_message(), "not finite"));
    assert_true(isnan(d));
    moments_free(&a);
    moments_free(&b);
    moments_free(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_numpy),       cmocka_unit_test(diagonal_closed_form),
        cmocka_unit_test(rotation_and_shift), cmocka_unit_test(pieces_add_up),
        cmocka_unit_test(wrong_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
