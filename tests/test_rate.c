/* Intervals of a rate against scipy, their symmetry, and rates that do not exist. */
#include "model/metric/rate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/golden/rate.h"

static void equals_scipy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_rate / sizeof *golden_rate; k++) {
        const struct golden_rate *g = &golden_rate[k];
        rate_interval wilson = rate_wilson(g->hits, g->trials, g->level);
        rate_interval exact = rate_clopper_pearson(g->hits, g->trials, g->level);
        assert_true(fabs(wilson.low - g->wilson_low) < 1e-12);
        assert_true(fabs(wilson.high - g->wilson_high) < 1e-12);
        assert_true(fabs(exact.low - g->exact_low) < 1e-10);
        assert_true(fabs(exact.high - g->exact_high) < 1e-10);
        rate_interval turned = rate_clopper_pearson(g->trials - g->hits, g->trials, g->level);
        assert_true(fabs(turned.low - (1 - exact.high)) < 1e-15);
        turned = rate_wilson(g->trials - g->hits, g->trials, g->level);
        assert_true(fabs(turned.low - (1 - wilson.high)) < 1e-12);
    }
}

static void no_rate(void **state) {
    (void)state;
    const struct {
        int64_t hits, trials;
        double level;
    } cases[] = {{0, 0, 0.95}, {-1, 5, 0.95}, {6, 5, 0.95}, {2, 5, 0}, {2, 5, 1}, {2, 5, NAN}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        rate_interval wilson = rate_wilson(cases[k].hits, cases[k].trials, cases[k].level);
        rate_interval exact = rate_clopper_pearson(cases[k].hits, cases[k].trials, cases[k].level);
        assert_true(isnan(wilson.low) && isnan(wilson.high));
        assert_true(isnan(exact.low) && isnan(exact.high));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_scipy), cmocka_unit_test(no_rate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
