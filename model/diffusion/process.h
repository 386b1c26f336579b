/* Diffusion processes: how data become noise, x_t = alpha x_0 + sigma e, at which noise levels a
 * network is trained, what it sees there and what it predicts. A process is a row of the table in
 * process.c.
 *
 *   ddpm   alpha^2 = alpha_bar_t, sigma^2 = 1 - alpha_bar_t, t = 1..T (Ho et al. 2020); predicted
 *          is an objective (objective.h). Trained at whole t; between them ln(alpha / sigma) is
 *          interpolated linearly.
 *   edm    alpha = 1, sigma = t (Karras et al. 2022, table 1). With D the prediction of x_0,
 *          D(x) = c_skip x + c_out F(c_in x, c_noise): F is the network, whose target is
 *          (x_0 - c_skip x_t) / c_out, in which the weight of the paper's loss is 1.
 *   flow   alpha = 1 - t, sigma = t; predicted is e - x_0 (Liu et al. 2023, rectified flow).
 */
#ifndef CTAUG_MODEL_DIFFUSION_PROCESS_H
#define CTAUG_MODEL_DIFFUSION_PROCESS_H

#include "model/diffusion/objective.h"
#include "model/diffusion/schedule.h"
#include "model/rng.h"

#include <stdbool.h>

typedef enum process_kind { PROCESS_DDPM, PROCESS_EDM, PROCESS_FLOW } process_kind;

/* Weights of the loss over the noise levels. MIN_SNR: Hang et al. 2023, with gamma 5; for ddpm
 * alone. With SNR = alpha^2 / sigma^2: eps min(SNR, 5) / SNR, x0 min(SNR, 5), v
 * min(SNR, 5) / (SNR + 1). */
typedef enum level_weight { WEIGHT_UNIFORM, WEIGHT_MIN_SNR } level_weight;

/* Training times of a flow. LOGIT_NORMAL: ln(t / (1 - t)) ~ N(0, 1) (Esser et al. 2024). */
typedef enum flow_times { FLOW_UNIFORM, FLOW_LOGIT_NORMAL } flow_times;

extern const named_table process_kinds, level_weights, flow_times_kinds;

/* A noise level and what the network is given there. */
typedef struct noise_level {
    double t; /* time of the process; 0: data */
    double alpha, sigma;
    double signal, noise; /* alpha^2, sigma^2 */
    double scale;         /* the network sees scale * x_t */
    double time;          /* and this as its time */
    double step;          /* the same of a shortcut model: the size of the step; 0: a velocity */
} noise_level;

typedef struct process_settings {
    process_kind kind;
    schedule_kind schedule; /* this and the next three: ddpm */
    int64_t steps;          /* T */
    objective_kind objective;
    level_weight weight;
    double sigma_data; /* edm: standard deviation of the data */
    flow_times times;  /* this and the next: flow */
    double shift;      /* t' = shift t / (1 + (shift - 1) t), in training and in sampling */
    bool shortcut;     /* the network is given the size of a step (shortcut.h); with shift 1 */
} process_settings;

typedef struct process {
    process_settings set;
    schedule schedule;          /* ddpm; owned */
    const objective *objective; /* ddpm */
    double low, high;           /* sigma / alpha between which ddpm and edm are sampled */
} process;

/* ST_USAGE if a setting is out of range. The caller frees *out with process_free(). Local. */
status process_open(const process_settings *set, process *out);
void process_free(process *p);

/* The level of time t: 0..T, 0..infinity, 0..1. Local. */
noise_level process_level(const process *p, double t);

/* The time of a training sample, drawn from the stream. Local. */
double process_draw(const process *p, rng_stream *r);

/* The time in the middle of the k-th of n equal parts of the distribution of training times,
 * k = 0..n-1. Local. */
double process_spread(const process *p, int64_t k, int64_t n);

/* The time below which is this share of the distribution of training times, 0 < share < 1. Local.
 */
double process_quantile(const process *p, double share);

/* The time at which sigma / alpha has this value. ddpm: at least that of t = 1. Local. */
double process_time_of(const process *p, double ratio);

/* The shifted time of a flow, t' above; for times of training and of sampling. Local. */
double process_shifted(const process *p, double t);

/* x_t[n] = alpha x_0 + sigma e; x_t may be one of the two. Local. */
void process_diffuse(const noise_level *at, const float *x0, const float *eps, float *x_t,
                     int64_t n);

/* target[n]: what the network is to predict. Local. */
void process_target(const process *p, const noise_level *at, const float *x0, const float *eps,
                    float *target, int64_t n);

/* Weight of the squared error of the prediction at this level. Local. */
double process_weight(const process *p, const noise_level *at);

/* Converts a prediction at x_t[n] to x_0 and e; if one of them is NULL, the other may be
 * `predicted`. Local. */
void process_split(const process *p, const noise_level *at, const float *x_t,
                   const float *predicted, float *x0, float *eps, int64_t n);

/* Coordinates in which the path from x_0 to e is a straight line: z = x_t / scale has the
 * derivative slope x_0 + e with respect to `at`. edm: z = x_t over sigma; flow: z = x_t over t.
 * ddpm: those of a flow, z = x_t / (alpha + sigma) over sigma / (alpha + sigma), which stay bounded
 * where sigma / alpha does not (20,000 at the end of the cosine schedule). */
typedef struct process_frame {
    double scale, at, slope;
} process_frame;

process_frame process_frame_of(const process *p, const noise_level *at); /* Local */

/* sigma / alpha at the value `at` of the coordinate. Local. */
double process_frame_ratio(const process *p, double at);

#endif
