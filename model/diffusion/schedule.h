/* Noise schedules: beta_t for t = 1..T and derived quantities (Ho et al. 2020, section 2).
 *
 * Arrays are indexed by t - 1, t = 1..T; schedule_alpha_bar() also covers t = 0, where alpha_bar is
 * 1. A new schedule is a new value of the enum and a new row in the table of schedule.c.
 */
#ifndef CTAUG_MODEL_DIFFUSION_SCHEDULE_H
#define CTAUG_MODEL_DIFFUSION_SCHEDULE_H

#include "io/status.h"
#include "model/named_table.h"

#include <stdint.h>

typedef enum schedule_kind {
    /* beta from 1e-4 to 0.02, scaled by 1000 / T (Ho et al. 2020, section 4). */
    SCHEDULE_LINEAR,
    /* alpha_bar = cos^2((t/T + s)/(1 + s) pi/2), s = 0.008 (Nichol & Dhariwal 2021, eq. 17). */
    SCHEDULE_COSINE,
    /* beta_t = beta_max (1 - cos(pi t / T)) / 2, beta_max = 0.02 * 1000 / T. */
    SCHEDULE_RAISED_COSINE
} schedule_kind;

extern const named_table schedule_kinds;

typedef struct schedule {
    int64_t steps;     /* T */
    double *beta;      /* T; owned; alpha_bar is in the same allocation */
    double *alpha_bar; /* T; cumulative product of 1 - beta */
} schedule;

/* All betas are capped at 0.999. ST_USAGE if the number of steps is out of range. The caller frees
 * the schedule with schedule_free(). Local. */
status schedule_create(schedule_kind kind, int64_t steps, schedule *out);
void schedule_free(schedule *s);

/* alpha_bar_t for t = 0..T. Local. */
double schedule_alpha_bar(const schedule *s, int64_t t);

/* Coefficients of the mean and the variance of the posterior q(x_to | x_t, x_0), 0 <= to < t <= T:
 * mean = a * x_0 + b * x_t. For to = t - 1 these are Ho et al. 2020, eq. 6 and 7; other values of
 * `to` are for samplers that use a subset of the times. Local. */
void schedule_posterior(const schedule *s, int64_t t, int64_t to, double *a, double *b,
                        double *variance);

#endif
