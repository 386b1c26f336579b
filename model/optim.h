/* AdamW and RAdam, the learning-rate schedule, the gradient norm for clipping, and the EMA of the
 * parameters. All of them work on the flat parameter buffer or on ranges of it. */
#ifndef CTAUG_MODEL_OPTIM_H
#define CTAUG_MODEL_OPTIM_H

#include <stdbool.h>
#include <stdint.h>

/* Linear warm-up over `warmup` steps to `peak`, then a half cosine down to peak / 100 at step
 * `total` (Loshchilov & Hutter 2017, SGDR eq. 5, one cycle). `step` counts from 0. Local. */
double learning_rate(int64_t step, int64_t warmup, int64_t total, double peak);

/* The squared norm of a gradient is summed over parts whose boundaries depend on its length alone.
 * The result therefore does not depend on which rank holds which part. There are at most
 * GRADIENT_PARTS parts. */
enum { GRADIENT_PARTS = 4096 };

/* Floats of each part of a gradient of n floats, a multiple of 16 (the last part may be shorter).
 * Local. */
int64_t gradient_part(int64_t n);

/* Sums of squares, in f64, of `count` floats of a gradient that start at the beginning of a part of
 * `part` floats; one element of `sums` for each part. The bits do not depend on the number of
 * threads. Local. */
void gradient_squared_norms(const float *grad, int64_t count, int64_t part, double *sums);

/* The squared norm of a whole gradient: the sums of its parts, added in order. Local. */
double gradient_squared_norm(const float *grad, int64_t n);

typedef struct adamw {
    double lr, beta1, beta2, eps, weight_decay;
    int64_t step; /* the current step, counted from 1 */
    double scale; /* factor applied to the gradient: clipping, 1 / loss scale */
    /* RAdam (Liu et al. 2020, algorithm 2): the step size is multiplied by the rectification term
     * of the second moment's variance. While that has no more than 5 degrees of freedom (the limit
     * of PyTorch; the paper has 4), the step is lr times the first moment. */
    bool rectified;
} adamw;

/* One step over n parameters with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm
 * 2, without its second schedule multiplier). m and v are the first and second moments. `decay`:
 * NULL (no decay) or n bytes, 1 where weight decay applies (biases and norm gains have 0). `ema`:
 * NULL, or updated from the new values: ema += (1 - ema_decay) (value - ema). Local. */
void adamw_update(const adamw *a, float *value, const float *grad, float *m, float *v,
                  const uint8_t *decay, float *ema, double ema_decay, int64_t n);

/* The EMA decay at a step: min(decay, (1 + step) / (10 + step)). Local. */
double ema_decay(double decay, int64_t step);

#endif
