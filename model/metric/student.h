/* Confidence interval of a mean of few values (Student 1908). */
#ifndef CTAUG_MODEL_METRIC_STUDENT_H
#define CTAUG_MODEL_METRIC_STUDENT_H

#include <stdint.h>

/* Mean of n values and its 95 % interval under normal errors, mean +- t sd / sqrt(n), with t the
 * 97.5 % quantile of n - 1 degrees of freedom. Values that are NAN are left out. *count: those that
 * are left; below 2 the interval is NAN, below 1 the mean too. Local. */
void student_interval(const double *values, int64_t n, int64_t *count, double *mean, double *low,
                      double *high);

#endif
