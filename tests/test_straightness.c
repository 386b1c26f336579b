/* Straightness of flows whose velocity is known: from noise to normal data S = s (2 - pi / 2), to a
 * point 0; a bent path with a closed form. The error falls with the square of the step. */
#include "model/diffusion/straightness.h"

#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 3, N = 4000, COUNT = BATCH * N };

static process open_flow(void) {
    process p;
    const process_settings set = {.kind = PROCESS_FLOW, .shift = 1};
    assert_int_equal(process_open(&set, &p), ST_OK);
    return p;
}

static void draw(float *z) {
    for (uint64_t b = 0; b < BATCH; b++) {
        rng_stream r = rng_open(8, RNG_SAMPLE, b, 0);
        rng_fill_normal(&r, z + b * N, N);
    }
}

/* Standard deviation and mean of the data of sample b. */
static double spread_of(int64_t b) { return 0.25 * (double)b; }
static double mean_of(int64_t b) { return 0.5 - (double)b; }

/* E[e - x_0 | x_t] for these data; *context counts the calls. */
static status normal_flow(void *context, const float *x_t, const noise_level *at, int conditional,
                          float *predicted) {
    ++*(int *)context;
    assert_true(conditional);
    for (int64_t i = 0; i < COUNT; i++) {
        const double square = spread_of(i / N) * spread_of(i / N), mean = mean_of(i / N);
        const double variance = at->signal * square + at->noise;
        const double slope = (at->sigma - at->alpha * square) / variance;
        predicted[i] = (float)(-mean + slope * ((double)x_t[i] - at->alpha * mean));
    }
    return ST_OK;
}

/* Mean of x^2 over sample b of the noise, which S is proportional to. */
static double power_of(const float *z, int64_t b) {
    double sum = 0;
    for (int64_t i = b * N; i < (b + 1) * N; i++) sum += (double)z[i] * (double)z[i];
    return sum / N;
}

static void it_has_a_closed_form_for_normal_data(void **state) {
    (void)state;
    process p = open_flow();
    float *noise = malloc(COUNT * sizeof *noise), *z = malloc(COUNT * sizeof *z);
    assert_non_null(noise);
    assert_non_null(z);
    double error[2][BATCH];
    draw(noise);
    for (int finer = 0; finer < 2; finer++) {
        const int steps = finer ? 64 : 32;
        double found[BATCH];
        int calls = 0;
        memcpy(z, noise, COUNT * sizeof *z);
        assert_int_equal(straightness_measure(&p, normal_flow, &calls, steps, BATCH, N, z, found),
                         ST_OK);
        assert_int_equal(calls, 2 * steps);
        for (int b = 0; b < BATCH; b++) {
            const double expected = spread_of(b) * (2 - M_PI / 2) * power_of(noise, b);
            error[finer][b] = found[b] - expected;
            assert_true(found[b] >= 0);
            assert_float_equal(found[b], expected, finer ? 1e-3 : 4e-3);
            for (int i = 0; i < N; i++)
                assert_float_equal(z[b * N + i],
                                   mean_of(b) + spread_of(b) * (double)noise[b * N + i], 4e-3);
        }
        assert_float_equal(found[0], 0, 1e-5); /* to a point: straight */
    }
    for (int b = 1; b < BATCH; b++) {
        const double ratio = error[0][b] / error[1][b];
        assert_true(ratio > 3.5 && ratio < 4.5);
    }
    free(noise);
    free(z);
    process_free(&p);
}

/* v = 2 c t whatever x: z_1 - z_0 = c, S = integral of c^2 (2 t - 1)^2 = c^2 / 3. */
static status accelerating(void *context, const float *x_t, const noise_level *at, int conditional,
                           float *predicted) {
    (void)x_t, (void)conditional;
    for (int64_t i = 0; i < COUNT; i++) predicted[i] = (float)(2 * *(double *)context * at->t);
    return ST_OK;
}

static void speed_counts_as_well_as_direction(void **state) {
    (void)state;
    process p = open_flow();
    float *z = calloc(COUNT, sizeof *z);
    double found[BATCH], speed = 0.8;
    assert_non_null(z);
    assert_int_equal(straightness_measure(&p, accelerating, &speed, 64, BATCH, N, z, found), ST_OK);
    for (int b = 0; b < BATCH; b++) {
        assert_float_equal(z[b * N], -speed, 1e-5);
        assert_float_equal(found[b], speed * speed / 3, 1e-3);
    }
    free(z);
    process_free(&p);
}

static void it_is_that_of_a_flow(void **state) {
    (void)state;
    process p;
    const process_settings set = {.kind = PROCESS_EDM, .sigma_data = 1};
    float z[2] = {0};
    double found[1];
    int calls = 0;
    assert_int_equal(process_open(&set, &p), ST_OK);
    assert_int_equal(straightness_measure(&p, normal_flow, &calls, 4, 1, 2, z, found), ST_USAGE);
    process_free(&p);
    p = open_flow();
    assert_int_equal(straightness_measure(&p, normal_flow, &calls, 0, 1, 2, z, found), ST_USAGE);
    assert_int_equal(calls, 0);
    process_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_a_closed_form_for_normal_data),
        cmocka_unit_test(speed_counts_as_well_as_direction),
        cmocka_unit_test(it_is_that_of_a_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
