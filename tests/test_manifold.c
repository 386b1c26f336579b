/* Precision, recall, density and coverage: values computed by numpy, points on a line by hand,
 * copies, sets far apart, unusable input. */
#include "model/metric/manifold.h"
#include "tests/feature_case.h"
#include "tests/golden/manifold.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void equals_numpy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_manifold / sizeof *golden_manifold; k++) {
        const struct golden_manifold *g = &golden_manifold[k];
        float *real = features(g->n_real, g->dim, 0), *made = features(g->n_synthetic, g->dim, 1);
        manifold_scores s;
        assert_non_null(real);
        assert_non_null(made);
        assert_int_equal(manifold_compare(real, g->n_real, made, g->n_synthetic, g->dim, g->k, &s),
                         ST_OK);
        assert_true(fabs(s.precision - g->precision) < 1e-12);
        assert_true(fabs(s.recall - g->recall) < 1e-12);
        assert_true(fabs(s.density - g->density) < 1e-12);
        assert_true(fabs(s.coverage - g->coverage) < 1e-12);
        free(real);
        free(made);
    }
}

/* Real 0, 1, 3, 10 have radii 1, 1, 2, 7 for k = 1; synthetic 4.5, 5.5, 20 have 1, 1, 14.5. 4.5 and
 * 5.5 lie in the balls of 3 (4.5 only) and 10 (both); 20 in none. Of the real ones 10 is in the
 * ball of 20 alone. */
static void on_a_line(void **state) {
    (void)state;
    const float real[4] = {0, 1, 3, 10}, made[3] = {4.5f, 5.5f, 20};
    manifold_scores s;
    assert_int_equal(manifold_compare(real, 4, made, 3, 1, 1, &s), ST_OK);
    assert_true(fabs(s.precision - 2 / 3.0) < 1e-15 && fabs(s.recall - 1 / 4.0) < 1e-15);
    assert_true(fabs(s.density - 3 / 3.0) < 1e-15 && fabs(s.coverage - 2 / 4.0) < 1e-15);
}

static void copies_and_strangers(void **state) {
    (void)state;
    enum { N = 200, DIM = 6 };
    float *real = features(N, DIM, 0), *made = features(N, DIM, 0);
    manifold_scores s;
    assert_non_null(real);
    assert_non_null(made);
    assert_int_equal(manifold_compare(real, N, made, N, DIM, 3, &s), ST_OK);
    assert_true(s.precision == 1 && s.recall == 1 && s.coverage == 1);
    assert_true(s.density > 1); /* each ball has its centre and 3 others */
    for (int i = 0; i < N * DIM; i++) made[i] += 100;
    assert_int_equal(manifold_compare(real, N, made, N, DIM, 3, &s), ST_OK);
    assert_true(s.precision == 0 && s.recall == 0 && s.density == 0 && s.coverage == 0);
    free(real);
    free(made);
}

static void unusable_input(void **state) {
    (void)state;
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    manifold_scores s;
    assert_int_equal(manifold_compare(x, 4, x, 3, 2, 3, &s), ST_INPUT);
    assert_int_equal(manifold_compare(x, 3, x, 4, 2, 3, &s), ST_INPUT);
    assert_int_equal(manifold_compare(x, 4, x, 4, 2, 0, &s), ST_INPUT);
    assert_int_equal(manifold_compare(x, 4, x, 4, 0, 1, &s), ST_INPUT);
    x[7] = INFINITY;
    assert_int_equal(manifold_compare(x, 4, x, 4, 2, 1, &s), ST_INPUT);
    assert_non_null(strstr(status_message(), "not finite"));
    assert_true(isnan(s.precision) && isnan(s.coverage));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_numpy),
        cmocka_unit_test(on_a_line),
        cmocka_unit_test(copies_and_strangers),
        cmocka_unit_test(unusable_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
