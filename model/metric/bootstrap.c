/* A resample is two arrays of weights: how often each patient and each training (set, seed) was
 * drawn. The statistic is then a weighted mean of weighted means, without copying values. */
#include "model/metric/bootstrap.h"
#include "io/alloc.h"
#include "model/metric/normal.h"
#include "model/metric/quantile.h"
#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

/* The stream of a resample whose step is 0 draws patients; step 1 + trainings draws the rest. */
enum { STEP_PATIENTS = 0, STEP_TRAININGS = 1 };

/* Working memory of one thread: slices of one array. */
typedef struct resample {
    double *patient;  /* [patients] how often drawn */
    double *training; /* [sets][seeds] how often drawn */
    double *sum;      /* [patients] sum of the drawn values */
    double *count;    /* [patients] number of the drawn values */
} resample;

/* *values = numbers of a resample. */
static status check(const bootstrap_array *a, int64_t *values) {
    int64_t trainings = 0, all = 0;
    if (a->measures < 1 || a->sets < 1 || a->seeds < 1 || a->patients < 1)
        return status_fail(ST_INPUT,
                           "bootstrap of %" PRId64 " measures, %" PRId64 " sets, %" PRId64
                           " seeds and %" PRId64 " patients: there must be at least 1 of each",
                           a->measures, a->sets, a->seeds, a->patients);
    if (!size_mul(a->sets, a->seeds, &trainings) || !size_mul(a->patients, 3, &all) ||
        !size_add(all, trainings, values))
        return status_memory("bootstrap", INT64_MAX);
    return ST_OK;
}

static resample resample_at(const bootstrap_array *a, double *memory) {
    resample r = {.patient = memory};
    r.sum = r.patient + a->patients;
    r.count = r.sum + a->patients;
    r.training = r.count + a->patients;
    return r;
}

/* Weights of the data themselves: each patient and training once. */
static void take_all(const bootstrap_array *a, const resample *r) {
    for (int64_t p = 0; p < a->patients; p++) r->patient[p] = 1;
    for (int64_t t = 0; t < a->sets * a->seeds; t++) r->training[t] = 1;
}

static void draw(const bootstrap_array *a, uint64_t seed, int64_t index, const resample *r) {
    memset(r->patient, 0, (size_t)a->patients * sizeof *r->patient);
    memset(r->training, 0, (size_t)(a->sets * a->seeds) * sizeof *r->training);
    rng_stream patients = rng_open(seed, RNG_BOOTSTRAP, (uint64_t)index, STEP_PATIENTS);
    for (int64_t k = 0; k < a->patients; k++)
        r->patient[rng_below(&patients, (uint64_t)a->patients)]++;
    rng_stream trainings =
        rng_open(seed, RNG_BOOTSTRAP, (uint64_t)index, STEP_TRAININGS + a->trainings);
    for (int64_t k = 0; k < a->sets; k++) {
        double *set = r->training + (int64_t)rng_below(&trainings, (uint64_t)a->sets) * a->seeds;
        for (int64_t s = 0; s < a->seeds; s++) set[rng_below(&trainings, (uint64_t)a->seeds)]++;
    }
}

/* The statistic of a measure under the weights. */
static double statistic(const bootstrap_array *a, int64_t measure, const resample *r) {
    int64_t trainings = a->sets * a->seeds, patients = a->patients;
    memset(r->sum, 0, (size_t)patients * sizeof *r->sum);
    memset(r->count, 0, (size_t)patients * sizeof *r->count);
    for (int64_t t = 0; t < trainings; t++) {
        const double *value = a->value + (measure * trainings + t) * patients;
        double weight = r->training[t];
        if (weight == 0) continue;
        for (int64_t p = 0; p < patients; p++) {
            r->sum[p] += isnan(value[p]) ? 0 : weight * value[p];
            r->count[p] += isnan(value[p]) ? 0 : weight;
        }
    }
    double sum = 0, count = 0;
    for (int64_t p = 0; p < patients; p++) {
        if (r->count[p] == 0) continue;
        sum += r->patient[p] * (r->sum[p] / r->count[p]);
        count += r->patient[p];
    }
    return count > 0 ? sum / count : NAN;
}

status bootstrap_mean(const bootstrap_array *a, double *mean) {
    status st = ST_OK;
    double *memory = NULL;
    int64_t values = 0;
    TRY(check(a, &values));
    TRY(array_alloc(&memory, values, sizeof *memory, "bootstrap"));
    resample r = resample_at(a, memory);
    take_all(a, &r);
    for (int64_t k = 0; k < a->measures; k++) mean[k] = statistic(a, k, &r);
done:
    free(memory);
    return st;
}

/* Memory for `values` numbers of each thread. */
static status threads_alloc(int64_t values, double **out) {
    int64_t all = 0;
    *out = NULL;
    if (!size_mul(values, omp_get_max_threads(), &all))
        return status_memory("bootstrap", INT64_MAX);
    return array_alloc(out, all, sizeof **out, "bootstrap");
}

