/* Confidence intervals of a rate, from `hits` in `trials`. */
#ifndef CTAUG_MODEL_METRIC_RATE_H
#define CTAUG_MODEL_METRIC_RATE_H

#include <stdint.h>

typedef struct rate_interval {
    double low, high; /* NAN if trials < 1, hits is not in 0..trials or the level not in (0, 1) */
} rate_interval;

/* The score interval (Wilson 1927), without continuity correction: its coverage is the level on
 * average. Local. */
rate_interval rate_wilson(int64_t hits, int64_t trials, double level);

/* The exact interval (Clopper & Pearson 1934): its coverage is at least the level. Local. */
rate_interval rate_clopper_pearson(int64_t hits, int64_t trials, double level);

#endif
