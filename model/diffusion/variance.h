/* Variances of the reverse process p(x_to | x_t): one of two fixed ones, or between them as the
 * network's second output says (Nichol & Dhariwal 2021, section 3.1). A row of the table in
 * variance.c. */
#ifndef CTAUG_MODEL_DIFFUSION_VARIANCE_H
#define CTAUG_MODEL_DIFFUSION_VARIANCE_H

#include "model/diffusion/schedule.h"

typedef enum variance_kind {
    VARIANCE_FIXED_SMALL, /* beta tilde, the variance of q(x_to | x_t, x_0) (Ho et al. 2020) */
    VARIANCE_FIXED_LARGE, /* beta (the same) */
    VARIANCE_LEARNED      /* exp(v ln beta + (1 - v) ln beta tilde), eq. 15, v = (output + 1) / 2 */
} variance_kind;

extern const named_table variance_kinds;

/* The ends of the range: ln beta tilde and ln beta. */
typedef struct variance_range {
    double log_small, log_large;
} variance_range;

/* The range of the step from t to `to`, 0 <= to < t <= T. beta tilde is 0 for to = 0: there that of
 * the step from 2 to 1 is taken, as in the programs of both papers; with T = 1 it is beta_1. Local.
 */
variance_range variance_range_of(const schedule *s, int64_t t, int64_t to);

/* ln of the variance; output: the network's second one, ignored by the fixed kinds. Local. */
double variance_log(variance_kind kind, variance_range range, double output);

#endif
