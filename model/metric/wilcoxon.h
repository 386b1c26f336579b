/* Wilcoxon's signed-rank test of paired differences, two-sided (Wilcoxon 1945), and the
 * matched-pairs rank-biserial correlation as effect size (Kerby 2014).
 *
 * Differences that are NAN are left out. Zeros are dropped before ranking. The p-value is exact for
 * at most 50 differences without zeros and without ties of their absolute values; otherwise it
 * comes from the normal distribution with corrections for ties and continuity. These are the
 * definitions of scipy.stats.wilcoxon with zero_method "wilcox" and correction=True.
 */
#ifndef CTAUG_MODEL_METRIC_WILCOXON_H
#define CTAUG_MODEL_METRIC_WILCOXON_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct wilcoxon_result {
    int64_t pairs;             /* differences that are neither NAN nor 0 */
    int64_t zeros;             /* differences that are 0 */
    double positive, negative; /* sums of the ranks of the positive and the negative differences */
    double p;                  /* 1 if all differences are 0, NAN if there is none */
    double effect; /* (positive - negative) / (positive + negative), in [-1, 1]; 0 and NAN as p */
    bool exact;    /* p is not an approximation */
} wilcoxon_result;

/* The test of difference[n]. Local. */
status wilcoxon_signed_rank(const double *difference, int64_t n, wilcoxon_result *out);

#endif
