/* Quantiles of a sample by linear interpolation (Hyndman & Fan 1996, type 7; numpy's default). */
#ifndef CTAUG_MODEL_METRIC_QUANTILE_H
#define CTAUG_MODEL_METRIC_QUANTILE_H

#include <stdint.h>

/* Sorts x[0..n) in ascending order. NAN is not allowed. Local. */
void sort_ascending(double *x, int64_t n);

/* The quantile at share q in [0, 1] of n values in ascending order: the value at position
 * q (n - 1), between two values interpolated linearly. NAN if n = 0. Local. */
double sorted_quantile(const double *x, int64_t n, double q);

#endif
