/* The optimiser's loops over the flat parameter buffer.
 *
 * The update of an element does not depend on other elements, so the number of threads does not
 * change the result. The only reduction, the sum of squares, is split into parts that are added in
 * a fixed order. The lengths of blocks and parts are multiples of the vector length: an element is
 * then computed by the same instructions whichever range of the buffer a rank or thread processes.
 */
#include "model/optim.h"
#include "model/nn/kernels/cloned.h"

#include <math.h>
#include <stddef.h>

static const double PI = 3.14159265358979323846;

double learning_rate(int64_t step, int64_t warmup, int64_t total, double peak) {
    if (step < warmup) return peak * (double)(step + 1) / (double)warmup;
    double low = peak / 100;
    if (step >= total) return low;
    double progress = (double)(step - warmup) / (double)(total - warmup);
    return low + (peak - low) * 0.5 * (1 + cos(PI * progress));
}

/* Eight partial sums, one a vector lane: the compiler can vectorise this order of additions without
 * reassociating. */
static double sum_of_squares(const float *x, int64_t n) {
    enum { LANES = 8 };
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += (double)x[i + k] * x[i + k];
    for (; i < n; i++) lane[i % LANES] += (double)x[i] * x[i];
    double sum = 0;
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

int64_t gradient_part(int64_t n) {
    const int64_t vector = 16;
    int64_t part_min = (n + GRADIENT_PARTS - 1) / GRADIENT_PARTS;
    return part_min > vector ? (part_min + vector - 1) / vector * vector : vector;
}

void gradient_squared_norms(const float *grad, int64_t count, int64_t part, double *sums) {
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < count; at += part)
        sums[at / part] = sum_of_squares(grad + at, count - at < part ? count - at : part);
}

double gradient_squared_norm(const float *grad, int64_t n) {
    double part[GRADIENT_PARTS] = {0}, sum = 0;
    gradient_squared_norms(grad, n, gradient_part(n), part);
    for (int p = 0; p < GRADIENT_PARTS; p++) sum += part[p];
    return sum;
}

/* The constants of one step: beta and 1 - beta of both moments, the bias corrections folded into
 * the step size and into the factor of the root, and learning rate * weight decay. */
typedef struct adamw_terms {
    float scale, eps, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_scale, decay;
} adamw_terms;

CLONED(void, adamw_block,
       (const adamw_terms *t, float *restrict value, const float *restrict grad, float *restrict m,
        float *restrict v, const uint8_t *restrict decay, int64_t n),
       (t, value, grad, m, v, decay, n)) {
    /* No branches: the compiler could translate them differently in the vector loop, its remainder
     * and the clones, and the bits of an element would depend on the loop that computes it. */
    const adamw_terms k = *t;
    for (int64_t i = 0; i < n; i++) {
        float g = k.scale * grad[i];
        float mean = k.beta1 * m[i] + k.one_minus_beta1 * g;
        float square = k.beta2 * v[i] + k.one_minus_beta2 * g * g;
        float decayed = value[i] * (1.0f - k.decay * (float)decay[i]);
        m[i] = mean;
        v[i] = square;
        value[i] = decayed - k.step_size * mean / (sqrtf(square) * k.root_scale + k.eps);
    }
}

CLONED(void, ema_block, (float rate, float *restrict ema, const float *restrict value, int64_t n),
       (rate, ema, value, n)) {
    for (int64_t i = 0; i < n; i++) ema[i] += rate * (value[i] - ema[i]);
}

/* Changes the terms of AdamW to those of RAdam. Without a rectified step the denominator is 1. */
static void rectify(const adamw *a, double correct2, adamw_terms *t) {
    const double step = (double)a->step, most = 2 / (1 - a->beta2) - 1;
    const double freedom = most - 2 * step * (1 - correct2) / correct2;
    if (!(freedom > 5)) {
        t->root_scale = 0;
        t->eps = 1;
        return;
    }
    const double term =
        sqrt((freedom - 4) * (freedom - 2) * most / ((most - 4) * (most - 2) * freedom));
    t->step_size *= (float)term;
    t->eps *= t->root_scale; /* PyTorch adds eps to the root before the bias correction */
}

/* m and v are the moments of the scaled gradient. The bias corrections 1 - beta^step are computed
 * in f64 once for all elements. */
void adamw_update(const adamw *a, float *value, const float *grad, float *m, float *v,
                  const uint8_t *decay, float *ema, double ema_decay, int64_t n) {
    enum { BLOCK = 4096 };
    static const uint8_t no_decay[BLOCK];
    double correct1 = -expm1((double)a->step * log(a->beta1));
    double correct2 = -expm1((double)a->step * log(a->beta2));
    adamw_terms t = {.scale = (float)a->scale,
                     .eps = (float)a->eps,
                     .beta1 = (float)a->beta1,
                     .one_minus_beta1 = (float)(1 - a->beta1),
                     .beta2 = (float)a->beta2,
                     .one_minus_beta2 = (float)(1 - a->beta2),
                     .step_size = (float)(a->lr / correct1),
                     .root_scale = (float)(1 / sqrt(correct2)),
                     .decay = (float)(a->lr * a->weight_decay)};
    const float ema_rate = (float)(1 - ema_decay);
    if (a->rectified) rectify(a, correct2, &t);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t count = n - i < BLOCK ? n - i : BLOCK;
        adamw_block(&t, value + i, grad + i, m + i, v + i, decay ? decay + i : no_decay, count);
        if (ema) ema_block(ema_rate, ema + i, value + i, count);
    }
}

double ema_decay(double decay, int64_t step) {
    double ramp = (1.0 + (double)step) / (10.0 + (double)step);
    return ramp < decay ? ramp : decay;
}
