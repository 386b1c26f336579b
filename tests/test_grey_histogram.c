/* The grey value of a structure: the median of inner pixels, or of all if there are too few. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/common/grey_histogram.h"

enum { SIZE = 12 };

static uint8_t labels[SIZE * SIZE];
static float image[SIZE * SIZE];

/* A box of label 1 with value `inner`, and `border` on its outermost pixels. */
static double box_value(int side, float inner, float border) {
    static grey_structure s[2];
    memset(s, 0, sizeof s);
    memset(labels, 0, sizeof labels);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const int at = (y + 2) * SIZE + x + 2;
            const int edge = y == 0 || x == 0 || y == side - 1 || x == side - 1;
            labels[at] = 1;
            image[at] = edge ? border : inner;
        }
    grey_add(s, labels, image, SIZE);
    return grey_value(&s[1]);
}

/* Bins are 2 / 1024 wide. */
static void borders_do_not_count_where_there_is_an_inside(void **state) {
    (void)state;
    assert_float_equal(box_value(6, 0.3f, -0.9f), 0.3, 0.002);  /* 16 of 36 are inside */
    assert_float_equal(box_value(4, 0.3f, -0.9f), 0.3, 0.002);  /* 4 of 16 */
    assert_float_equal(box_value(3, 0.3f, -0.9f), -0.9, 0.002); /* 1 of 9: all count */
    assert_float_equal(box_value(1, 0.3f, -0.9f), -0.9, 0.002);
    assert_true(isnan(box_value(0, 0, 0)));
}

static void medians_are_those_of_the_values(void **state) {
    (void)state;
    static grey_structure s[1];
    for (int i = 0; i < SIZE * SIZE; i++) image[i] = (float)((i * 37 % 144) / 143.0 * 3 - 1.5);
    memset(labels, 0, sizeof labels);
    memset(s, 0, sizeof s);
    grey_add(s, labels, image, SIZE);
    assert_int_equal(s[0].all.total, SIZE * SIZE);
    assert_int_equal(s[0].inside.total, 100);
    assert_int_equal(s[0].all.count[0] > 20 && s[0].all.count[GREY_BINS - 1] > 20, 1);
    s[0].inside.total = 0; /* all */
    assert_float_equal(grey_value(s), 0, 0.02);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borders_do_not_count_where_there_is_an_inside),
        cmocka_unit_test(medians_are_those_of_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
