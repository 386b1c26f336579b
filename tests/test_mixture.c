/* Mixed batches: the share holds in every batch, the last steps are real alone, and the
 * draws of either kind count up without a gap. */
#include "pipeline/data/mixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

/* Walks over all slots and compares each with what the definition says. */
static void check(int64_t batch, int64_t steps, double share, double last, int64_t synthetic,
                  int64_t real_from) {
    const mixture m = mixture_of(batch, steps, share, last);
    int64_t drawn[2] = {0, 0};
    assert_int_equal(m.synthetic, synthetic);
    assert_int_equal(m.real_from, real_from);
    for (int64_t step = 0; step < steps; step++) {
        int64_t here = 0;
        for (int64_t place = 0; place < batch; place++) {
            int64_t draw;
            const bool is_synthetic = mixture_at(&m, step * batch + place, &draw);
            assert_int_equal(draw, drawn[is_synthetic]++);
            here += is_synthetic;
            /* Spread evenly: never more than one slot away from the share. */
            if (step < real_from)
                assert_true(llabs(here * batch - (place + 1) * synthetic) < batch);
        }
        assert_int_equal(here, step < real_from ? synthetic : 0);
    }
}

static void test_share_and_schedule(void **state) {
    (void)state;
    check(16, 30, 0.75, 0.33, 12, 20);
    check(16, 30, 0.75, 0, 12, 30);
    check(7, 10, 0.5, 0.5, 4, 5);
    check(5, 9, 1, 0.3333, 5, 6);
    check(1, 4, 0.75, 0.25, 1, 3);
}

static void test_real_alone(void **state) {
    (void)state;
    check(16, 5, 0, 0.33, 0, 3);
    check(16, 5, 0.75, 1, 12, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_share_and_schedule),
                                       cmocka_unit_test(test_real_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
