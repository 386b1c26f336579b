/* The standard normal distribution: distribution function and quantiles, in f64. */
#ifndef CTAUG_MODEL_METRIC_NORMAL_H
#define CTAUG_MODEL_METRIC_NORMAL_H

/* The probability of a value of at most x. Local. */
double normal_below(double x);

/* The x with normal_below(x) = p; -INFINITY for p = 0, INFINITY for p = 1, NAN outside [0, 1].
 * Local. */
double normal_quantile(double p);

#endif
