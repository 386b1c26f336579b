/* How straight the paths of a flow are (Liu et al. 2023): with z_t the path from noise z_1 to the
 * model's sample z_0,
 *
 *   S = integral over t from 0 to 1 of E|(z_1 - z_0) - v(z_t, t)|^2.
 *
 * 0: the paths are straight lines with constant speed, and Euler's method makes them in one step.
 * Values are means over the elements of z. For data of the normal distribution N(m, s^2) S is
 * s (2 - pi / 2).
 *
 * Paths are integrated by the midpoint rule in equal steps, which needs no velocity at the data
 * themselves. z_1 - z_0 is the mean of its slopes, so that S is their variance along a path: never
 * negative, and right to the square of the step. */
#ifndef CTAUG_MODEL_DIFFUSION_STRAIGHTNESS_H
#define CTAUG_MODEL_DIFFUSION_STRAIGHTNESS_H

#include "model/diffusion/sampler.h"

/* z[batch*n]: noise, replaced by the samples without any clamping; straightness[batch]: that of
 * each path. The network `denoise` of a flow, with its context, is called 2 * steps times with
 * `conditional` 1. ST_USAGE for another process or no steps, ST_DIVERGED if a path is not
 * finite. Local. */
status straightness_measure(const process *p, denoise_fn denoise, void *context, int64_t steps,
                            int64_t batch, int64_t n, float *z, double *straightness);

#endif
