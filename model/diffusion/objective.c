/* eps, x0 and v are three ways to write the same point: with alpha^2 + sigma^2 = 1, (x_t, v) is
 * (x_0, eps) turned by the angle whose cosine is alpha, and so any of them gives the others.
 *
 * Turning back divides by alpha for eps (x_0 from almost pure noise) and by sigma for x0 (eps from
 * almost pure data). At the ends of a schedule that multiplies the network's error: with the capped
 * cosine schedule alpha_bar_T is 2.4e-9 at T = 1000, 1 / alpha is 20,000, and only the sampler's
 * clamp of x_0 makes the answer usable. v has no such end.
 */
#include "model/diffusion/objective.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

typedef struct mix {
    double x, y; /* out = x * first + y * second */
} mix;

static void combine(mix by, const float *first, const float *second, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(by.x * first[i] + by.y * second[i]);
}

static double alpha_of(double alpha_bar) { return sqrt(alpha_bar); }
static double sigma_of(double alpha_bar) { return sqrt(1 - alpha_bar); }

void diffuse(double alpha_bar, const float *x0, const float *eps, float *x_t, int64_t n) {
    combine((mix){alpha_of(alpha_bar), sigma_of(alpha_bar)}, x0, eps, x_t, n);
}

static void eps_target(double alpha_bar, const float *x0, const float *eps, float *target,
                       int64_t n) {
    (void)alpha_bar, (void)x0;
    memcpy(target, eps, (size_t)n * sizeof *target);
}

static void eps_split(double alpha_bar, const float *x_t, const float *predicted, float *x0,
                      float *eps, int64_t n) {
    double alpha = alpha_of(alpha_bar), sigma = sigma_of(alpha_bar);
    if (x0) combine((mix){1 / alpha, -sigma / alpha}, x_t, predicted, x0, n);
    if (eps) memcpy(eps, predicted, (size_t)n * sizeof *eps);
}

static void x0_target(double alpha_bar, const float *x0, const float *eps, float *target,
                      int64_t n) {
    (void)alpha_bar, (void)eps;
    memcpy(target, x0, (size_t)n * sizeof *target);
}

static void x0_split(double alpha_bar, const float *x_t, const float *predicted, float *x0,
                     float *eps, int64_t n) {
    double alpha = alpha_of(alpha_bar), sigma = sigma_of(alpha_bar);
    if (eps) combine((mix){1 / sigma, -alpha / sigma}, x_t, predicted, eps, n);
    if (x0) memcpy(x0, predicted, (size_t)n * sizeof *x0);
}

static void v_target(double alpha_bar, const float *x0, const float *eps, float *target,
                     int64_t n) {
    combine((mix){alpha_of(alpha_bar), -sigma_of(alpha_bar)}, eps, x0, target, n);
}

static void v_split(double alpha_bar, const float *x_t, const float *predicted, float *x0,
                    float *eps, int64_t n) {
    double alpha = alpha_of(alpha_bar), sigma = sigma_of(alpha_bar);
    if (x0) combine((mix){alpha, -sigma}, x_t, predicted, x0, n);
    if (eps) combine((mix){sigma, alpha}, x_t, predicted, eps, n);
}

static const objective TABLE[] = {[OBJECTIVE_EPS] = {"eps", eps_target, eps_split},
                                  [OBJECTIVE_X0] = {"x0", x0_target, x0_split},
                                  [OBJECTIVE_V] = {"v", v_target, v_split}};

const named_table objective_kinds = NAMED_TABLE("objective", TABLE);

const objective *objective_of(objective_kind kind) { return &TABLE[kind]; }
