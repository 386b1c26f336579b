/* Importance sampling of time steps: probabilities from the last ten losses by the formula, evenly
 * drawn before, and a mean that stays unbiased. */
#include "model/diffusion/timesteps.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { T = 7 };

/* Loss i of time step t; the first ones, which must be forgotten, are larger. */
static double loss_of(int64_t t, int i) { return (i < 3 ? 1000 : 1) * ((double)t + 0.1 * i); }

/* The share of [0, 1) that leads to each time step, on a grid of u; factor[t - 1] of each. */
static void measure(const timesteps *t, double share[T], double factor[T]) {
    enum { GRID = 1 << 16 };
    memset(share, 0, T * sizeof *share);
    for (int i = 0; i < GRID; i++) {
        double f;
        const int64_t at = timesteps_at(t, (i + 0.5) / GRID, &f);
        assert_in_range(at, 1, T);
        share[at - 1] += 1.0 / GRID;
        factor[at - 1] = f;
    }
}

static void drawn_evenly_until_all_have_ten_losses(void **state) {
    (void)state;
    timesteps t;
    double share[T], factor[T];
    assert_int_equal(timesteps_create(T, &t), ST_OK);
    for (int64_t at = 1; at <= T; at++)
        for (int i = 0; i < (at == 4 ? 9 : 20); i++) timesteps_add(&t, at, loss_of(at, i));
    timesteps_update(&t);
    measure(&t, share, factor);
    for (int k = 0; k < T; k++) {
        assert_float_equal(share[k], 1.0 / T, 1e-4);
        assert_float_equal(factor[k], 1, 1e-12);
    }
    timesteps_add(&t, 4, 1);
    measure(&t, share, factor);
    assert_float_equal(share[3], 1.0 / T, 1e-4); /* not before timesteps_update() */
    timesteps_update(&t);
    measure(&t, share, factor);
    assert_true(share[3] > 0.9); /* its losses are the largest */
    timesteps_free(&t);
}

static void probabilities_follow_from_the_last_ten_losses(void **state) {
    (void)state;
    timesteps t;
    double share[T], factor[T], root[T], total = 0, mean = 0;
    assert_int_equal(timesteps_create(T, &t), ST_OK);
    for (int i = 0; i < 13; i++)
        for (int64_t at = T; at >= 1; at--) timesteps_add(&t, at, loss_of(at, i));
    timesteps_update(&t);
    for (int k = 0; k < T; k++) {
        double square = 0;
        for (int i = 3; i < 13; i++) square += loss_of(k + 1, i) * loss_of(k + 1, i) / 10;
        total += root[k] = sqrt(square);
    }
    measure(&t, share, factor);
    for (int k = 0; k < T; k++) {
        const double p = 0.999 * root[k] / total + 0.001 / T;
        assert_float_equal(share[k], p, 1e-4);
        assert_float_equal(factor[k], 1 / (T * p), 1e-6);
        mean += p * factor[k] * loss_of(k + 1, 5) / T;
    }
    double even = 0;
    for (int k = 0; k < T; k++) even += loss_of(k + 1, 5) / T / T;
    assert_float_equal(mean, even, 1e-6);
    timesteps_free(&t);
}

static void losses_of_zero_are_drawn_evenly(void **state) {
    (void)state;
    timesteps t;
    double share[T], factor[T];
    assert_int_equal(timesteps_create(T, &t), ST_OK);
    for (int i = 0; i < 10; i++)
        for (int64_t at = 1; at <= T; at++) timesteps_add(&t, at, 0);
    timesteps_update(&t);
    measure(&t, share, factor);
    for (int k = 0; k < T; k++) assert_float_equal(share[k], 1.0 / T, 1e-4);
    double f;
    assert_int_equal(timesteps_at(&t, 1 - 0x1p-53, &f), T);
    assert_int_equal(timesteps_at(&t, 0, &f), 1);
    timesteps_free(&t);
}

/* The arrays alone are the state; what no training wrote is refused. */
static void the_state_is_restored(void **state) {
    (void)state;
    timesteps t, copy;
    assert_int_equal(timesteps_create(T, &t), ST_OK);
    assert_int_equal(timesteps_create(T, &copy), ST_OK);
    for (int i = 0; i < 11; i++)
        for (int64_t at = 1; at <= T; at++) timesteps_add(&t, at, loss_of(at, i));
    timesteps_update(&t);
    memcpy(copy.loss, t.loss, T * TIMESTEP_LOSSES * sizeof(float));
    memcpy(copy.count, t.count, T * sizeof(float));
    assert_int_equal(timesteps_restore(&copy), ST_OK);
    assert_memory_equal(copy.reach, t.reach, T * sizeof(double));
    const float counts[] = {-1, 11, 0.5f, NAN};
    for (int i = 0; i < 4; i++) {
        copy.count[3] = counts[i];
        assert_int_equal(timesteps_restore(&copy), ST_INTEGRITY);
    }
    copy.count[3] = 10;
    copy.loss[13] = INFINITY;
    assert_int_equal(timesteps_restore(&copy), ST_INTEGRITY);
    timesteps_free(&t);
    timesteps_free(&copy);
    assert_int_equal(timesteps_create(0, &t), ST_USAGE);
    timesteps_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawn_evenly_until_all_have_ten_losses),
        cmocka_unit_test(probabilities_follow_from_the_last_ten_losses),
        cmocka_unit_test(losses_of_zero_are_drawn_evenly),
        cmocka_unit_test(the_state_is_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
