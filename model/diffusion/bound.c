/* The terms of the variational bound. */
#include "model/diffusion/bound.h"

#include "model/normal_mass.h"

#include <math.h>

static const double LN2 = 0.69314718055994530942;

double bound_level(double low, double high) {
    const double levels = round(high - low);
    return 2 / (levels > 1 ? levels : 1);
}

void bound_round(double level, float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double at = -1 + level * round(((double)x[i] + 1) / level);
        x[i] = (float)fmin(fmax(at, -1), 1);
    }
}

/* KL of two normal distributions whose means differ by sqrt(square); variances as logarithms. */
static double divergence(double log_from, double log_to, double square) {
    return (log_to - log_from - 1 + exp(log_from - log_to) + square * exp(-log_to)) / 2;
}

double bound_prior(const bound *b, const float *x0, int64_t n) {
    const double bar = schedule_alpha_bar(b->schedule, b->schedule->steps);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += divergence(log1p(-bar), 0, bar * (double)x0[i] * (double)x0[i]);
    return sum;
}

static double log_variance(const bound *b, variance_range range, const float *output, int64_t i) {
    return variance_log(b->variance, range, output ? (double)output[i] : 0);
}

/* L_0: for `to` = 0 the mean of p is the predicted x_0 itself. */
static double decoder(const bound *b, variance_range range, const float *x0, const float *predicted,
                      const float *output, int64_t n) {
    const double half = b->level / 2;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)x0[i], error = x - (double)predicted[i];
        const double scale = exp(-log_variance(b, range, output, i) / 2);
        const double low = x <= half - 1 ? -INFINITY : (error - half) * scale,
                     high = x >= 1 - half ? INFINITY : (error + half) * scale;
        sum -= normal_log_mass(low, high);
    }
    return sum;
}

double bound_term(const bound *b, int64_t t, const float *x0, const float *predicted,
                  const float *output, int64_t n) {
    const variance_range range = variance_range_of(b->schedule, t, t - 1);
    double mean, other, variance, sum = 0;
    if (t == 1) return decoder(b, range, x0, predicted, output, n);
    schedule_posterior(b->schedule, t, t - 1, &mean, &other, &variance);
    for (int64_t i = 0; i < n; i++) {
        const double error = mean * ((double)x0[i] - (double)predicted[i]);
        sum += divergence(range.log_small, log_variance(b, range, output, i), error * error);
    }
    return sum;
}

double bound_bits(double nats, int64_t n) { return nats / (double)n / LN2; }
