/* Dice in metrics.json against values computed by hand: the patients that a mean is taken over. */
#include "pipeline/evaluate/metrics_json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const label_set LABELS = {3, {"background", "liver", "bone"}};

enum { PATIENTS = 3, SEEDS = 2 };

/* Liver: patients 0 and 1 have it, half found in 0, missed in 1. Bone: nobody has it. */
static void fill(result *r) {
    assert_int_equal(result_alloc(PATIENTS, LABELS.count + LESION_SIZES, r), ST_OK);
    result_at(r, TEST_PLAIN, 0, 1)[MEASURE_DICE] = 0.5;
    result_at(r, TEST_PLAIN, 1, 1)[MEASURE_DICE] = 0;
    result_at(r, TEST_SHIFTED, 2, 2)[MEASURE_DICE] = 1; /* another test set */
}

static void means_are_over_those_who_have_the_structure(void **state) {
    (void)state;
    metrics e = {.patients = PATIENTS};
    result half, whole;
    assert_int_equal(metrics_alloc(&e, &LABELS, SEEDS), ST_OK);
    fill(&half);
    fill(&whole);
    for (int64_t seed = 0; seed < SEEDS; seed++) metrics_set_dice(&e, ARM_REAL, seed, &half);
    for (int64_t seed = 0; seed < SEEDS; seed++)
        assert_true(fabs(e.dice[(ARM_REAL * SEEDS + seed) * LABELS.count + 1] - 0.25) < 1e-15);
    assert_true(fabs(metrics_dice(&e, ARM_REAL, 1) - 0.25) < 1e-15);
    assert_int_equal(metrics_dice_patients(&e, 1), 2);
    assert_true(isnan(metrics_dice(&e, ARM_REAL, 2)));
    assert_int_equal(metrics_dice_patients(&e, 2), 0);

    /* The other arm finds the whole liver of patient 0. */
    result_at(&whole, TEST_PLAIN, 0, 1)[MEASURE_DICE] = 1;
    metrics_set_dice(&e, ARM_REAL_PLUS_SYNTHETIC, 0, &whole);
    metrics_set_dice(&e, ARM_REAL_PLUS_SYNTHETIC, 1, &half);
    assert_true(fabs(metrics_dice(&e, ARM_REAL_PLUS_SYNTHETIC, 1) - (0.5 + 0.25) / 2) < 1e-15);
    assert_true(fabs(metrics_dice(&e, ARM_REAL, 1) - 0.25) < 1e-15);
    assert_int_equal(metrics_dice_patients(&e, 1), 2);
    result_free(&half);
    result_free(&whole);
    metrics_free(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_are_over_those_who_have_the_structure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
