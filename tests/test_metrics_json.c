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

/* Liver: patients 0 and 1 have it, half found in 0, missed in 1; predicted in patient 2, who has
 * none. Bone: nobody has it; predicted in patient 1. */
static void fill(dice_counts counts[PATIENTS]) {
    memset(counts, 0, PATIENTS * sizeof *counts);
    counts[0].truth[1] = 10;
    counts[0].predicted[1] = 10;
    counts[0].both[1] = 5;
    counts[1].truth[1] = 7;
    counts[1].predicted[2] = 7;
    counts[2].predicted[1] = 4;
}

static void means_are_over_those_who_have_the_structure(void **state) {
    (void)state;
    metrics e = {.patients = PATIENTS};
    dice_counts careful[PATIENTS], careless[PATIENTS];
    assert_int_equal(metrics_alloc(&e, &LABELS, SEEDS), ST_OK);
    fill(careless);
    fill(careful);
    careful[2].predicted[1] = careful[1].predicted[2] = 0;
    metrics_set_dice(&e, ARM_REAL, 0, careless);
    metrics_set_dice(&e, ARM_REAL, 1, careful);
    /* Predictions in a patient who lacks the structure change neither the mean nor n. */
    for (int64_t seed = 0; seed < SEEDS; seed++)
        assert_true(fabs(e.dice[(ARM_REAL * SEEDS + seed) * LABELS.count + 1] - 0.25) < 1e-15);
    assert_true(fabs(metrics_dice(&e, ARM_REAL, 1) - 0.25) < 1e-15);
    assert_int_equal(metrics_dice_patients(&e, 1), 2);
    assert_true(isnan(metrics_dice(&e, ARM_REAL, 2)));
    assert_int_equal(metrics_dice_patients(&e, 2), 0);

    careful[0].both[1] = 10; /* the other arm finds the whole liver of patient 0 */
    metrics_set_dice(&e, ARM_REAL_PLUS_SYNTHETIC, 0, careful);
    metrics_set_dice(&e, ARM_REAL_PLUS_SYNTHETIC, 1, careless);
    assert_true(fabs(metrics_dice(&e, ARM_REAL_PLUS_SYNTHETIC, 1) - (0.5 + 0.25) / 2) < 1e-15);
    assert_true(fabs(metrics_dice(&e, ARM_REAL, 1) - 0.25) < 1e-15);
    assert_int_equal(metrics_dice_patients(&e, 1), 2);
    metrics_free(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_are_over_those_who_have_the_structure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