status bootstrap_draw(const bootstrap_array *a, uint64_t seed, int64_t resamples, double *drawn) {
    status st = ST_OK;
    double *memory = NULL;
    int64_t values = 0;
    TRY(check(a, &values));
    if (resamples < 1)
        TRY(status_fail(ST_INPUT, "bootstrap with %" PRId64 " resamples: at least 1 is needed",
                        resamples));
    TRY(threads_alloc(values, &memory));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < resamples; i++) {
        resample r = resample_at(a, memory + omp_get_thread_num() * values);
        draw(a, seed, i, &r);
        for (int64_t k = 0; k < a->measures; k++) drawn[k * resamples + i] = statistic(a, k, &r);
    }
done:
    free(memory);
    return st;
}

status bootstrap_leave_one_out(const bootstrap_array *a, double *left_out) {
    status st = ST_OK;
    double *memory = NULL;
    int64_t values = 0;
    TRY(check(a, &values));
    TRY(threads_alloc(values, &memory));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < a->patients; i++) {
        resample r = resample_at(a, memory + omp_get_thread_num() * values);
        take_all(a, &r);
        r.patient[i] = 0;
        for (int64_t k = 0; k < a->measures; k++)
            left_out[k * a->patients + i] = statistic(a, k, &r);
    }
done:
    free(memory);
    return st;
}

/* The defined ones of drawn[n] in ascending order in *sorted, which the caller frees. */
static status sort_defined(const double *drawn, int64_t n, double level, double **sorted,
                           int64_t *defined) {
    status st = ST_OK;
    *sorted = NULL;
    *defined = 0;
    if (!(level > 0 && level < 1))
        TRY(status_fail(ST_INPUT, "an interval of level %g: it must be between 0 and 1", level));
    if (n < 0)
        TRY(status_fail(ST_INPUT, "an interval from %" PRId64 " resamples: at least 0 are needed",
                        n));
    TRY(array_alloc(sorted, n, sizeof **sorted, "resamples"));
    for (int64_t i = 0; i < n; i++)
        if (!isnan(drawn[i])) (*sorted)[(*defined)++] = drawn[i];
    sort_ascending(*sorted, *defined);
done:
    return st;
}

status bootstrap_percentile(const double *drawn, int64_t n, double level, bootstrap_interval *out) {
    status st = ST_OK;
    double *sorted = NULL;
    int64_t defined = 0;
    *out = (bootstrap_interval){NAN, NAN, 0};
    TRY(sort_defined(drawn, n, level, &sorted, &defined));
    out->low = sorted_quantile(sorted, defined, (1 - level) / 2);
    out->high = sorted_quantile(sorted, defined, (1 + level) / 2);
    out->undefined = n - defined;
done:
    free(sorted);
    return st;
}

/* The acceleration: a sixth of the skewness of the jackknife values; 0 if they are all equal. */
static double acceleration(const double *left_out, int64_t patients) {
    double mean = 0, squares = 0, cubes = 0;
    int64_t defined = 0;
    for (int64_t i = 0; i < patients; i++) {
        if (isnan(left_out[i])) continue;
        mean += left_out[i];
        defined++;
    }
    mean /= (double)defined;
    for (int64_t i = 0; i < patients; i++) {
        if (isnan(left_out[i])) continue;
        double gap = mean - left_out[i];
        squares += gap * gap;
        cubes += gap * gap * gap;
    }
    return squares > 0 ? cubes / (6 * squares * sqrt(squares)) : 0;
}

/* The share at which the quantile is taken instead of `share`. */
static double corrected(double share, double bias, double acceleration) {
    double z = bias + normal_quantile(share);
    return normal_below(bias + z / (1 - acceleration * z));
}

status bootstrap_bca(double estimate, const double *drawn, int64_t n, const double *left_out,
                     int64_t patients, double level, bootstrap_interval *out) {
    status st = ST_OK;
    double *sorted = NULL, less = 0;
    int64_t defined = 0;
    *out = (bootstrap_interval){NAN, NAN, 0};
    TRY(sort_defined(drawn, n, level, &sorted, &defined));
    out->undefined = n - defined;
    for (int64_t i = 0; i < defined; i++)
        less += sorted[i] < estimate ? 1 : sorted[i] == estimate ? 0.5 : 0;
    if (!isnan(estimate) && less > 0 && less < (double)defined) {
        double bias = normal_quantile(less / (double)defined);
        double a = acceleration(left_out, patients);
        out->low = sorted_quantile(sorted, defined, corrected((1 - level) / 2, bias, a));
        out->high = sorted_quantile(sorted, defined, corrected((1 + level) / 2, bias, a));
    }
done:
    free(sorted);
    return st;
}
