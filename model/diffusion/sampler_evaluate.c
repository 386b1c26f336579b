/* One evaluation of the network: guidance, conversion to x_0 and eps, correction and clamp.
 *
 * The clamp bounds x_0 near t = T, where an objective that divides by sqrt(alpha_bar) (objective.c)
 * can give values of any size; with clip = 0 nothing bounds them.
 */
#include "model/diffusion/sampler_step.h"

#include <math.h>

/* Standard deviation of n values. */
static double deviation(const float *x, int64_t n) {
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sqrt(square / (double)n);
}

/* guided[n] = predicted + (w - 1)(predicted - unconditional), in place of `predicted`. */
static void guide(const sampling *how, float *predicted, const float *unconditional, int64_t n) {
    const double before = how->rescale > 0 ? deviation(predicted, n) : 0;
    for (int64_t i = 0; i < n; i++)
        predicted[i] += (float)(how->guidance - 1) * (predicted[i] - unconditional[i]);
    if (!(how->rescale > 0)) return;
    const double after = deviation(predicted, n);
    if (!(after > 0)) return;
    const double factor = 1 - how->rescale + how->rescale * before / after;
    for (int64_t i = 0; i < n; i++) predicted[i] = (float)(factor * (double)predicted[i]);
}

static bool is_guided(const sampling *how, const noise_level *at) {
    const double share = at->sigma / (at->alpha + at->sigma);
    return how->guidance != 1 && share >= how->interval[0] && share <= how->interval[1];
}

/* The prediction with guidance. At a given x_t, x_0, eps and what networks predict are affine
 * functions of each other, so that extrapolating one of them extrapolates all. */
static status predict(sampler_state *s, const noise_level *at, const float *x) {
    status st = ST_OK;
    TRY(s->denoise(s->context, x, at, 1, s->predicted));
    if (!is_guided(s->how, at)) goto done;
    TRY(s->denoise(s->context, x, at, 0, s->unconditional));
    for (int64_t b = 0; b < s->batch; b++)
        guide(s->how, s->predicted + b * s->n, s->unconditional + b * s->n, s->n);
done:
    return st;
}

/* Clamps x_0 to [-clip, clip] and recomputes eps where it was clamped. The comparisons let a NaN
 * pass, which fmin and fmax would replace. */
static void clamp(const noise_level *at, double clip, const float *x_t, float *x0, float *eps,
                  int64_t n) {
    float limit = (float)clip;
    for (int64_t i = 0; i < n; i++) {
        if (!(x0[i] < -limit || x0[i] > limit)) continue;
        x0[i] = x0[i] < 0 ? -limit : limit;
        eps[i] = (float)((x_t[i] - at->alpha * x0[i]) / at->sigma);
    }
}

/* Lets how->correct change x_0, and recomputes eps. */
static void correct(const sampler_state *s, int64_t b, const noise_level *at, const float *x_t,
                    float *x0, float *eps) {
    s->how->correct(s->context, b, x0);
    for (int64_t i = 0; i < s->n; i++) eps[i] = (float)((x_t[i] - at->alpha * x0[i]) / at->sigma);
}

status sampler_evaluate(sampler_state *s, const noise_level *at, const float *x) {
    status st = ST_OK;
    const sampling *how = s->how;
    TRY(predict(s, at, x));
    for (int64_t b = 0; b < s->batch; b++) {
        const float *x_t = x + b * s->n;
        float *x0 = s->x0 + b * s->n, *eps = s->eps + b * s->n;
        process_split(how->process, at, x_t, s->predicted + b * s->n, x0, eps, s->n);
        if (how->correct) correct(s, b, at, x_t, x0, eps);
        if (how->clip > 0) clamp(at, how->clip, x_t, x0, eps, s->n);
    }
done:
    return st;
}
