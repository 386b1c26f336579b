/* The table of objectives: the training targets and the conversions.
 *
 * eps, x_0 and v are equivalent given x_t: with alpha^2 + sigma^2 = 1, (x_t, v) is (x_0, eps)
 * rotated by the angle whose cosine is alpha, so any of the three gives the others.
 *
 * The conversion divides by alpha for eps (x_0 from almost pure noise) and by sigma for x0 (eps
 * from almost pure data), which multiplies the network's error at the ends of a schedule. With the
 * capped cosine schedule alpha_bar_T is 2.4e-9 at T = 1000 and 1 / alpha is 20,000; only the
 * sampler's clamp of x_0 makes the prediction usable there. v-prediction needs no division.
 */
#include "model/diffusion/objective.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* out = first * a + second * b. */
typedef struct weights {
    double first, second;
} weights;

static void combine(weights w, const float *a, const float *b, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(w.first * a[i] + w.second * b[i]);
}

static double alpha_of(double alpha_bar) { return sqrt(alpha_bar); }
static double sigma_of(double alpha_bar) { return sqrt(1 - alpha_bar); }

static void eps_target(double alpha_bar, const float *x0, const float *eps, float *target,
                       int64_t n) {
    (void)alpha_bar, (void)x0;
    memcpy(target, eps, (size_t)n * sizeof *target);
}

static void eps_split(double alpha_bar, const float *x_t, const float *predicted, float *x0,
                      float *eps, int64_t n) {
    double alpha = alpha_of(alpha_bar), sigma = sigma_of(alpha_bar);
    if (x0) combine((weights){1 / alpha, -sigma / alpha}, x_t, predicted, x0, n);
    if (eps) memmove(eps, predicted, (size_t)n * sizeof *eps);
}

static void x0_target(double alpha_bar, const float *x0, const float *eps, float *target,
                      int64_t n) {
    (void)alpha_bar, (void)eps;
    memcpy(target, x0, (size_t)n * sizeof *target);
}

static void x0_split(double alpha_bar, const float *x_t, const float *predicted, float *x0,
                     float *eps, int64_t n) {
    double alpha = alpha_of(alpha_bar), sigma = sigma_of(alpha_bar);
    if (eps) combine((weights){1 / sigma, -alpha / sigma}, x_t, predicted, eps, n);
    if (x0) memmove(x0, predicted, (size_t)n * sizeof *x0);
}

static void v_target(double alpha_bar, const float *x0, const float *eps, float *target,
                     int64_t n) {
    combine((weights){alpha_of(alpha_bar), -sigma_of(alpha_bar)}, eps, x0, target, n);
}

static void v_split(double alpha_bar, const float *x_t, const float *predicted, float *x0,
                    float *eps, int64_t n) {
    double alpha = alpha_of(alpha_bar), sigma = sigma_of(alpha_bar);
    if (x0) combine((weights){alpha, -sigma}, x_t, predicted, x0, n);
    if (eps) combine((weights){sigma, alpha}, x_t, predicted, eps, n);
}

static const objective TABLE[] = {[OBJECTIVE_EPS] = {"eps", eps_target, eps_split},
                                  [OBJECTIVE_X0] = {"x0", x0_target, x0_split},
                                  [OBJECTIVE_V] = {"v", v_target, v_split}};

const named_table objective_kinds = NAMED_TABLE("objective", TABLE);

const objective *objective_of(objective_kind kind) { return &TABLE[kind]; }
