/* Mean, standard deviation and tabulated quantiles. */
#include "model/metric/student.h"

#include <math.h>

/* The 97.5 % quantile of 1, 2, ... degrees of freedom. */
static const double QUANTILE[] = {
    12.70620474, 4.30265273, 3.18244631, 2.77644511, 2.57058184, 2.44691185, 2.36462425, 2.30600414,
    2.26215716,  2.22813885, 2.20098516, 2.17881283, 2.16036866, 2.14478669, 2.13144955, 2.11990530,
    2.10981558,  2.10092204, 2.09302405, 2.08596345, 2.07961384, 2.07387307, 2.06865761, 2.06389856,
    2.05953855,  2.05552944, 2.05183052, 2.04840714, 2.04522964, 2.04227246};
enum { TABULATED = sizeof QUANTILE / sizeof *QUANTILE };

/* Beyond the table: the expansion in 1 / freedom (Abramowitz & Stegun 26.7.5) to the fourth order.
 */
static double quantile(int64_t freedom) {
    if (freedom <= TABULATED) return QUANTILE[freedom - 1];
    const double z = 1.959963985, v = (double)freedom, z3 = z * z * z, z5 = z3 * z * z;
    return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
           (3 * z5 * z * z + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v) +
           (79 * z5 * z3 * z + 776 * z5 * z * z + 1482 * z5 - 1920 * z3 - 945 * z) /
               (92160 * v * v * v * v);
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
