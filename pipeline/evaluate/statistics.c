/* Bootstrap intervals and tests over the test patients. */
#include "pipeline/evaluate/statistics.h"

#include "io/alloc.h"
#include "model/metric/bootstrap.h"
#include "model/metric/holm.h"
#include "model/metric/wilcoxon.h"

#include <math.h>

enum { RESAMPLES = 5000 };
static const double LEVEL = 0.95;

int statistics_resamples(void) { return RESAMPLES; }

result *results_of(const all_results *all, int64_t size, int64_t set, int arm, int64_t seed) {
    return &all->result[((size * all->sets + set) * all->arms + arm) * all->seeds + seed];
}

int64_t statistics_rows(const all_results *all) { return all->labels->count + LESION_SIZES; }

const char *statistics_row_name(const all_results *all, int64_t row) {
    if (row == 0) return "mean";
    return row < all->labels->count ? all->labels->name[row]
                                    : lesion_size_name((int)(row - all->labels->count));
}

/* A patient's value in one row. Volume errors count by their size, in either direction. */
static double value_of(const all_results *all, const result *r, test_set test, int64_t patient,
                       int64_t row, measure m) {
    if (row > 0) {
        const double value = result_at(r, test, patient, row)[m];
        return m == MEASURE_VOLUME ? fabs(value) : value;
    }
    double sum = 0;
    int64_t count = 0;
    for (int64_t k = 1; k < all->labels->count; k++) {
        const double value = value_of(all, r, test, patient, k, m);
        if (isnan(value)) continue;
        sum += value;
        count++;
    }
    return count > 0 ? sum / (double)count : (double)NAN;
}

/* The values of one size and arm, minus those of `against` unless it is negative. */
typedef struct selection {
    int64_t size;
    int arm, against;
    test_set test;
    measure measure;
} selection;

/* out->value [rows][sets][seeds][patients], which the caller frees. Local. */
static status select_values(const all_results *all, const selection *s, int64_t rows,
                            bootstrap_array *out) {
    double *value = NULL;
    int64_t at = 0;
    *out = (bootstrap_array){.measures = rows,
                             .sets = all->sets,
                             .seeds = all->seeds,
                             .patients = all->patients,
                             .trainings = (uint32_t)s->size};
    status st = array_alloc(&value, rows * all->sets * all->seeds * all->patients, sizeof *value,
                            "values of patients");
    if (st != ST_OK) return st;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t set = 0; set < all->sets; set++)
            for (int64_t seed = 0; seed < all->seeds; seed++)
                for (int64_t p = 0; p < all->patients; p++) {
                    const result *r = results_of(all, s->size, set, s->arm, seed);
                    double v = value_of(all, r, s->test, p, row, s->measure);
                    if (s->against >= 0)
                        v -= value_of(all, results_of(all, s->size, set, s->against, seed), s->test,
                                      p, row, s->measure);
                    value[at++] = v;
                }
    out->value = value;
    return ST_OK;
}

/* The mean over sets and seeds of patient p in a row; NAN: undefined. */
static double patient_mean(const bootstrap_array *a, int64_t row, int64_t p) {
    const int64_t trainings = a->sets * a->seeds;
    double sum = 0;
    int64_t count = 0;
    for (int64_t t = 0; t < trainings; t++) {
        const double v = a->value[(row * trainings + t) * a->patients + p];
        if (isnan(v)) continue;
        sum += v;
        count++;
    }
    return count > 0 ? sum / (double)count : (double)NAN;
}

/* Means and intervals of all rows. Local. */
static status estimate_rows(const all_results *all, const bootstrap_array *a, estimate *out) {
    status st = ST_OK;
    double *mean = NULL, *drawn = NULL;
    TRY(array_alloc(&mean, a->measures, sizeof *mean, "means"));
    TRY(array_alloc(&drawn, a->measures * RESAMPLES, sizeof *drawn, "resamples"));
    TRY(bootstrap_mean(a, mean));
    TRY(bootstrap_draw(a, (uint64_t)all->study->seed, RESAMPLES, drawn));
    for (int64_t row = 0; row < a->measures; row++) {
        bootstrap_interval interval;
        TRY(bootstrap_percentile(drawn + row * RESAMPLES, RESAMPLES, LEVEL, &interval));
        out[row] = (estimate){.value = mean[row], .low = interval.low, .high = interval.high};
        for (int64_t p = 0; p < a->patients; p++)
            out[row].patients += !isnan(patient_mean(a, row, p));
    }
done:
    free(mean);
    free(drawn);
    return st;
}

status statistics_mean(const all_results *all, int64_t size, int arm, test_set test, measure m,
                       estimate *out) {
    status st = ST_OK;
    const selection s = {size, arm, -1, test, m};
    bootstrap_array a = {.value = NULL};
    TRY(select_values(all, &s, statistics_rows(all), &a));
    TRY(estimate_rows(all, &a, out));
done:
    free((double *)a.value);
    return st;
}

status statistics_overall(const all_results *all, int64_t size, int arm, estimate *out) {
    const selection s = {size, arm, -1, TEST_PLAIN, MEASURE_DICE};
    bootstrap_array a;
    status st = select_values(all, &s, 1, &a);
    if (st == ST_OK) st = estimate_rows(all, &a, out);
    free((double *)a.value);
    return st;
}

