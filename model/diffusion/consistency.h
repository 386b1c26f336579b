/* Consistency models: networks whose prediction of x_0 is the end of the whole path of a sample,
 * not the mean of what it may come from (Song et al. 2023). A trained denoiser is tuned to be one
 * (Geng et al. 2024, "Consistency models made easy", ECT), for every process.
 *
 * Times t and r are values of sigma / alpha, which is the time of EDM. D(x_t, t) is
 * process_split()'s x_0. For edm and flow, and for ddpm with objectives eps and v, it becomes x_t
 * itself for t -> 0, as a consistency model must. A sample y with noise e is seen at t and at r <
 * t; D at t is to be what it is at r:
 *
 *     loss = (sqrt(|D(y + t e, t) - target|^2 + c^2) - c) / (t - r),
 *     target = D(y + r e, r) without gradient; where r = 0, y.
 *
 * The gap between t and r shrinks from stage to stage. */
#ifndef CTAUG_MODEL_DIFFUSION_CONSISTENCY_H
#define CTAUG_MODEL_DIFFUSION_CONSISTENCY_H

#include "model/diffusion/process.h"
#include "model/nn/graph.h"

#include <stdbool.h>

/* The two levels of a sample. */
typedef struct consistency_pair {
    double t, r;        /* sigma / alpha */
    noise_level at, to; /* the levels of t and r */
    bool is_data;       /* r is 0; `to` is then that of t */
} consistency_pair;

/* r = max(0, t (1 - q^-(stage + 1) (1 + 8 / (1 + e^t)))) (ECT, eq. 18). Local. */
double consistency_r(double t, double q, int64_t stage);

/* The stage, 0..stages-1, of step 0..steps-1: equal parts of the steps. Local. */
int64_t consistency_stage(int64_t step, int64_t steps, int64_t stages);

/* The levels of t, which is clamped to the range in which the process is sampled, and of its r; an
 * r below that range is 0. Local. */
consistency_pair consistency_at(const process *p, double t, double q, int64_t stage);

/* A time t for training: ln t ~ N(-1.1, 2^2) (ECT, section 4). Local. */
double consistency_draw(rng_stream *r);

/* The middle of the k-th of n equal parts of that distribution, k = 0..n-1. Local. */
double consistency_spread(int64_t k, int64_t n);

/* x_r[n] on the path of a solver: a step from t to r along the direction eps[n], from x_t[n] with
 * the level pair->at; where r is 0, to the data. x_r may be one of the others. Local. */
void consistency_solve(const consistency_pair *pair, const float *x_t, const float *eps, float *x_r,
                       int64_t n);

/* The inputs of graph_consistency_loss() for a sample: step, and rest[n] for x_t[n] and target[n];
 * rest may be target. c is 0.00054 sqrt(n) (Song & Dhariwal 2023). Local. */
void consistency_inputs(const process *p, const consistency_pair *pair, const float *x_t,
                        const float *target, float step[CONSISTENCY_STEP], float *rest, int64_t n);

#endif
