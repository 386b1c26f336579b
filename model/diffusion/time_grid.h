/* Time grids: the times at which a sampler calls the network, from noise to data. A grid is a row
 * of the table in time_grid.c. */
#ifndef CTAUG_MODEL_DIFFUSION_TIME_GRID_H
#define CTAUG_MODEL_DIFFUSION_TIME_GRID_H

#include "model/diffusion/process.h"

#include <stdbool.h>

typedef enum time_grid_kind {
    /* ddpm: whole times, evenly spaced from T to 1 (Nichol & Dhariwal 2021, section 4). flow:
     * evenly spaced from 1 to 0, then shifted. */
    GRID_UNIFORM,
    /* Evenly spaced in the root of the time (Song et al. 2021, section D.2), for edm in the root of
     * sigma. */
    GRID_QUADRATIC,
    GRID_LOG_SNR, /* evenly spaced in ln(alpha / sigma) (Lu et al. 2022) */
    GRID_KARRAS,  /* evenly spaced in (sigma / alpha)^(1/7) (Karras et al. 2022, eq. 5) */
    /* Evenly spaced in ln(sigma / alpha) from 80 down to 0.8, then 0: for samplers that go to the
     * data in each step and add noise again. 80 is where EDM begins, and above it consistency
     * models are hardly trained; 0.8 is, rounded, the level at which Song & Dhariwal 2023 and Geng
     * et al. 2024 begin the second of two steps on images in [-1, 1]. */
    GRID_CONSISTENCY
} time_grid_kind;

extern const named_table time_grid_kinds;

/* Whether the grid has a meaning for the process: no grid evenly spaced in sigma for edm, none over
 * sigma / alpha for a flow, where it is infinite at t = 1. Local. */
bool time_grid_fits(time_grid_kind kind, process_kind process);

/* times[steps + 1], descending, the last one 0 (data). ST_USAGE if the grid does not fit, if there
 * are no steps, or more than whole times of a uniform grid. Local. */
status time_grid_fill(const process *p, time_grid_kind kind, int64_t steps, double *times);

#endif
