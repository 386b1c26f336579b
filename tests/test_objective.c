/* epsilon, x0 and v predictions describe the same point: every conversion can be inverted. */
#include "model/diffusion/process.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 257 };

static const double bars[] = {1 - 1e-7, 0.9999, 0.9, 0.5, 0.1, 1e-4, 1e-7, 2.4e-9};

static float x0[N], eps[N], x_t[N], target[N], x0_back[N], eps_back[N];

/* Ho et al. 2020, eq. 4. */
static void diffuse(double alpha_bar, const float *data, const float *noise, float *mixed) {
    const noise_level at = {.alpha = sqrt(alpha_bar), .sigma = sqrt(1 - alpha_bar)};
    process_diffuse(&at, data, noise, mixed, N);
}

static void draw(double alpha_bar) {
    rng_stream r = rng_open(1, RNG_NOISE, 0, 0);
    rng_fill_uniform(&r, x0, N);
    rng_fill_normal(&r, eps, N);
    for (int i = 0; i < N; i++) x0[i] = 2 * x0[i] - 1;
    diffuse(alpha_bar, x0, eps, x_t);
}

/* x_t and the prediction are rounded to f32. The inversion amplifies these errors by the factor
 * that it divides by: 1 / alpha for epsilon, 1 / sigma for x0, 1 for v. */
static void split_undoes_target(void **state) {
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        const objective *o = objective_of((objective_kind)k);
        for (size_t b = 0; b < sizeof bars / sizeof *bars; b++) {
            double alpha = sqrt(bars[b]), sigma = sqrt(1 - bars[b]);
            double x0_error = 2e-6 / (k == 0 ? alpha : 1), eps_error = 2e-6 / (k == 1 ? sigma : 1);
            draw(bars[b]);
            o->target(bars[b], x0, eps, target, N);
            o->split(bars[b], x_t, target, x0_back, eps_back, N);
            for (int i = 0; i < N; i++) {
                assert_true(fabs(x0_back[i] - x0[i]) < x0_error);
                assert_true(fabs(eps_back[i] - eps[i]) < eps_error);
            }
            float alone[N];
            o->split(bars[b], x_t, target, alone, NULL, N);
            assert_memory_equal(alone, x0_back, sizeof alone);
            o->split(bars[b], x_t, target, NULL, alone, N);
            assert_memory_equal(alone, eps_back, sizeof alone);
        }
    }
}

/* x0 and epsilon of any prediction, right or wrong, combine to the given x_t. */
static void split_of_any_prediction_mixes_to_x_t(void **state) {
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        const objective *o = objective_of((objective_kind)k);
        for (size_t b = 0; b < sizeof bars / sizeof *bars; b++) {
            float mixed[N];
            draw(bars[b]);
            rng_stream r = rng_open(2, RNG_NOISE, 0, 0);
            rng_fill_normal(&r, target, N);
            o->split(bars[b], x_t, target, x0_back, eps_back, N);
            diffuse(bars[b], x0_back, eps_back, mixed);
            for (int i = 0; i < N; i++) assert_true(fabsf(mixed[i] - x_t[i]) < 5e-6f);
        }
    }
}

/* v = alpha eps - sigma x_0: x_t where the angle starts, eps at alpha 1, -x_0 at alpha 0. */
static void formulas(void **state) {
    (void)state;
    const objective *o = objective_of(OBJECTIVE_V);
    draw(0.36);
    o->target(0.36, x0, eps, target, N);
    for (int i = 0; i < N; i++) {
        assert_true(fabs(x_t[i] - (0.6 * x0[i] + 0.8 * eps[i])) < 1e-6);
        assert_true(fabs(target[i] - (0.6 * eps[i] - 0.8 * x0[i])) < 1e-6);
    }
    o->target(1, x0, eps, target, N);
    assert_memory_equal(target, eps, sizeof eps);
    o->target(0, x0, eps, target, N);
    for (int i = 0; i < N; i++) assert_true(target[i] == -x0[i]);
    o = objective_of(OBJECTIVE_EPS);
    o->target(0.36, x0, eps, target, N);
    assert_memory_equal(target, eps, sizeof eps);
    o = objective_of(OBJECTIVE_X0);
    o->target(0.36, x0, eps, target, N);
    assert_memory_equal(target, x0, sizeof x0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_undoes_target),
        cmocka_unit_test(split_of_any_prediction_mixes_to_x_t),
        cmocka_unit_test(formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
