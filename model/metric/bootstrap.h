/* Bootstrap intervals of a mean over patients, with nested synthetic sets and training seeds
 * (Efron & Tibshirani 1993, chapters 8, 13 and 14).
 *
 * A value belongs to a measure (a structure, say), a synthetic set, a training seed in that set and
 * a patient. The statistic of a measure is the mean over patients of the patient's mean over sets
 * and seeds. Undefined values are NAN and are left out of the patient's mean; a patient without any
 * value is left out.
 *
 * A resample draws, each with replacement: patients; sets; and for each drawn set, seeds in it. A
 * set that is drawn twice gets its seeds drawn twice. All measures of an array use the same draws.
 *
 * Draws depend on (seed, resample) and the numbers of patients, sets and seeds alone, not on the
 * threads or the values. Arrays of equally many patients that are resampled with one seed therefore
 * use the same draws of patients, also in several calls. Functions of several means (a mean over
 * structures, the position of a crossing) are computed from `drawn` for each resample, and
 * bootstrap_percentile() gives the interval of the function.
 */
#ifndef CTAUG_MODEL_METRIC_BOOTSTRAP_H
#define CTAUG_MODEL_METRIC_BOOTSTRAP_H

#include "io/status.h"

#include <stdint.h>

typedef struct bootstrap_array {
    const double *value; /* [measures][sets][seeds][patients] */
    int64_t measures, sets, seeds, patients;
    /* Arrays of the same number share the draws of sets and seeds, as they should if they come from
     * the same trainings; arrays of other trainings get another number. Below 2^32 - 1. */
    uint32_t trainings;
} bootstrap_array;

/* mean[measures]: the statistic of each measure; NAN if no value is defined. ST_INPUT if a size is
 * less than 1. Local. */
status bootstrap_mean(const bootstrap_array *a, double *mean);

/* drawn[measures][resamples]: the statistic in each resample; NAN if no drawn value is defined.
 * ST_INPUT if a size is less than 1. Local; uses OpenMP. */
status bootstrap_draw(const bootstrap_array *a, uint64_t seed, int64_t resamples, double *drawn);

/* left_out[measures][patients]: the statistic without one patient (jackknife), for bootstrap_bca().
 * NAN if no value is left. ST_INPUT if a size is less than 1. Local; uses OpenMP. */
status bootstrap_leave_one_out(const bootstrap_array *a, double *left_out);

/* An interval, and how many resamples gave no value and were left out. */
typedef struct bootstrap_interval {
    double low, high;
    int64_t undefined;
} bootstrap_interval;

/* Percentile interval: the quantiles (1 - level) / 2 and (1 + level) / 2 of the defined ones of
 * drawn[n], interpolated linearly as by numpy. Both NAN if none is defined. ST_INPUT if level is
 * not in (0, 1) or n < 0. Local. */
status bootstrap_percentile(const double *drawn, int64_t n, double level, bootstrap_interval *out);

/* BCa interval: the quantiles corrected for bias, by the share of resamples below the estimate (a
 * tie counts half), and for skewness, by the jackknife. The acceleration is that of the patients;
 * sets and seeds enter by the resamples alone. Both NAN if all resamples lie on one side of the
 * estimate or the estimate is NAN. ST_INPUT as above. Local. */
status bootstrap_bca(double estimate, const double *drawn, int64_t n, const double *left_out,
                     int64_t patients, double level, bootstrap_interval *out);

#endif
