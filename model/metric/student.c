/* Mean, standard deviation and tabulated quantiles. */
#include "model/metric/student.h"

#include <math.h>

/* The 97.5 % quantile of 1, 2, ... degrees of freedom. */
static const double QUANTILE[] = {12.7062047, 4.3026527, 3.1824463, 2.7764451, 2.5705818,
                                  2.4469119,  2.3646243, 2.3060041, 2.2621572, 2.2281389,
                                  2.2009852,  2.1788128, 2.1603687, 2.1447867, 2.1314495};
enum { TABULATED = sizeof QUANTILE / sizeof *QUANTILE };

/* Beyond the table: the expansion in 1 / freedom (Abramowitz & Stegun 26.7.5) to the third order.
 */
static double quantile(int64_t freedom) {
    if (freedom <= TABULATED) return QUANTILE[freedom - 1];
    const double z = 1.959963985, v = (double)freedom, z3 = z * z * z, z5 = z3 * z * z;
    return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
           (3 * z5 * z * z + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v);
}

void student_interval(const double *values, int64_t n, int64_t *count, double *mean, double *low,
                      double *high) {
    double sum = 0, squares = 0;
    *count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(values[i])) continue;
        sum += values[i];
        ++*count;
    }
    *mean = *count > 0 ? sum / (double)*count : NAN;
    *low = *high = NAN;
    if (*count < 2) return;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i])) squares += (values[i] - *mean) * (values[i] - *mean);
    const double half =
        quantile(*count - 1) * sqrt(squares / (double)(*count - 1) / (double)*count);
    *low = *mean - half;
    *high = *mean + half;
}