/* The signed-rank tests of all rows. difference[patients]: scratch. Local. */
static status test_rows(const bootstrap_array *a, double *difference, comparison_test *out) {
    for (int64_t row = 0; row < a->measures; row++) {
        wilcoxon_result w;
        for (int64_t p = 0; p < a->patients; p++) difference[p] = patient_mean(a, row, p);
        status st = wilcoxon_signed_rank(difference, a->patients, &w);
        if (st != ST_OK) return st;
        out[row].p = w.p;
        out[row].effect = w.effect;
    }
    return ST_OK;
}

/* Holm's adjustment over all sizes and rows. Local. */
static status adjust(const all_results *all, comparison_test *out) {
    status st = ST_OK;
    const int64_t n = all->sizes * statistics_rows(all);
    double *p = NULL, *adjusted = NULL;
    TRY(array_alloc(&p, n, sizeof *p, "p-values"));
    TRY(array_alloc(&adjusted, n, sizeof *adjusted, "p-values"));
    for (int64_t i = 0; i < n; i++) p[i] = out[i].p;
    TRY(holm_adjust(p, n, adjusted));
    for (int64_t i = 0; i < n; i++) out[i].p_holm = adjusted[i];
done:
    free(p);
    free(adjusted);
    return st;
}

status statistics_compare(const all_results *all, int arm, int against, test_set test, measure m,
                          comparison_test *out) {
    status st = ST_OK;
    const int64_t rows = statistics_rows(all);
    double *difference = NULL;
    estimate *estimates = NULL;
    bootstrap_array a = {.value = NULL};
    TRY(array_alloc(&difference, all->patients, sizeof *difference, "differences"));
    TRY(array_alloc(&estimates, rows, sizeof *estimates, "differences"));
    for (int64_t size = 0; size < all->sizes; size++) {
        const selection s = {size, arm, against, test, m};
        free((double *)a.value);
        TRY(select_values(all, &s, rows, &a));
        TRY(estimate_rows(all, &a, estimates));
        for (int64_t row = 0; row < rows; row++) out[size * rows + row].difference = estimates[row];
        TRY(test_rows(&a, difference, out + size * rows));
    }
    TRY(adjust(all, out));
done:
    free((double *)a.value);
    free(estimates);
    free(difference);
    return st;
}

/* drawn[RESAMPLES] of the mean over structures of the Dice. Local. */
static status draw_mean(const all_results *all, const selection *s, double *drawn, double *mean) {
    bootstrap_array a;
    status st = select_values(all, s, 1, &a);
    if (st == ST_OK) st = bootstrap_mean(&a, mean);
    if (st == ST_OK) st = bootstrap_draw(&a, (uint64_t)all->study->seed, RESAMPLES, drawn);
    free((double *)a.value);
    return st;
}

status statistics_saving(const all_results *all, int64_t size, int arm, int against, test_set test,
                         double margin, saving *out) {
    status st = ST_OK;
    double *reference = NULL, *drawn = NULL, *share = NULL, mean, whole;
    bootstrap_interval interval;
    const double full = (double)all->labelled[size];
    *out = (saving){.low = (double)NAN, .high = (double)NAN};
    TRY(array_alloc(&reference, RESAMPLES, sizeof *reference, "resamples"));
    TRY(array_alloc(&drawn, RESAMPLES, sizeof *drawn, "resamples"));
    TRY(array_alloc(&share, RESAMPLES, sizeof *share, "resamples"));
    TRY(draw_mean(all, &(selection){size, against, -1, test, MEASURE_DICE}, reference, &whole));
    bool tested = true, estimated = true; /* no larger size has failed */
    for (int64_t k = size; k >= 0; k--) {
        const double saved = 1 - (double)all->labelled[k] / full;
        TRY(draw_mean(all, &(selection){k, arm, -1, test, MEASURE_DICE}, drawn, &mean));
        estimated = estimated && mean - whole > -margin;
        if (estimated) out->saving = saved;
        /* Patients are the same in both arrays of a resample. share: -1 - saving once one failed.
         */
        for (int64_t i = 0; i < RESAMPLES; i++) {
            drawn[i] -= reference[i];
            if (share[i] < 0) continue;
            share[i] = drawn[i] > -margin ? saved : -1 - share[i];
        }
        TRY(bootstrap_percentile(drawn, RESAMPLES, LEVEL, &interval));
        tested = tested && interval.low > -margin;
        if (tested) out->needed = all->labelled[k];
    }
    for (int64_t i = 0; i < RESAMPLES; i++)
        if (share[i] < 0) share[i] = -1 - share[i];
    TRY(bootstrap_percentile(share, RESAMPLES, LEVEL, &interval));
    out->low = interval.low;
    out->high = interval.high;
done:
    free(reference);
    free(drawn);
    free(share);
    return st;
}

/* Cells begin with the most labelled patients. */
status statistics_cells_json(const all_results *all, const char *name,
                             json_t *(*entry)(const all_results *all, int64_t cell,
                                              const void *context),
                             const void *context, json_t *metrics) {
    status st = ST_OK;
    json_t *list = json_array();
    for (int64_t size = 0; size < all->sizes; size++)
        for (int64_t set = 0; set < all->sets; set++) {
            const int64_t cell = (all->sizes - 1 - size) * all->sets + set;
            if (json_array_append_new(list, entry(all, cell, context)) != 0)
                TRY(status_memory("metrics.json", 0));
        }
    if (json_object_set(metrics, name, list) != 0) st = status_memory("metrics.json", 0);
done:
    json_decref(list);
    return st;
}
