/* The median of a few measurements. */
#ifndef CTAUG_PIPELINE_CLI_MEDIAN_H
#define CTAUG_PIPELINE_CLI_MEDIAN_H

#include <stdint.h>
#include <stdlib.h>

static inline int median_order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of n > 0 values (for even n the upper one of the two in the middle). Sorts them. */
static inline double median(double *values, int64_t n) {
    qsort(values, (size_t)n, sizeof *values, median_order);
    return values[n / 2];
}

#endif
