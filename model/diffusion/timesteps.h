/* Drawing the time steps of training samples: each with a probability in proportion to the root of
 * the mean square of its last ten losses, so that the noise of the gradient is smallest (Nichol &
 * Dhariwal 2021, section 3.3). Time steps are drawn evenly until every one has ten losses, and a
 * thousandth of the samples afterwards, as in their program.
 */
#ifndef CTAUG_MODEL_DIFFUSION_TIMESTEPS_H
#define CTAUG_MODEL_DIFFUSION_TIMESTEPS_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { TIMESTEP_LOSSES = 10 };

typedef struct timesteps {
    int64_t steps; /* T */
    float *loss;   /* [T][TIMESTEP_LOSSES]: of t - 1, oldest first; owned */
    float *count;  /* [T]: losses of it so far, at most TIMESTEP_LOSSES; owned */
    double *reach; /* [T]: probability of 1..t; owned */
} timesteps;

/* No losses yet. ST_USAGE if steps < 1. The caller calls timesteps_free(), also after a failure.
 * Local. */
status timesteps_create(int64_t steps, timesteps *out);
void timesteps_free(timesteps *t);

/* The time step 1..T at which the probabilities of 1..t reach u, 0 <= u < 1. *factor = 1 / (T p_t):
 * with losses multiplied by it their mean stays that of evenly drawn time steps. Local. */
int64_t timesteps_at(const timesteps *t, double u, double *factor);

/* Adds a loss of time step `at`, before the factor. Local. */
void timesteps_add(timesteps *t, int64_t at, double loss);

/* Makes the losses added since the last call count for timesteps_at(). Local. */
void timesteps_update(timesteps *t);

/* Takes losses and counts that were read from a file. ST_INTEGRITY if they make no sense. Local. */
status timesteps_restore(timesteps *t);

#endif
