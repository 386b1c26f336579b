/* A mixture of three Gaussians in 8 dimensions, whose denoiser is exact at every noise level: with
 * x_t = alpha x_0 + sigma e, component k has the mean alpha m_k and the variances
 * alpha^2 c_k + sigma^2 along the axes, and x_0 and e given x_t follow by Bayes' rule. */
#ifndef CTAUG_TESTS_MIXTURE_CASE_H
#define CTAUG_TESTS_MIXTURE_CASE_H

#include <math.h>
#include <string.h>

enum { DIM = 8, PARTS = 3 };

static const double part_weight[PARTS] = {0.5, 0.3, 0.2};

static double part_mean[PARTS][DIM], part_variance[PARTS][DIM];

/* Sets the means and the variances; to be called first. */
static inline void mixture_set_up(void) {
    for (int k = 0; k < PARTS; k++)
        for (int i = 0; i < DIM; i++) {
            part_mean[k][i] = 0.9 * sin(1 + 2.1 * k + 0.8 * i);
            part_variance[k][i] = 0.3 + 0.2 * cos(2 + 1.3 * k + 0.9 * i);
        }
}

/* E[x_0 | x_t = x] and E[e | x_t = x]. */
static inline void mixture_denoise(double alpha, double sigma, const double *x, double *x0,
                                   double *eps) {
    double log_part[PARTS], most = -INFINITY, total = 0;
    for (int k = 0; k < PARTS; k++) {
        double volume = 1, square = 0; /* the product of eight variances stays finite */
        for (int i = 0; i < DIM; i++) {
            const double v = alpha * alpha * part_variance[k][i] + sigma * sigma;
            const double d = x[i] - alpha * part_mean[k][i];
            volume *= v;
            square += d * d / v;
        }
        log_part[k] = log(part_weight[k]) - (log(volume) + square) / 2;
        most = fmax(most, log_part[k]);
    }
    memset(x0, 0, DIM * sizeof *x0);
    memset(eps, 0, DIM * sizeof *eps);
    for (int k = 0; k < PARTS; k++) total += exp(log_part[k] - most);
    for (int k = 0; k < PARTS; k++) {
        const double part = exp(log_part[k] - most) / total;
        for (int i = 0; i < DIM; i++) {
            const double c = part_variance[k][i], v = alpha * alpha * c + sigma * sigma;
            const double d = x[i] - alpha * part_mean[k][i];
            x0[i] += part * (part_mean[k][i] + alpha * c / v * d);
            eps[i] += part * sigma / v * d;
        }
    }
}

static inline double mixture_mean(int i) {
    double sum = 0;
    for (int k = 0; k < PARTS; k++) sum += part_weight[k] * part_mean[k][i];
    return sum;
}

static inline double mixture_covariance(int i, int j) {
    double sum = 0;
    for (int k = 0; k < PARTS; k++)
        sum += part_weight[k] *
               (part_mean[k][i] * part_mean[k][j] + (i == j ? part_variance[k][i] : 0));
    return sum - mixture_mean(i) * mixture_mean(j);
}

#endif
