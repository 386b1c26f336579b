/* The distribution function by erfc, the quantile by halving an interval. */
#include "model/metric/normal.h"

#include <math.h>

double normal_below(double x) { return 0.5 * erfc(-x / sqrt(2.0)); }

/* For p <= 1/2, where normal_below() has no cancellation. It is 0 below -39. */
static double lower_quantile(double p) {
    double low = -39, high = 0;
    for (;;) {
        double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high) return middle;
        if (normal_below(middle) < p)
            low = middle;
        else
            high = middle;
    }
}

double normal_quantile(double p) {
    if (!(p >= 0 && p <= 1)) return NAN;
    if (p == 0) return -INFINITY;
    if (p == 1) return INFINITY;
    return p <= 0.5 ? lower_quantile(p) : -lower_quantile(1 - p);
}
