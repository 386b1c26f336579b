/* The optimiser's loops over the flat parameter buffer. Elements do not depend on each other, so
 * threads change nothing; the one sum (of squares) is cut into a fixed number of parts that are
 * added in order.
 */
#include "model/optim.h"

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

/* Eight running sums: an order that vectors can follow without leave to reassociate. */
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

double gradient_square(const float *grad, int64_t n) {
    enum { PARTS = 256 };
    double part[PARTS];
    int64_t length = n / PARTS + 1;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < PARTS; p++) {
        int64_t from = p * length < n ? p * length : n;
        int64_t left = n - from < length ? n - from : length;
        part[p] = sum_of_squares(grad + from, left);
    }
    double sum = 0;
    for (int p = 0; p < PARTS; p++) sum += part[p];
    return sum;
}

/* m and v are the moments of the scaled gradient; the bias corrections 1 - beta^step are folded
 * into the step size and into the root, in f64, once for all elements. */
void adamw_update(const adamw *a, float *value, const float *grad, float *m, float *v,
                  const uint8_t *decay, int64_t n) {
    double correct1 = -expm1((double)a->step * log(a->beta1));
    double correct2 = -expm1((double)a->step * log(a->beta2));
    const float scale = (float)a->scale, eps = (float)a->eps;
    const float keep1 = (float)a->beta1, take1 = (float)(1 - a->beta1);
    const float keep2 = (float)a->beta2, take2 = (float)(1 - a->beta2);
    const float size = (float)(a->lr / correct1), root = (float)(1 / sqrt(correct2));
    const float shrink = (float)(1 - a->lr * a->weight_decay);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float g = scale * grad[i];
        float mean = keep1 * m[i] + take1 * g;
        float square = keep2 * v[i] + take2 * g * g;
        float kept = decay != NULL && decay[i] ? shrink * value[i] : value[i];
        m[i] = mean;
        v[i] = square;
        value[i] = kept - size * mean / (sqrtf(square) * root + eps);
    }
}

double ema_decay(double decay, int64_t step) {
    double ramp = (1.0 + (double)step) / (10.0 + (double)step);
    return ramp < decay ? ramp : decay;
}

void ema_update(float *ema, const float *value, double decay, int64_t n) {
    const float take = (float)(1 - decay);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) ema[i] += take * (value[i] - ema[i]);
}
