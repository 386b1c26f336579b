/* The appearance of a synthetic volume: a mixture of those of two training volumes of one class. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/generate/appearance.h"
#include "tests/store_sample.h"

enum { COUNT = 4, LABEL_COUNT = 4 };

/* Volumes 0, 2, 4, 6 of a store; grey values rise along with each other inside a class. */
static void mixtures_stay_between_volumes_of_one_class(void **state) {
    (void)state;
    int64_t volume[COUNT] = {0, 2, 4, 6};
    int contrast[COUNT] = {0, 1, 0, 1};
    double median[COUNT * LABEL_COUNT] = {
        NAN, -0.5, -0.4, NAN, /* native */
        NAN, 0.5,  0.4,  0.1, /* contrast */
        NAN, -0.1, 0.0,  NAN, /* native */
        NAN, 0.9,  0.8,  NAN  /* contrast */
    };
    appearances a = {LABEL_COUNT, COUNT, volume, contrast, median};
    double low = 1, high = -1;
    for (uint64_t v = 0; v < 200; v++) {
        float grey[LABEL_COUNT], again[LABEL_COUNT];
        appearances_draw(&a, 5, v, 4, 0, grey);
        appearances_draw(&a, 5, v, 4, 0, again);
        assert_memory_equal(grey, again, sizeof grey);
        assert_true(isnan(grey[0]) && isnan(grey[3]));
        assert_true(grey[1] >= -0.5f && grey[1] <= -0.1f);
        assert_float_equal(grey[2] - grey[1], 0.1, 1e-6); /* they go together */
        low = fmin(low, grey[1]);
        high = fmax(high, grey[1]);
        appearances_draw(&a, 5, v, 6, 1, grey);
        assert_true(grey[1] >= 0.5f && grey[1] <= 0.9f);
        /* Structure 3 is known from the other volume, if that is the one that was drawn. */
        assert_true(isnan(grey[3]) || fabsf(grey[3] - 0.1f) < 1e-6f);
    }
    assert_true(low < -0.4 && high == -0.1f);
}

/* A held-out volume: its own grey values are unknown, those of its class are mixed. */
static void a_source_that_was_not_measured_gets_grey_values_of_its_class(void **state) {
    (void)state;
    int64_t volume[3] = {0, 2, 4};
    int contrast[3] = {0, 1, 0};
    double median[3 * 2] = {NAN, -0.5, NAN, 0.5, NAN, -0.1};
    appearances a = {2, 3, volume, contrast, median}, native = {2, 1, volume, contrast, median};
    double low = 1, high = -1;
    for (uint64_t v = 0; v < 200; v++) {
        float grey[2];
        appearances_draw(&a, 5, v, 9, 0, grey);
        assert_true(isnan(grey[0]) && grey[1] >= -0.5f && grey[1] <= -0.1f);
        low = fmin(low, grey[1]);
        high = fmax(high, grey[1]);
        appearances_draw(&a, 5, v, 9, 1, grey);
        assert_float_equal(grey[1], 0.5, 1e-6);
        appearances_draw(&native, 5, v, 9, 1, grey); /* none of its class */
        assert_float_equal(grey[1], -0.5, 1e-6);
    }
    assert_true(low < -0.45 && high > -0.15);
}

/* Against sums over the slices of the store themselves. */
static void grey_values_are_those_of_the_training_volumes(void **state) {
    (void)state;
    char path[PATH_SIZE];
    store *from = NULL;
    study s;
    split sp = {0};
    appearances a = {0};
    int64_t compared = 0;
    study_defaults(&s);
    s.data.size = 8;
    s.data.window[0] = -1024;
    s.data.window[1] = 3072;
    assert_int_equal(path_join(path, home, "store"), ST_OK);
    assert_int_equal(write_store(path, MANY), ST_OK);
    assert_int_equal(store_open(path, &from), ST_OK);
    assert_int_equal(split_create(from, &s, &sp), ST_OK);
    stage_context stage = {.study = &s};
    painter_inputs in = {&stage, {.real = from}, &sp};
    assert_int_equal(appearances_measure(&in, &a), ST_OK);
    assert_true(a.count > 1);
    for (int64_t k = 0; k < a.count; k++) {
        assert_int_equal(a.contrast[k], a.volume[k] % 2);
        assert_true(isnan(a.grey[k * a.labels]));
        for (int label = 1; label < a.labels; label++) {
            double grey = a.grey[k * a.labels + label];
            if (isnan(grey)) continue;
            assert_true(grey >= -1 && grey <= 1);
            compared++;
        }
    }
    assert_true(compared > a.count);
    appearances_free(&a);
    split_free(&sp);
    store_close(from);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixtures_stay_between_volumes_of_one_class),
        cmocka_unit_test(a_source_that_was_not_measured_gets_grey_values_of_its_class),
        cmocka_unit_test(grey_values_are_those_of_the_training_volumes),
    };
    if (!begin_tests(&argc, &argv)) return 1;
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
