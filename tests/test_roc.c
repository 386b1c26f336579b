/* Separation of scores: values computed by scipy, also of resamples, values by hand, independence
 * of the threads, unusable input. */
#include "model/metric/roc.h"
#include "tests/golden/roc.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { ITEMS_MAX = 100 };

/* The scores of tests/golden/roc.py. */
static void fill(double *x, int n, double shift, double step) {
    for (int i = 0; i < n; i++) {
        x[i] = sin(2.3 * i + shift) + shift + 0.3 * cos(i * i);
        if (step > 0) x[i] = floor(x[i] / step + 0.5) * step;
    }
}

static void equals_scipy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_roc / sizeof *golden_roc; k++) {
        const struct golden_roc *g = &golden_roc[k];
        double positive[ITEMS_MAX], negative[ITEMS_MAX], auc, tpr;
        double aucs[GOLDEN_RESAMPLES], tprs[GOLDEN_RESAMPLES], mean_auc = 0, mean_tpr = 0;
        fill(positive, g->positives, 0.6, g->step);
        fill(negative, g->negatives, 0, g->step);
        roc_items items = {positive, negative, g->positives, g->negatives};
        assert_int_equal(roc_scores(&items, g->fpr, &auc, &tpr), ST_OK);
        assert_true(fabs(auc - g->auc) < 1e-12 && fabs(tpr - g->tpr) < 1e-12);
        assert_int_equal(roc_bootstrap(&items, g->fpr, GOLDEN_SEED, GOLDEN_RESAMPLES, aucs, tprs),
                         ST_OK);
        for (int i = 0; i < GOLDEN_RESAMPLES; i++) {
            mean_auc += aucs[i] / GOLDEN_RESAMPLES;
            mean_tpr += tprs[i] / GOLDEN_RESAMPLES;
        }
        assert_true(fabs(mean_auc - g->mean_auc) < 1e-12);
        assert_true(fabs(mean_tpr - g->mean_tpr) < 1e-12);
        assert_true(fabs(aucs[GOLDEN_RESAMPLES - 1] - g->last_auc) < 1e-12);
        assert_true(fabs(tprs[GOLDEN_RESAMPLES - 1] - g->last_tpr) < 1e-12);
    }
}

/* Of 3 x 2 pairs the positive item wins 5 and ties in 1. */
static void by_hand(void **state) {
    (void)state;
    const double positive[3] = {5, 2, 3}, negative[2] = {2, 1}, high[1] = {9};
    roc_items items = {positive, negative, 3, 2}, worst = {positive, high, 3, 1};
    double auc, tpr;
    assert_int_equal(roc_scores(&items, 0, &auc, &tpr), ST_OK);
    assert_true(fabs(auc - (5 + 0.5) / 6) < 1e-15 && fabs(tpr - 2 / 3.0) < 1e-15);
    assert_int_equal(roc_scores(&items, 0.5, &auc, &tpr), ST_OK);
    assert_true(tpr == 1);
    assert_int_equal(roc_scores(&worst, 0.5, &auc, &tpr), ST_OK);
    assert_true(auc == 0 && tpr == 0);
}

static void independent_of_threads(void **state) {
    (void)state;
    enum { RESAMPLES = 500 };
    static double auc[2][RESAMPLES], tpr[2][RESAMPLES];
    double positive[ITEMS_MAX], negative[ITEMS_MAX];
    int threads = omp_get_max_threads();
    fill(positive, ITEMS_MAX, 0.5, 0.1);
    fill(negative, ITEMS_MAX, 0, 0.1);
    roc_items items = {positive, negative, ITEMS_MAX, ITEMS_MAX};
    for (int k = 0; k < 2; k++) {
        omp_set_num_threads(k ? 3 : 1);
        assert_int_equal(roc_bootstrap(&items, 0.1, 1, RESAMPLES, auc[k], tpr[k]), ST_OK);
    }
    omp_set_num_threads(threads);
    assert_memory_equal(auc[0], auc[1], sizeof auc[0]);
    assert_memory_equal(tpr[0], tpr[1], sizeof tpr[0]);
}

static void unusable_input(void **state) {
    (void)state;
    double x[3] = {1, 2, NAN}, auc, tpr;
    roc_items none = {x, x, 0, 2}, missing = {x, x, 2, 3}, good = {x, x, 2, 2};
    assert_int_equal(roc_scores(&none, 0.1, &auc, &tpr), ST_INPUT);
    assert_int_equal(roc_scores(&missing, 0.1, &auc, &tpr), ST_INPUT);
    assert_true(isnan(auc) && isnan(tpr));
    assert_int_equal(roc_scores(&good, 1.1, &auc, &tpr), ST_INPUT);
    assert_int_equal(roc_scores(&good, NAN, &auc, &tpr), ST_INPUT);
    assert_int_equal(roc_bootstrap(&good, 0.1, 1, 0, &auc, &tpr), ST_INPUT);
    assert_int_equal(roc_bootstrap(&missing, 0.1, 1, 1, &auc, &tpr), ST_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scipy),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(independent_of_threads),
        cmocka_unit_test(unusable_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
