/* AdamW, its learning rate, gradient clipping and the EMA of the parameters: all walk the one flat
 * parameter buffer, or pieces of it. */
#ifndef CTAUG_MODEL_OPTIM_H
#define CTAUG_MODEL_OPTIM_H

#include <stdint.h>

/* Linear warm-up over `warmup` steps to `peak`, then half a cosine to peak / 100 at `total`
 * (Loshchilov & Hutter 2017, SGDR eq. 5, one cycle). step counts from 0. */
double learning_rate(int64_t step, int64_t warmup, int64_t total, double peak);

/* The norm of a gradient is summed over parts that follow from its length alone, so that it does
 * not depend on who holds which: at most GRADIENT_PARTS parts of gradient_part() floats, a multiple
 * of 16, the last one shorter. */
enum { GRADIENT_PARTS = 4096 };
int64_t gradient_part(int64_t n);

/* Sums of squares in f64 of `count` floats of a gradient that begin with a part, each part's sum to
 * its own element of sums. The same bits whatever the thread count. */
void gradient_squares(const float *grad, int64_t count, int64_t part, double *sums);

/* Of a whole gradient: the sum of its parts in order. */
double gradient_square(const float *grad, int64_t n);

typedef struct adamw {
    double lr, beta1, beta2, eps, weight_decay;
    int64_t step; /* from 1: the step being made */
    double scale; /* factor on the gradient: clipping */
} adamw;

/* Decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2; decay not multiplied by a second
 * schedule). decay may be NULL (none) or n 0/1 bytes: biases and norm gains are not decayed. ema
 * may be NULL, or follows the new values: ema += (1 - ema_decay) (value - ema). */
void adamw_update(const adamw *a, float *value, const float *grad, float *m, float *v,
                  const uint8_t *decay, float *ema, double ema_decay, int64_t n);

/* The EMA decay at a step: min(decay, (1 + step) / (10 + step)). */
double ema_decay(double decay, int64_t step);

#endif
