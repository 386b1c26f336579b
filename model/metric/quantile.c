/* Sorting by qsort, and interpolation between neighbours. */
#include "model/metric/quantile.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sort_ascending(double *x, int64_t n) {
    if (n > 1) qsort(x, (size_t)n, sizeof *x, ascending);
}

double sorted_quantile(const double *x, int64_t n, double q) {
    if (n < 1) return NAN;
    double position = q * (double)(n - 1);
    int64_t below = (int64_t)position;
    if (below >= n - 1) return x[n - 1];
    double share = position - (double)below;
    return x[below] + share * (x[below + 1] - x[below]);
}
