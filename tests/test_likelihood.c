/* The groups of time steps: together all of 2..T, each once, of nearly equal ratio. */
#include "pipeline/evaluate/likelihood.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void groups_cover_every_time_once(void **state) {
    (void)state;
    for (int64_t steps = 2; steps <= 10000; steps += 1 + steps / 7)
        for (int64_t groups = 1; groups <= LIKELIHOOD_GROUPS; groups++) {
            int64_t first[LIKELIHOOD_GROUPS + 1];
            const int64_t count = likelihood_groups(steps, groups, first);
            assert_int_equal(count, groups < steps - 1 ? groups : steps - 1);
            assert_int_equal(first[0], 2);
            assert_int_equal(first[count], steps + 1);
            for (int64_t k = 0; k < count; k++) assert_true(first[k + 1] > first[k]);
        }
}

/* 4 groups of 2..1023 have the ratio 512^(1/4) = 4.76. */
static void groups_have_equal_ratios(void **state) {
    (void)state;
    int64_t first[LIKELIHOOD_GROUPS + 1];
    assert_int_equal(likelihood_groups(1023, 4, first), 4);
    const int64_t truth[] = {2, 10, 45, 215, 1024};
    for (int k = 0; k <= 4; k++) assert_int_equal(first[k], truth[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_cover_every_time_once),
        cmocka_unit_test(groups_have_equal_ratios),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
