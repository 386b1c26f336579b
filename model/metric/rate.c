/* The exact limits are found by halving: the lower one is the rate at which `hits` or more have the
 * probability (1 - level) / 2, and the upper one follows by exchanging hits and misses. */
#include "model/metric/rate.h"
#include "model/metric/normal.h"

#include <math.h>
#include <stdbool.h>

static bool valid(int64_t hits, int64_t trials, double level) {
    return trials >= 1 && hits >= 0 && hits <= trials && level > 0 && level < 1;
}

rate_interval rate_wilson(int64_t hits, int64_t trials, double level) {
    if (!valid(hits, trials, level)) return (rate_interval){NAN, NAN};
    double n = (double)trials, p = (double)hits / n, z = normal_quantile((1 + level) / 2);
    double centre = p + z * z / (2 * n);
    double half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    double low = (centre - half) / (1 + z * z / n), high = (centre + half) / (1 + z * z / n);
    return (rate_interval){hits == 0 ? 0 : low, hits == trials ? 1 : high}; /* without rounding */
}

/* The binomial probability of `hits` or more at a rate of at most hits / trials, where the terms
 * fall from the first on. */
static double at_least(int64_t hits, int64_t trials, double rate) {
    double n = (double)trials, k = (double)hits;
    double term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(rate) +
                      (n - k) * log1p(-rate));
    double sum = term;
    for (; k < n && term > sum * 1e-17; k++) {
        term *= (n - k) / (k + 1) * rate / (1 - rate);
        sum += term;
    }
    return sum;
}

static double exact_low(int64_t hits, int64_t trials, double tail) {
    if (hits == 0) return 0;
    if (hits == trials) return pow(tail, 1 / (double)trials);
    double low = 0, high = (double)hits / (double)trials;
    for (;;) {
        double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high) return middle;
        if (at_least(hits, trials, middle) < tail)
            low = middle;
        else
            high = middle;
    }
}

rate_interval rate_clopper_pearson(int64_t hits, int64_t trials, double level) {
    if (!valid(hits, trials, level)) return (rate_interval){NAN, NAN};
    double tail = (1 - level) / 2;
    return (rate_interval){exact_low(hits, trials, tail),
                           1 - exact_low(trials - hits, trials, tail)};
}
