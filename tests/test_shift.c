/* The shifted test set: noise of the strength that the kernel leaves, an unchanged mean, a larger
 * field of view; clipped at the ends of int16. */
#include "pipeline/data/shift.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SIDE = 256, PIXELS = SIDE * SIDE };

static void noise_and_mean(void **state) {
    (void)state;
    static int16_t hu[PIXELS];
    double sum = 0, square = 0, weight[7], norm = 0, squares = 0;
    rng_stream r = rng_open(2, RNG_SHIFT, 0, 0);
    for (int i = 0; i < PIXELS; i++) hu[i] = 40;
    assert_int_equal(shift_scan(hu, SIDE, &r), ST_OK);
    for (int i = 0; i < PIXELS; i++) {
        sum += hu[i];
        square += (double)hu[i] * hu[i];
    }
    const double mean = sum / PIXELS, deviation = sqrt(square / PIXELS - mean * mean);
    for (int i = 0; i < 7; i++) {
        weight[i] = exp(-0.5 * (i - 3) * (i - 3) / (0.7 * 0.7));
        norm += weight[i];
    }
    for (int i = 0; i < 7; i++) squares += weight[i] * weight[i] / (norm * norm);
    /* White noise of 60 HU filtered along both axes. */
    assert_true(fabs(deviation - 60 * squares) < 0.5);
    assert_true(fabs(mean - 40) < 0.6);
    rng_stream again = rng_open(2, RNG_SHIFT, 0, 0);
    const int16_t before = hu[1234];
    for (int i = 0; i < PIXELS; i++) hu[i] = 40;
    assert_int_equal(shift_scan(hu, SIDE, &again), ST_OK);
    assert_int_equal(hu[1234], before);
}

static void ends_are_clipped(void **state) {
    (void)state;
    static int16_t hu[PIXELS];
    rng_stream r = rng_open(3, RNG_SHIFT, 1, 0);
    for (int i = 0; i < PIXELS; i++) hu[i] = i % 2 ? INT16_MAX : INT16_MAX - 1;
    assert_int_equal(shift_scan(hu, SIDE, &r), ST_OK);
    for (int i = 0; i < PIXELS; i++) assert_true(hu[i] > 30000);
}

static void field_of_view(void **state) {
    (void)state;
    warp w;
    double y, x;
    shift_warp(&w);
    warp_point(&w, 0.5, 0.5, 0.5, &y, &x);
    assert_true(fabs(y - 0.5) < 1e-12 && fabs(x - 0.5) < 1e-12);
    /* A point near the border is taken from outside the stored slice: that is air. */
    warp_point(&w, 0.5, 0.5 + 0.4, 0.5, &y, &x);
    assert_true(fabs(y - (0.5 + 0.4 * shift_field())) < 1e-12 && shift_field() > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_and_mean),
        cmocka_unit_test(ends_are_clipped),
        cmocka_unit_test(field_of_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
