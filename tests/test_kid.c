/* The kernel distance: values computed by numpy on the same subsets, a value by hand, no bias for
 * equal distributions, unusable input. */
#include "model/metric/kid.h"
#include "model/metric/subset.h"
#include "model/rng.h"
#include "tests/feature_case.h"
#include "tests/golden/kid.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { SUBSETS_MAX = 100 };

static void equals_numpy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_kid / sizeof *golden_kid; k++) {
        const struct golden_kid *g = &golden_kid[k];
        float *a = features(g->n_a, g->dim, 0), *b = features(g->n_b, g->dim, 1);
        kid_settings s = {g->subsets, g->size, GOLDEN_SEED, GOLDEN_RESAMPLES, GOLDEN_LEVEL};
        kid_result r;
        double value[SUBSETS_MAX];
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(kid(a, g->n_a, b, g->n_b, g->dim, &s, value, &r), ST_OK);
        assert_true(fabs(value[0] - g->first) < 1e-10 * (1 + fabs(g->first)));
        assert_true(fabs(r.mean - g->mean) < 1e-10 * (1 + fabs(g->mean)));
        assert_true(fabs(r.low - g->low) < 1e-10 * (1 + fabs(g->low)));
        assert_true(fabs(r.high - g->high) < 1e-10 * (1 + fabs(g->high)));
        free(a);
        free(b);
    }
}

/* dim 1: k(1, 2) = 27, k(0, 3) = 1, and k(1, 0) + k(1, 3) + k(2, 0) + k(2, 3) = 1 + 64 + 1 + 343.
 */
static void by_hand(void **state) {
    (void)state;
    const float a[2] = {1, 2}, b[2] = {0, 3};
    double d;
    assert_int_equal(kid_discrepancy(a, b, 2, 1, &d), ST_OK);
    assert_true(fabs(d - (27 + 1 - 2 * 409 / 4.0)) < 1e-12);
}

/* Disjoint halves of one distribution: the mean over many draws is 0 within its standard error, the
 * biased estimator would be far above. */
static void unbiased(void **state) {
    (void)state;
    enum { N = 20, DIM = 4, ROUNDS = 4000 };
    double sum = 0, squares = 0, d;
    for (int round = 0; round < ROUNDS; round++) {
        float x[2 * N * DIM];
        rng_stream r = rng_open(2, RNG_NOISE, (uint64_t)round, 0);
        rng_fill_normal(&r, x, 2 * N * DIM);
        assert_int_equal(kid_discrepancy(x, x + N * DIM, N, DIM, &d), ST_OK);
        sum += d;
        squares += d * d;
    }
    double mean = sum / ROUNDS, error = sqrt((squares / ROUNDS - mean * mean) / ROUNDS);
    assert_true(fabs(mean) < 4 * error);
    /* Of the biased estimator the expectation is E k(x, x) - E k(x, y) over N, twice; by
     * E k(x, x) >= (E |x|^2 / dim + 1)^3 = 8 and E k(x, y) = 1 + 3 / dim = 1.75 above 0.6. */
    assert_true(error < 0.05);
}

static void subsets_are_uniform(void **state) {
    (void)state;
    enum { N = 7, COUNT = 3, ROUNDS = 7000 };
    int64_t items[N], seen[N] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        subset_draw(1, (uint64_t)round, 0, N, COUNT, items);
        for (int i = 0; i < N; i++) {
            bool found = false;
            for (int j = 0; j < N; j++) found |= items[j] == i;
            assert_true(found); /* a permutation: no item twice */
        }
        for (int i = 0; i < COUNT; i++) seen[items[i]]++;
    }
    /* Binomial with p = 3 / 7: mean 3000, deviation 41. */
    for (int i = 0; i < N; i++) assert_true(llabs(seen[i] - 3000) < 5 * 41);
    subset_draw(1, 0, 0, N, 0, items);
    subset_draw(1, 0, 0, N, N, items);
}

static void unusable_input(void **state) {
    (void)state;
    float x[12] = {0};
    double value[SUBSETS_MAX];
    kid_result r;
    kid_settings s = {3, 4, 1, 10, 0.95};
    assert_int_equal(kid(x, 3, x, 6, 2, &s, value, &r), ST_INPUT);
    assert_int_equal(kid(x, 6, x, 3, 2, &s, value, &r), ST_INPUT);
    s.size = 1;
    assert_int_equal(kid(x, 6, x, 6, 2, &s, value, &r), ST_INPUT);
    s = (kid_settings){0, 4, 1, 10, 0.95};
    assert_int_equal(kid(x, 6, x, 6, 2, &s, value, &r), ST_INPUT);
    s = (kid_settings){3, 4, 1, 10, 1.5};
    assert_int_equal(kid(x, 6, x, 6, 2, &s, value, &r), ST_INPUT);
    s = (kid_settings){3, 6, 1, 10, 0.95};
    x[5] = NAN;
    assert_int_equal(kid(x, 6, x, 6, 2, &s, value, &r), ST_INPUT);
    assert_non_null(strstr(status_message(), "not finite"));
    assert_true(isnan(r.mean) && isnan(r.low) && isnan(r.high));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_numpy),   cmocka_unit_test(by_hand),
        cmocka_unit_test(unbiased),       cmocka_unit_test(subsets_are_uniform),
        cmocka_unit_test(unusable_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
