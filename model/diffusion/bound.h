/* The variational bound of a slice's code length, L_vlb = L_T + sum of L_{t-1} + L_0 (Ho et al.
 * 2020, eq. 5), for the network's prediction and any of the variances.
 *
 *     L_T      KL(q(x_T | x_0) || N(0, 1))
 *     L_{t-1}  KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)), t = 2..T
 *     L_0      -ln p(x_0 | x_1)
 *
 * The mean of p is that of q(x_{t-1} | x_t, x_0) at the predicted x_0, so a term depends on x_t
 * through the prediction alone. x_0 has levels, as CT values are whole HU; p(x_0 | x_1) is the mass
 * of a normal distribution within half a level of x_0, and beyond it at the ends of the window (eq.
 * 13). All results are in nats, summed over the values.
 */
#ifndef CTAUG_MODEL_DIFFUSION_BOUND_H
#define CTAUG_MODEL_DIFFUSION_BOUND_H

#include "model/diffusion/objective.h"
#include "model/diffusion/variance.h"

typedef struct bound {
    const schedule *schedule;
    variance_kind variance;
    double level; /* distance of two levels, in units of x_0 */
} bound;

/* The distance of two levels where the window of low..high HU, low < high, is mapped to [-1, 1]: 1
 * HU, or as near to it as divides the window. Local. */
double bound_level(double low, double high);

/* Rounds x[n] to the nearest levels in [-1, 1]. Local. */
void bound_round(double level, float *x, int64_t n);

/* L_T. Local. */
double bound_prior(const bound *b, const float *x0, int64_t n);

/* L_{t-1} for t = 2..T, L_0 for t = 1. predicted: x_0 by the network; output: its second output,
 * NULL unless the variance is learned. Local. */
double bound_term(const bound *b, int64_t t, const float *x0, const float *predicted,
                  const float *output, int64_t n);

/* Bits per value of `nats` for n values. Local. */
double bound_bits(double nats, int64_t n);

#endif
