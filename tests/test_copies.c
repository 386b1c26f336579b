/* Ratios of nearest distances: by hand where all patients are drawn, by properties of the draws
 * where they are not, and the bound and share by counting. */
#include "model/metric/copies.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { DRAWS = 200 };

static void all_patients_drawn_gives_the_plain_ratio(void **state) {
    (void)state;
    const double nearest[] = {4, 2, 5, 8}; /* two members, two others */
    const copy_sides s = {.members = 2, .others = 2, .drawn = 2, .draws = 3, .seed = 1};
    const copy_query q = {.nearest = nearest, .source = -1, .itself = -1};
    double ratio[3];
    assert_int_equal(copy_ratios(&s, &q, false, ratio), ST_OK);
    for (int d = 0; d < 3; d++) assert_float_equal(ratio[d], 2.0 / 5, 1e-15);
    assert_int_equal(copy_ratios(&s, &q, true, ratio), ST_OK);
    for (int d = 0; d < 3; d++) assert_float_equal(ratio[d], 5.0 / 2, 1e-15);
}

/* One patient a side is drawn of two and three: each pair occurs about equally often. */
static void draws_are_uniform_and_follow_the_volume(void **state) {
    (void)state;
    const double nearest[] = {1, 10, 100, 1000, 10000};
    const copy_sides s = {.members = 2, .others = 3, .drawn = 1, .draws = DRAWS, .seed = 1};
    copy_query q = {.nearest = nearest, .volume = 7, .source = -1, .itself = -1};
    double ratio[DRAWS], again[DRAWS], other[DRAWS];
    int seen[6] = {0}, differ = 0; /* ratio 10^-k: 1 pair for k = 1 and 4, 2 for 2 and 3 */
    assert_int_equal(copy_ratios(&s, &q, false, ratio), ST_OK);
    assert_int_equal(copy_ratios(&s, &q, false, again), ST_OK);
    q.volume = 8;
    assert_int_equal(copy_ratios(&s, &q, false, other), ST_OK);
    for (int d = 0; d < DRAWS; d++) {
        seen[(int)lround(-log10(ratio[d]))]++;
        assert_true(ratio[d] == again[d]);
        differ += ratio[d] != other[d];
    }
    /* Binomial with 200 draws: four standard deviations are 21 and 27. */
    assert_true(abs(seen[1] - DRAWS / 6) < 22 && abs(seen[4] - DRAWS / 6) < 22);
    assert_true(abs(seen[2] - DRAWS / 3) < 28 && abs(seen[3] - DRAWS / 3) < 28);
    assert_true(differ > DRAWS / 4);
}

static void the_source_is_in_every_draw_and_the_slice_itself_in_none(void **state) {
    (void)state;
    const double nearest[] = {1, 2, 3, 0.5, 4, 8};
    const copy_sides s = {.members = 3, .others = 3, .drawn = 2, .draws = DRAWS, .seed = 2};
    copy_query q = {.nearest = nearest, .source = 0, .itself = 3};
    double ratio[DRAWS];
    assert_int_equal(copy_ratios(&s, &q, false, ratio), ST_OK);
    for (int d = 0; d < DRAWS; d++) assert_float_equal(ratio[d], 1.0 / 4, 1e-15);
    q = (copy_query){.nearest = nearest, .source = 3, .itself = 0};
    assert_int_equal(copy_ratios(&s, &q, true, ratio), ST_OK);
    for (int d = 0; d < DRAWS; d++) assert_float_equal(ratio[d], 0.5 / 2, 1e-15);
}

static void too_few_patients_are_refused(void **state) {
    (void)state;
    const double nearest[] = {1, 2, 3, 4};
    double ratio[1];
    copy_sides s = {.members = 2, .others = 2, .drawn = 2, .draws = 1, .seed = 1};
    copy_query q = {.nearest = nearest, .source = -1, .itself = 2};
    assert_int_equal(copy_ratios(&s, &q, false, ratio), ST_INPUT);
    q.itself = 1;
    assert_int_equal(copy_ratios(&s, &q, false, ratio), ST_INPUT);
    q.itself = -1;
    s.drawn = 3;
    assert_int_equal(copy_ratios(&s, &q, false, ratio), ST_INPUT);
    s.drawn = 0;
    assert_int_equal(copy_ratios(&s, &q, false, ratio), ST_INPUT);
}

static void the_bound_leaves_its_share_below(void **state) {
    (void)state;
    double ratio[100];
    for (int i = 0; i < 100; i++) ratio[i] = (double)(i * 37 % 100); /* 0..99 in another order */
    assert_float_equal(copy_bound(ratio, 100, 0.01), 1, 0);
    assert_float_equal(copy_share(ratio, 100, 1), 0.01, 0);
    assert_float_equal(copy_bound(ratio, 100, 0.25), 25, 0);
    assert_float_equal(copy_share(ratio, 100, 25), 0.25, 0);
    assert_float_equal(copy_bound(ratio, 100, 0.001), 0, 0);
    assert_float_equal(copy_share(ratio, 100, 0), 0, 0);
    assert_float_equal(copy_bound(ratio, 100, 1), 99, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_patients_drawn_gives_the_plain_ratio),
        cmocka_unit_test(draws_are_uniform_and_follow_the_volume),
        cmocka_unit_test(the_source_is_in_every_draw_and_the_slice_itself_in_none),
        cmocka_unit_test(too_few_patients_are_refused),
        cmocka_unit_test(the_bound_leaves_its_share_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
