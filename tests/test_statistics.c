/* Statistics of results that were made up: means, paired differences and the data saving have the
 * values that follow by hand. (tests/test_cells.py compares with numpy and scipy.) */
#include "pipeline/evaluate/statistics.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const label_set LABELS = {3, {"background", "liver", "bone"}};
enum { SIZES = 3, SETS = 2, SEEDS = 2, PATIENTS = 30, TRAININGS = SIZES * SETS * 2 * SEEDS };
enum { REAL_ARM, SYNTHETIC_ARM };

/* Dice of a patient: their own level, plus that of size and arm, plus noise of the training. */
static double dice_of_patient(int64_t patient, double level, uint64_t training) {
    rng_stream r = rng_open(9, RNG_NOISE, training * 1000 + (uint64_t)patient, 0);
    return level + 0.002 * (double)(patient % 10) + 0.001 * rng_normal(&r);
}

/* level[size][arm]. */
static void fill(all_results *all, study *s, double level[SIZES][2]) {
    study_defaults(s);
    s->evaluate.arms = 1u << ARM_REAL | 1u << ARM_REAL_PLUS_SYNTHETIC;
    *all = (all_results){.study = s,
                         .labels = &LABELS,
                         .sizes = SIZES,
                         .labelled = {2, 4, 8},
                         .sets = SETS,
                         .seeds = SEEDS,
                         .patients = PATIENTS,
                         .arms = 2,
                         .result = calloc(TRAININGS, sizeof(result))};
    assert_non_null(all->result);
    for (int64_t size = 0; size < SIZES; size++)
        for (int64_t set = 0; set < SETS; set++)
            for (int arm = 0; arm < 2; arm++)
                for (int64_t seed = 0; seed < SEEDS; seed++) {
                    result *r = results_of(all, size, set, arm, seed);
                    const uint64_t training = (uint64_t)(r - all->result);
                    assert_int_equal(result_alloc(PATIENTS, LABELS.count + LESION_SIZES, r), ST_OK);
                    for (int64_t p = 0; p < PATIENTS; p++) {
                        const double dice = dice_of_patient(p, level[size][arm], training);
                        result_at(r, TEST_PLAIN, p, 1)[MEASURE_DICE] = dice + 0.1;
                        result_at(r, TEST_PLAIN, p, 2)[MEASURE_DICE] = dice - 0.1;
                        result_at(r, TEST_PLAIN, p, 1)[MEASURE_VOLUME] = p % 2 ? 0.2 : -0.4;
                    }
                }
}

static void empty(all_results *all) {
    for (int i = 0; i < TRAININGS; i++) result_free(&all->result[i]);
    free(all->result);
}

static void means_and_differences(void **state) {
    (void)state;
    double level[SIZES][2] = {{0.70, 0.75}, {0.76, 0.79}, {0.80, 0.80}};
    study s;
    all_results all;
    estimate rows[6];
    comparison_test tests[SIZES * 6];
    fill(&all, &s, level);
    assert_int_equal(statistics_rows(&all), 6);
    assert_int_equal(statistics_mean(&all, 0, REAL_ARM, TEST_PLAIN, MEASURE_DICE, rows), ST_OK);
    /* The mean of 0.002 (p % 10) is 0.009. */
    assert_true(fabs(rows[0].value - 0.709) < 1e-3 && rows[0].patients == PATIENTS);
    assert_true(fabs(rows[1].value - 0.809) < 1e-3 && fabs(rows[2].value - 0.609) < 1e-3);
    assert_true(rows[0].low < rows[0].value && rows[0].value < rows[0].high);
    assert_int_equal(rows[3].patients, 0);
    /* Volume errors count by their size. */
    assert_int_equal(statistics_mean(&all, 0, REAL_ARM, TEST_PLAIN, MEASURE_VOLUME, rows), ST_OK);
    assert_true(fabs(rows[1].value - 0.3) < 1e-12);
    assert_int_equal(
        statistics_compare(&all, SYNTHETIC_ARM, REAL_ARM, TEST_PLAIN, MEASURE_DICE, tests), ST_OK);
    for (int size = 0; size < SIZES; size++) {
        const comparison_test *t = &tests[size * 6];
        const double expected = level[size][SYNTHETIC_ARM] - level[size][REAL_ARM];
        assert_true(fabs(t->difference.value - expected) < 1e-3);
        assert_true(t->difference.low <= expected + 1e-3 && expected - 1e-3 <= t->difference.high);
        assert_true(t->p_holm >= t->p);
    }
    /* All patients gain with 2 labelled ones: the test is as sure as 30 of them allow. */
    assert_true(tests[0].effect == 1 && tests[0].p < 1e-7 && tests[2 * 6].p_holm > 0.05);
    empty(&all);
}

static void savings(void **state) {
    (void)state;
    double level[SIZES][2] = {{0.70, 0.7599}, {0.76, 0.77}, {0.80, 0.80}};
    study s;
    all_results all;
    saving saved;
    fill(&all, &s, level);
    /* Against 4: two with synthetic data are as good, whatever is drawn. */
    assert_int_equal(statistics_saving(&all, 1, SYNTHETIC_ARM, REAL_ARM, TEST_PLAIN, 0.01, &saved),
                     ST_OK);
    assert_int_equal(saved.needed, 2);
    assert_true(saved.saving == 0.5 && saved.low == 0.5 && saved.high == 0.5);
    /* Against 8: neither 2 nor 4, but 8. */
    assert_int_equal(statistics_saving(&all, 2, SYNTHETIC_ARM, REAL_ARM, TEST_PLAIN, 0.01, &saved),
                     ST_OK);
    assert_int_equal(saved.needed, 8);
    assert_true(saved.saving == 0);
    /* With a margin of 0.05 four are enough. */
    assert_int_equal(statistics_saving(&all, 2, SYNTHETIC_ARM, REAL_ARM, TEST_PLAIN, 0.05, &saved),
                     ST_OK);
    assert_true(saved.needed == 2 || saved.needed == 4);
    empty(&all);

    /* Worse everywhere: none is enough. */
    double worse[SIZES][2] = {{0.70, 0.5}, {0.76, 0.5}, {0.80, 0.5}};
    fill(&all, &s, worse);
    assert_int_equal(statistics_saving(&all, 2, SYNTHETIC_ARM, REAL_ARM, TEST_PLAIN, 0.01, &saved),
                     ST_OK);
    assert_true(saved.needed == 0 && saved.saving == 0 && saved.high == 0);
    empty(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_and_differences),
        cmocka_unit_test(savings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
