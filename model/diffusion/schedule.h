/* Noise schedules: beta_t for t = 1..T and what follows from it (Ho et al. 2020, section 2).
 *
 * Arrays are indexed by t - 1 with t = 1..T, except that alpha_bar(0) = 1 by schedule_alpha_bar().
 * A new schedule is a new row in the table of schedule.c.
 */
#ifndef CTAUG_MODEL_DIFFUSION_SCHEDULE_H
#define CTAUG_MODEL_DIFFUSION_SCHEDULE_H

#include "io/status.h"
#include "model/named_table.h"

#include <stdint.h>

typedef enum schedule_kind {
    SCHEDULE_LINEAR, /* beta from 1e-4 to 0.02 scaled by 1000 / T (Ho et al. 2020, section 4) */
    SCHEDULE_COSINE, /* alpha_bar = cos^2((t/T + s)/(1 + s) pi/2), s = 0.008 (Nichol & Dhariwal
                        2021, eq. 17) */
    SCHEDULE_RAISED_COSINE /* beta_t = beta_max (1 - cos(pi t / T)) / 2, beta_max = 0.02 * 1000 / T
                            */
} schedule_kind;

extern const named_table schedule_kinds;

typedef struct schedule {
    int64_t steps;     /* T */
    double *beta;      /* T; owned, one block with alpha_bar */
    double *alpha_bar; /* T; product of 1 - beta */
} schedule;

/* All betas are capped at 0.999. ST_USAGE for a number of steps out of range. Local. */
status schedule_create(schedule_kind kind, int64_t steps, schedule *out);
void schedule_free(schedule *s);

/* alpha_bar_t for t = 0..T. */
double schedule_alpha_bar(const schedule *s, int64_t t);

/* Mean coefficients and variance of q(x_to | x_t, x_0), 0 <= to < t <= T: mean = a * x_0 + b * x_t.
 * For to = t - 1 Ho et al. 2020, eq. 6 and 7; others are what a sampler on a subset of the times
 * needs. */
void schedule_posterior(const schedule *s, int64_t t, int64_t to, double *a, double *b,
                        double *variance);

#endif
