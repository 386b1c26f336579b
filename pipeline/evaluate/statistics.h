/* What the results of all trainings say: means with intervals, paired differences with tests, and
 * how many labelled patients synthetic data save.
 *
 * The unit is the test patient. A patient's value is the mean over labelled sets and seeds;
 * intervals are bootstrap intervals over patients, with sets and seeds nested
 * (model/metric/bootstrap.h). Arms are compared on the same patients.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_STATISTICS_H
#define CTAUG_PIPELINE_EVALUATE_STATISTICS_H

#include "pipeline/evaluate/results.h"
#include "pipeline/study/study.h"

#include <jansson.h>

/* The results of a study: of every labelled set, arm and seed. */
typedef struct all_results {
    const study *study;
    const label_set *labels;
    int64_t sizes;                 /* numbers of labelled patients, ascending */
    int64_t labelled[STUDY_LIST];  /* [sizes] */
    int64_t sets, seeds, patients; /* draws, trainings of each, test patients */
    int arms;                      /* rows of study->evaluate.arms */
    result *result;                /* [sizes][sets][arms][seeds] */
} all_results;

/* The result of one training; arm: its index in study->evaluate.arms. */
result *results_of(const all_results *all, int64_t size, int64_t set, int arm, int64_t seed);

/* Rows of statistics: the mean over structures, the structures, the sizes of lesions. Row 0 takes
 * the place of the background. A row without a value in any patient has n 0. */
int64_t statistics_rows(const all_results *all);
const char *statistics_row_name(const all_results *all, int64_t row);

/* Number of bootstrap resamples of an interval. */
int statistics_resamples(void);

/* A mean over patients with its 95 % interval. */
typedef struct estimate {
    double value, low, high; /* NAN if no patient has a value */
    int64_t patients;        /* that have one */
} estimate;

/* out[statistics_rows()]: of one number of labelled patients, arm, test set and measure.  Local. */
status statistics_mean(const all_results *all, int64_t size, int arm, test_set test, measure m,
                       estimate *out);

/* The same of the mean over structures of the Dice alone, in the plain test set. Local. */
status statistics_overall(const all_results *all, int64_t size, int arm, estimate *out);

/* A paired difference: arm - against. */
typedef struct comparison_test {
    estimate difference;
    double p, p_holm; /* Wilcoxon signed rank; Holm over all sizes and rows of the comparison */
    double effect;    /* matched-pairs rank-biserial correlation */
} comparison_test;

/* out[all->sizes][statistics_rows()]. Local. */
status statistics_compare(const all_results *all, int arm, int against, test_set test, measure m,
                          comparison_test *out);

/* How many labelled patients `arm` needs not to be inferior to `against` with labelled[size]. */
typedef struct saving {
    /* Numbers are tried from the largest down, up to the first that fails. needed: the smallest
     * whose difference has a lower bound above -margin; 0: none. */
    int64_t needed;
    double saving; /* 1 - n / labelled[size] for the smallest n whose difference is above -margin */
    double low, high; /* 95 % interval of the saving, by resamples */
} saving;

/* Of the mean over structures of the Dice. Local. */
status statistics_saving(const all_results *all, int64_t size, int arm, int against, test_set test,
                         double margin, saving *out);

/* Sets `name` of metrics to a list with entry(all, cell, context), a new reference, for every cell:
 * numbers of labelled patients ascending, then draws. Local. */
status statistics_cells_json(const all_results *all, const char *name,
                             json_t *(*entry)(const all_results *all, int64_t cell,
                                              const void *context),
                             const void *context, json_t *metrics);

#endif
