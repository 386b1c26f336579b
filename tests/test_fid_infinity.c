/* The extrapolated Frechet distance: values computed by numpy with the same draws, less bias than
 * from all vectors, unusable input. */
#include "model/metric/fid.h"
#include "model/metric/fid_infinity.h"
#include "model/rng.h"
#include "tests/feature_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/golden/fid_infinity.h"

static void equals_numpy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_fid_infinity / sizeof *golden_fid_infinity; k++) {
        const struct golden_fid_infinity *g = &golden_fid_infinity[k];
        float *a = features(g->n_a, g->dim, 0), *b = features(g->n_b, g->dim, 1);
        fid_infinity_settings s = {GOLDEN_SIZE, GOLDEN_SIZES, g->draws, GOLDEN_SEED, g->whole};
        fid_infinity_result r;
        double fid[GOLDEN_SIZES];
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(fid_infinity(a, g->n_a, b, g->n_b, g->dim, &s, fid, &r), ST_OK);
        for (int i = 0; i < GOLDEN_SIZES; i++)
            assert_true(fabs(fid[i] - g->fid[i]) < 1e-8 * (1 + g->fid[i]));
        assert_true(fabs(r.intercept - g->intercept) < 1e-8 * (1 + fabs(g->intercept)));
        assert_true(fabs(r.slope - g->slope) < 1e-6 * (1 + fabs(g->slope)));
        free(a);
        free(b);
    }
}

/* Two sets from one distribution have distance 0: of 600 vectors each the plain estimate is above
 * it by the trace of the covariance of the means, 2 * 12 / 600, and more. */
static void less_bias(void **state) {
    (void)state;
    enum { N = 600, DIM = 12, SIZES = 4 };
    static float a[N * DIM], b[N * DIM];
    const int64_t size[SIZES] = {100, 150, 300, 500};
    fid_infinity_settings s = {size, SIZES, 8, 1, false};
    fid_infinity_result r;
    moments of_a, of_b;
    double fid[SIZES], plain;
    rng_stream stream = rng_open(6, RNG_NOISE, 0, 0);
    rng_fill_normal(&stream, a, N * DIM);
    rng_fill_normal(&stream, b, N * DIM);
    assert_int_equal(fid_infinity(a, N, b, N, DIM, &s, fid, &r), ST_OK);
    assert_int_equal(moments_create(DIM, &of_a), ST_OK);
    assert_int_equal(moments_create(DIM, &of_b), ST_OK);
    moments_add(&of_a, a, N);
    moments_add(&of_b, b, N);
    assert_int_equal(frechet_distance(&of_a, &of_b, &plain), ST_OK);
    assert_true(plain > 24.0 / N);
    assert_true(fabs(r.intercept) < plain / 3 && r.slope > 0);
    for (int i = 1; i < SIZES; i++) assert_true(fid[i] < fid[i - 1]);
    moments_free(&of_a);
    moments_free(&of_b);
}

static void unusable_input(void **state) {
    (void)state;
    float x[20] = {0};
    double fid[2];
    fid_infinity_result r;
    int64_t size[2] = {5, 5};
    fid_infinity_settings s = {size, 2, 1, 1, false};
    assert_int_equal(fid_infinity(x, 10, x, 10, 2, &s, fid, &r), ST_INPUT);
    size[1] = 11;
    assert_int_equal(fid_infinity(x, 10, x, 10, 2, &s, fid, &r), ST_INPUT);
    size[1] = 1;
    assert_int_equal(fid_infinity(x, 10, x, 10, 2, &s, fid, &r), ST_INPUT);
    size[1] = 8;
    assert_int_equal(fid_infinity(x, 7, x, 10, 2, &s, fid, &r), ST_INPUT);
    s.draws = 0;
    assert_int_equal(fid_infinity(x, 10, x, 10, 2, &s, fid, &r), ST_INPUT);
    s.draws = 1;
    assert_int_equal(fid_infinity(x, 10, x, 10, 0, &s, fid, &r), ST_INPUT);
    s.sizes = 0;
    assert_int_equal(fid_infinity(x, 10, x, 10, 2, &s, fid, &r), ST_INPUT);
    assert_true(isnan(r.intercept) && isnan(r.slope));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_numpy),
        cmocka_unit_test(less_bias),
        cmocka_unit_test(unusable_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
