/* The score of sampled slices against values worked out by hand: the mean over the structures of
 * the maps, noise too low and too high alike, structures without noise, bounds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/generate/guidance_score.h"

enum { LABELS = 4 };

/* Structures 1 and 2 are in the maps, with a Dice of 0.8 and 0.5; structure 3 is found though it is
 * not there. */
static dice_counts counts(void) {
    dice_counts c;
    memset(&c, 0, sizeof c);
    c.truth[0] = c.predicted[0] = c.both[0] = 1000;
    c.truth[1] = 60, c.predicted[1] = 40, c.both[1] = 40;
    c.truth[2] = 10, c.predicted[2] = 10, c.both[2] = 5;
    c.predicted[3] = 7;
    return c;
}

/* A structure with this noise, HU; negative: none was measured. */
static texture_sums noise(double hu) {
    texture_sums sums = {0};
    if (hu >= 0) sums.noise = hu * hu * 8, sums.noise_count = 8;
    return sums;
}

static guidance_score score(double made1, double real1, double made2, double real2) {
    const texture_sums made[LABELS] = {noise(5), noise(made1), noise(made2), noise(-1)};
    const texture_sums real[LABELS] = {noise(9), noise(real1), noise(real2), noise(-1)};
    const dice_counts c = counts();
    return guidance_score_of(&c, made, real, LABELS);
}

static void equal_noise_leaves_the_dice(void **state) {
    (void)state;
    const guidance_score s = score(10, 10, 3, 3);
    assert_float_equal(s.dice, 0.65, 1e-6);
    assert_float_equal(s.noise_ratio, 1, 1e-6);
    assert_float_equal(s.score, 0.65, 1e-6);
}

static void noise_too_low_costs_as_much_as_too_high(void **state) {
    (void)state;
    guidance_score s = score(5, 10, 3, 3);
    assert_float_equal(s.noise_ratio, sqrt(0.5), 1e-6);
    assert_float_equal(s.score, 0.65 - 0.1 * log(2) / 2, 1e-6);
    assert_float_equal(score(20, 10, 3, 3).score, s.score, 1e-6);
    /* One structure of each: they do not cancel out. */
    s = score(5, 10, 6, 3);
    assert_float_equal(s.noise_ratio, 1, 1e-6);
    assert_float_equal(s.score, 0.65 - 0.1 * log(2), 1e-6);
}

static void structures_without_noise_are_left_out(void **state) {
    (void)state;
    assert_float_equal(score(5, 10, 6, 0).score, 0.65 - 0.1 * log(2), 1e-6);
    assert_float_equal(score(5, 10, 6, -1).score, 0.65 - 0.1 * log(2), 1e-6);
    const guidance_score none = score(5, 0, 6, -1);
    assert_true(isnan(none.noise_ratio));
    assert_float_equal(none.score, 0.65, 1e-6);
    /* No noise at all where there should be some: as bad as a hundredth of it. */
    assert_float_equal(score(0, 10, 3, -1).score, 0.65 - 0.1 * log(100), 1e-6);
    assert_float_equal(score(1e9, 10, 3, -1).score, 0.65 - 0.1 * log(100), 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_noise_leaves_the_dice),
        cmocka_unit_test(noise_too_low_costs_as_much_as_too_high),
        cmocka_unit_test(structures_without_noise_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
