/* Shortcut models (Frans et al. 2024, arXiv:2410.12557): the network f of a flow is given the size
 * d of a step beside the time t and predicts the mean velocity of the step, so that few large steps
 * do.
 *
 * The paper's time runs from noise at 0 to data at 1 and its velocity is x_0 - e. Here time runs
 * from noise at 1 to data at 0 (process.h): x_t = (1 - t) x_0 + t e, velocities are e - x_0, and a
 * step of size d goes from t to t - d:
 *
 *   x_{t-d} = x_t - d f(x_t, t, d).
 *
 * As d falls to 0 f is the velocity of the flow, the target of flow matching. A step is as good as
 * two halves of it (self-consistency, eq. 4 and 5 of the paper):
 *
 *   b_1 = f(x_t, t, d/2),  b_2 = f(x_t - d/2 b_1, t - d/2, d/2),  f(x_t, t, d) = (b_1 + b_2) / 2.
 *
 * The right-hand side is a target without a gradient, from the EMA of the parameters. Sizes are
 * 1/n for n = 1, 2, 4, ..., 128 steps from noise to data, times are multiples of the size. A step
 * of the smallest size is a velocity: the network is given d = 0 for it.
 */
#ifndef CTAUG_MODEL_DIFFUSION_SHORTCUT_H
#define CTAUG_MODEL_DIFFUSION_SHORTCUT_H

#include "model/diffusion/sampler.h"

/* The steps of the smallest size; one of so many training samples learns self-consistency. */
enum { SHORTCUT_STEPS = 128, SHORTCUT_PART = 8 };

/* Whether the model is trained for this number of sampling steps: 1, 2, 4, ..., 128. Local. */
bool shortcut_fits(int64_t steps);

/* The size d that the network is given for steps of 1 / steps. Local. */
double shortcut_size(int64_t steps);

/* Whether training sample `index` learns self-consistency: one of each eight that follow each
 * other, a random one. Local. */
bool shortcut_is_chosen(uint64_t seed, uint64_t index);

/* The level of a training sample that learns self-consistency: a size of 1, 1/2, ..., 1/64, all as
 * likely, and a multiple of it as the time. Local. */
noise_level shortcut_draw(const process *p, rng_stream *r);

/* target[n] = (b_1 + b_2) / 2 for x_t[n] at a level of shortcut_draw(); scratch[2 * n]. f is
 * `denoise` with its context, called twice with `conditional`. Local. */
status shortcut_target(const process *p, const noise_level *at, denoise_fn denoise, void *context,
                       int conditional, const float *x_t, int64_t n, float *scratch, float *target);

#endif
