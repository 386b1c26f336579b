/* The table of time grids. */
#include "model/diffusion/time_grid.h"

#include <inttypes.h>
#include <math.h>

static const double RHO = 7;                            /* of Karras et al. */
static const double FIRST_NOISE = 80, LAST_NOISE = 0.8; /* of GRID_CONSISTENCY */

/* A row gives the time of point k < steps; the last point is 0. `from_1_to_0` falls evenly from 1
 * at k = 0 to 0 at k = steps - 1. */
static double from_1_to_0(int64_t k, int64_t steps) {
    return steps > 1 ? (double)(steps - 1 - k) / (double)(steps - 1) : 1;
}

/* A flow ends at t = 0 itself: its points fall evenly from 1 to 0 at k = steps. */
static double flow_along(int64_t k, int64_t steps) { return (double)(steps - k) / (double)steps; }

static double uniform(const process *p, int64_t k, int64_t steps) {
    if (p->set.kind == PROCESS_FLOW) return process_shifted(p, flow_along(k, steps));
    const int64_t last = p->schedule.steps;
    if (k == 0) return (double)last;
    return (double)(1 +
                    llround((double)(last - 1) * (double)(steps - 1 - k) / (double)(steps - 1)));
}

/* (sigma / alpha)^(1 / rho) falls evenly. */
static double by_power(const process *p, int64_t k, int64_t steps, double rho) {
    const double low = pow(p->low, 1 / rho), high = pow(p->high, 1 / rho);
    return process_time_of(p, pow(low + from_1_to_0(k, steps) * (high - low), rho));
}

static double quadratic(const process *p, int64_t k, int64_t steps) {
    if (p->set.kind == PROCESS_EDM) return by_power(p, k, steps, 2);
    if (p->set.kind == PROCESS_FLOW) return process_shifted(p, pow(flow_along(k, steps), 2));
    return 1 + (double)(p->schedule.steps - 1) * pow(from_1_to_0(k, steps), 2);
}

static double log_snr(const process *p, int64_t k, int64_t steps) {
    return process_time_of(p, p->low * pow(p->high / p->low, from_1_to_0(k, steps)));
}

static double karras(const process *p, int64_t k, int64_t steps) {
    return by_power(p, k, steps, RHO);
}

static double consistency(const process *p, int64_t k, int64_t steps) {
    const double first = fmin(p->high, FIRST_NOISE);
    return process_time_of(p, LAST_NOISE * pow(first / LAST_NOISE, from_1_to_0(k, steps)));
}

enum { DDPM = 1 << PROCESS_DDPM, EDM = 1 << PROCESS_EDM, FLOW = 1 << PROCESS_FLOW };

static const struct row {
    const char *name;
    double (*at)(const process *p, int64_t k, int64_t steps);
    int fits; /* bit k: process_kind k */
} TABLE[] = {[GRID_UNIFORM] = {"uniform", uniform, DDPM | FLOW},
             [GRID_QUADRATIC] = {"quadratic", quadratic, DDPM | EDM | FLOW},
             [GRID_LOG_SNR] = {"log-snr", log_snr, DDPM | EDM},
             [GRID_KARRAS] = {"karras", karras, DDPM | EDM},
             [GRID_CONSISTENCY] = {"consistency", consistency, DDPM | EDM | FLOW}};

const named_table time_grid_kinds = NAMED_TABLE("time grid", TABLE);

bool time_grid_fits(time_grid_kind kind, process_kind process) {
    return TABLE[kind].fits >> process & 1;
}

status time_grid_fill(const process *p, time_grid_kind kind, int64_t steps, double *times) {
    if (!time_grid_fits(kind, p->set.kind))
        return status_fail(ST_USAGE, "time grid %s does not fit process %s", TABLE[kind].name,
                           named_table_name(&process_kinds, (int)p->set.kind));
    if (steps < 1)
        return status_fail(ST_USAGE, "%" PRId64 " sampling steps: take 1 or more", steps);
    if (kind == GRID_UNIFORM && p->set.kind == PROCESS_DDPM && steps > p->schedule.steps)
        return status_fail(ST_USAGE,
                           "%" PRId64 " sampling steps: the number must be 1 to %" PRId64
                           ", the steps of the schedule the network was trained with",
                           steps, p->schedule.steps);
    for (int64_t k = 0; k < steps; k++) times[k] = TABLE[kind].at(p, k, steps);
    times[steps] = 0;
    return ST_OK;
}
