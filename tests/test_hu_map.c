/* The compressive map of HU: its inverse over all of int16, its linear part, its slope and what is
 * left of HU in f32. */
#include "model/hu_map.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void close_to(double seen, double expected, double tolerance) {
    if (!(fabs(seen - expected) <= tolerance))
        fail_msg("%.17g in place of %.17g within %g", seen, expected, tolerance);
}

static void the_inverse_gives_every_hu_back(void **state) {
    (void)state;
    double before = -INFINITY;
    for (int hu = INT16_MIN; hu <= INT16_MAX; hu++) {
        const double y = hu_map_to(hu);
        const float narrow = (float)y;
        assert_true(y > before);
        before = y;
        close_to(hu_map_from(y), hu, 1e-9);
        assert_int_equal(lround(hu_map_from((double)narrow)), hu);
        if (hu >= -1024 && hu <= 3071) close_to(hu_map_from((double)narrow), hu, 4e-4);
        close_to(hu_map_from((double)narrow), hu, 1e-2);
    }
}

static void the_middle_is_linear_and_the_ends_are_logarithms(void **state) {
    (void)state;
    for (int hu = -1000; hu <= 1000; hu += 50) close_to(hu_map_to(hu), hu / 1000.0, 0);
    /* 1000 e^k HU lie k beyond 1. */
    for (int k = 1; k < 4; k++) {
        close_to(hu_map_to(1000 * exp(k)), 1 + k, 1e-15 * (1 + k));
        close_to(hu_map_to(-1000 * exp(k)), -1 - k, 1e-15 * (1 + k));
    }
    close_to(hu_map_to(3071), 2.1220032, 1e-7);
}

/* The slope is that of the inverse, and continuous where the parts meet. */
static void slope_is_a_finite_difference(void **state) {
    (void)state;
    const double h = 1e-5;
    for (double y = -4.45; y < 4.5; y += 0.1) {
        const double seen = (hu_map_from(y + h) - hu_map_from(y - h)) / (2 * h);
        /* The third derivative is the slope itself: h^2 / 6 of it, and rounding. */
        close_to(seen, hu_map_from_slope(y), 1e-9 * hu_map_from_slope(y));
    }
    for (int side = -1; side <= 1; side += 2) {
        const double within = (hu_map_from(side) - hu_map_from(side - side * h)) / (side * h),
                     beyond = (hu_map_from(side + side * h) - hu_map_from(side)) / (side * h);
        close_to(within, 1000, 1e-6);
        close_to(beyond, 1000, 1000 * h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_inverse_gives_every_hu_back),
        cmocka_unit_test(the_middle_is_linear_and_the_ends_are_logarithms),
        cmocka_unit_test(slope_is_a_finite_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
