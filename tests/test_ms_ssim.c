/* Structural similarity: values computed by numpy and scipy, equal images, draws of pairs,
 * independence of the threads, unusable input. */
#include "model/metric/ms_ssim.h"
#include "tests/golden/ms_ssim.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE_MAX_TESTED = 200 };

/* The images of tests/golden/ms_ssim.py. */
static void fill(float *x, int size, int which, int sign) {
    for (int r = 0; r < size; r++)
        for (int c = 0; c < size; c++)
            x[r * size + c] = (float)sign * (float)(sin(0.11 * r * (1 + 0.02 * which) + 0.05 * c) +
                                                    0.2 * cos(1.9 * r * c + which));
}

static void equals_scipy(void **state) {
    (void)state;
    static float a[SIZE_MAX_TESTED * SIZE_MAX_TESTED], b[SIZE_MAX_TESTED * SIZE_MAX_TESTED];
    for (size_t k = 0; k < sizeof golden_ms_ssim / sizeof *golden_ms_ssim; k++) {
        const struct golden_ms_ssim *g = &golden_ms_ssim[k];
        double ab, ba, aa, single;
        fill(a, g->size, 0, 1);
        fill(b, g->size, g->which, g->sign);
        assert_int_equal(ssim(a, b, g->size, g->range, &single), ST_OK);
        assert_true(fabs(single - g->single) < 1e-9);
        assert_int_equal(ssim(a, a, g->size, g->range, &single), ST_OK);
        assert_true(fabs(single - 1) < 1e-12);
        assert_int_equal(ms_ssim(a, b, g->size, g->range, &ab), ST_OK);
        assert_int_equal(ms_ssim(b, a, g->size, g->range, &ba), ST_OK);
        assert_int_equal(ms_ssim(a, a, g->size, g->range, &aa), ST_OK);
        assert_true(fabs(ab - g->similarity) < 1e-9);
        assert_true(fabs(ab - ba) < 1e-12);
        assert_true(fabs(aa - 1) < 1e-12);
    }
}

static void pairs_of_a_set(void **state) {
    (void)state;
    static float image[GOLDEN_IMAGES * GOLDEN_SIZE * GOLDEN_SIZE];
    double value[2][GOLDEN_PAIRS], mean;
    int threads = omp_get_max_threads();
    for (int i = 0; i < GOLDEN_IMAGES; i++)
        fill(image + i * GOLDEN_SIZE * GOLDEN_SIZE, GOLDEN_SIZE, i, 1);
    for (int k = 0; k < 2; k++) {
        omp_set_num_threads(k ? 3 : 1);
        assert_int_equal(ms_ssim_pairs(image, GOLDEN_IMAGES, GOLDEN_SIZE, GOLDEN_RANGE,
                                       GOLDEN_PAIRS, GOLDEN_SEED, value[k], &mean),
                         ST_OK);
    }
    omp_set_num_threads(threads);
    assert_memory_equal(value[0], value[1], sizeof value[0]);
    assert_true(fabs(mean - GOLDEN_MEAN) < 1e-9);
    for (int i = 0; i < GOLDEN_PAIRS; i++) assert_true(fabs(value[0][i] - GOLDEN_PAIR[i]) < 1e-9);
}

static void unusable_input(void **state) {
    (void)state;
    static float x[2 * 11 * 11];
    double out, value[3];
    assert_int_equal(ms_ssim(x, x, 10, 1, &out), ST_INPUT);
    assert_int_equal(ms_ssim(x, x, 11, 0, &out), ST_INPUT);
    assert_int_equal(ms_ssim(x, x, 11, NAN, &out), ST_INPUT);
    assert_int_equal(ms_ssim_pairs(x, 1, 11, 1, 3, 1, value, &out), ST_INPUT);
    assert_int_equal(ms_ssim_pairs(x, 2, 11, 1, 0, 1, value, &out), ST_INPUT);
    x[130] = INFINITY;
    assert_int_equal(ms_ssim(x, x + 11 * 11, 11, 1, &out), ST_INPUT);
    assert_int_equal(ssim(x, x + 11 * 11, 11, 1, &out), ST_INPUT);
    assert_int_equal(ssim(x, x, 10, 1, &out), ST_INPUT);
    assert_true(isnan(out));
    assert_int_equal(ms_ssim_pairs(x, 2, 11, 1, 3, 1, value, &out), ST_INPUT);
    assert_non_null(strstr(status_message(), "NaN"));
    assert_true(isnan(out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scipy),
        cmocka_unit_test(pairs_of_a_set),
        cmocka_unit_test(unusable_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
