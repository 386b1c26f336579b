/* The last losses of every time step, and the distribution that follows from them. */
#include "model/diffusion/timesteps.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double EVEN = 0.001; /* share of the samples that are drawn evenly in any case */

status timesteps_create(int64_t steps, timesteps *out) {
    status st = ST_OK;
    int64_t losses = 0;
    *out = (timesteps){.steps = steps};
    if (steps < 1 || !size_mul(steps, TIMESTEP_LOSSES, &losses))
        TRY(status_fail(ST_USAGE, "%" PRId64 " time steps cannot be drawn", steps));
    TRY(array_alloc(&out->loss, losses, sizeof *out->loss, "losses of time steps"));
    TRY(array_alloc(&out->count, steps, sizeof *out->count, "losses of time steps"));
    TRY(array_alloc(&out->reach, steps, sizeof *out->reach, "losses of time steps"));
    timesteps_update(out);
done:
    return st;
}

void timesteps_free(timesteps *t) {
    free(t->loss);
    free(t->count);
    free(t->reach);
    *t = (timesteps){0};
}

int64_t timesteps_at(const timesteps *t, double u, double *factor) {
    int64_t low = 0, high = t->steps - 1; /* the first whose reach is above u */
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (t->reach[middle] > u)
            high = middle;
        else
            low = middle + 1;
    }
    const double p = t->reach[low] - (low > 0 ? t->reach[low - 1] : 0);
    *factor = 1 / ((double)t->steps * p);
    return low + 1;
}

void timesteps_add(timesteps *t, int64_t at, double loss) {
    float *last = t->loss + (at - 1) * TIMESTEP_LOSSES, *count = &t->count[at - 1];
    if (*count < TIMESTEP_LOSSES) {
        last[(int64_t)*count] = (float)loss;
        ++*count;
        return;
    }
    memmove(last, last + 1, (TIMESTEP_LOSSES - 1) * sizeof *last);
    last[TIMESTEP_LOSSES - 1] = (float)loss;
}

/* The root of the mean square of the losses of a time step. */
static double size_of(const timesteps *t, int64_t k) {
    double sum = 0;
    for (int64_t i = 0; i < TIMESTEP_LOSSES; i++) {
        const double loss = (double)t->loss[k * TIMESTEP_LOSSES + i];
        sum += loss * loss;
    }
    return sqrt(sum / TIMESTEP_LOSSES);
}

void timesteps_update(timesteps *t) {
    double total = 0, reach = 0;
    bool known = true;
    for (int64_t k = 0; k < t->steps; k++) {
        known = known && t->count[k] >= TIMESTEP_LOSSES;
        total += size_of(t, k);
    }
    known = known && total > 0;
    for (int64_t k = 0; k < t->steps; k++) {
        const double even = 1 / (double)t->steps;
        reach += known ? (1 - EVEN) * size_of(t, k) / total + EVEN * even : even;
        t->reach[k] = reach;
    }
}

status timesteps_restore(timesteps *t) {
    for (int64_t k = 0; k < t->steps; k++) {
        const double count = (double)t->count[k];
        bool good = count >= 0 && count <= TIMESTEP_LOSSES && count == floor(count);
        for (int64_t i = 0; i < TIMESTEP_LOSSES; i++)
            good = good && isfinite(t->loss[k * TIMESTEP_LOSSES + i]);
        if (!good)
            return status_fail(ST_INTEGRITY,
                               "the checkpoint has impossible losses of time step %" PRId64, k + 1);
    }
    timesteps_update(t);
    return ST_OK;
}
