/* The sampling loop and the table of samplers.
 *
 * The loop is the same for all samplers: get the network's prediction, convert it to x_0 and eps,
 * clamp x_0, and step from time t to the next smaller time by
 *
 *     x_to = a x_0 + b x_t + c eps + d noise.
 *
 * A sampler is a rule for the four coefficients.
 *
 * Where x_0 is clamped, eps is recomputed from x_t and the clamped x_0, so that the two remain
 * consistent with x_t. The clamp also bounds x_0 near t = T, where an objective that divides by
 * sqrt(alpha_bar) (objective.c) can give values of any size; with clip = 0 nothing bounds them.
 */
#include "model/diffusion/sampler.h"
#include "io/alloc.h"
#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct step_rule {
    double x0, x_t, eps, noise;
} step_rule;

/* Ho et al. 2020, algorithm 2: a draw from the posterior q(x_to | x_t, x_0) with one of the
 * variances; the last step has no noise. A learned one is in the noise itself (scale_noise()). */
static step_rule ddpm(const sampling *how, int64_t t, int64_t to) {
    step_rule rule = {0};
    double variance;
    schedule_posterior(how->schedule, t, to, &rule.x0, &rule.x_t, &variance);
    if (how->variance == VARIANCE_FIXED_LARGE && to > 0)
        variance = exp(variance_range_of(how->schedule, t, to).log_large);
    rule.noise = how->variance == VARIANCE_LEARNED ? to > 0 : sqrt(variance);
    return rule;
}

/* Song et al. 2021: eq. 16 for sigma, eq. 12 for the step. */
static step_rule ddim(const sampling *how, int64_t t, int64_t to) {
    double bar = schedule_alpha_bar(how->schedule, t),
           bar_to = schedule_alpha_bar(how->schedule, to);
    double sigma = how->eta * sqrt((1 - bar_to) / (1 - bar)) * sqrt(1 - bar / bar_to);
    double rest = 1 - bar_to - sigma * sigma;
    return (step_rule){.x0 = sqrt(bar_to), .eps = rest > 0 ? sqrt(rest) : 0, .noise = sigma};
}

static const struct row {
    const char *name;
    step_rule (*rule)(const sampling *how, int64_t t, int64_t to);
} TABLE[] = {[SAMPLER_DDPM] = {"ddpm", ddpm}, [SAMPLER_DDIM] = {"ddim", ddim}};

const named_table sampler_kinds = NAMED_TABLE("sampler", TABLE);

static status check(const sampling *how) {
    status st = ST_OK;
    if (how->steps < 1 || how->steps > how->schedule->steps)
        TRY(status_fail(ST_USAGE,
                        "%" PRId64 " sampling steps: the number must be 1 to %" PRId64
                        ", the steps of the schedule the network was trained with",
                        how->steps, how->schedule->steps));
    if (!(how->eta >= 0 && how->eta <= 1))
        TRY(status_fail(ST_USAGE, "eta %g: it must be between 0 and 1", how->eta));
    if (!isfinite(how->guidance))
        TRY(status_fail(ST_USAGE, "guidance %g: it must be a finite number", how->guidance));
    if (!(how->clip >= 0))
        TRY(status_fail(ST_USAGE, "clip %g: it must be positive, or 0 for no clamping", how->clip));
done:
    return st;
}

/* The k-th time in descending order, k = 0..steps-1, from T to 1; k = steps: 0. */
static int64_t time_at(const sampling *how, int64_t k) {
    int64_t last = how->schedule->steps, steps = how->steps;
    if (k == 0) return last;
    if (k == steps) return 0;
    return 1 + llround((double)(last - 1) * (double)(steps - 1 - k) / (double)(steps - 1));
}

/* The prediction with guidance. `unconditional`: buffer for the prediction without conditions;
 * NULL: no guidance. At a given x_t, x_0, eps and v are affine functions of each other, so that
 * extrapolating one of them extrapolates all. */
static status predict(const sampling *how, denoise_fn denoise, void *context, int64_t t,
                      int64_t count, const float *x, float *predicted, float *unconditional) {
    status st = ST_OK;
    TRY(denoise(context, x, t, 1, predicted));
    if (unconditional) {
        TRY(denoise(context, x, t, 0, unconditional));
        for (int64_t i = 0; i < count; i++)
            predicted[i] += (float)(how->guidance - 1) * (predicted[i] - unconditional[i]);
    }
done:
    return st;
}

/* Clamps x_0 to [-clip, clip] and recomputes eps where it was clamped. The comparisons let a NaN
 * pass, which fmin and fmax would replace. */
static void clamp(double alpha_bar, double clip, const float *x_t, float *x0, float *eps,
                  int64_t n) {
    double alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar);
    float limit = (float)clip;
    for (int64_t i = 0; i < n; i++) {
        if (!(x0[i] < -limit || x0[i] > limit)) continue;
        x0[i] = x0[i] < 0 ? -limit : limit;
        eps[i] = (float)((x_t[i] - alpha * x0[i]) / sigma);
    }
}

/* Lets how->correct change x_0, and recomputes eps. */
static void correct(const sampling *how, void *context, int64_t b, double alpha_bar,
                    const float *x_t, float *x0, float *eps, int64_t n) {
    double alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar);
    how->correct(context, b, x0);
    for (int64_t i = 0; i < n; i++) eps[i] = (float)((x_t[i] - alpha * x0[i]) / sigma);
}

static void take_step(const step_rule *rule, const float *x0, const float *eps, const float *noise,
                      float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double mean = rule->x0 * x0[i] + rule->x_t * x[i] + rule->eps * eps[i];
        x[i] = (float)(mean + rule->noise * noise[i]);
    }
}

/* Noise of one sample: k = 0 for x_T, k + 1 for step k. */
static void draw_normal(const sampling *how, uint64_t index, int64_t k, float *out, int64_t n) {
    rng_stream r = rng_open(how->seed, RNG_SAMPLE, index, (uint32_t)k);
    rng_fill_normal(&r, out, n);
}

/* Multiplies the noise of a sample by the learned standard deviation of the step from t to `to`. */
static void scale_noise(const sampling *how, int64_t t, int64_t to, const float *output,
                        float *noise, int64_t n) {
    const variance_range range = variance_range_of(how->schedule, t, to);
    for (int64_t i = 0; i < n; i++)
        noise[i] *= (float)exp(variance_log(how->variance, range, (double)output[i]) / 2);
}

static status check_finite(const float *x, int64_t count, int64_t t) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return status_fail(ST_DIVERGED,
                               "sampling produced a value that is not finite at t = %" PRId64
                               "; the network's parameters are not usable",
                               t);
    return ST_OK;
}

status sampler_run(const sampling *how, denoise_fn denoise, void *context, const uint64_t *index,
                   int64_t batch, int64_t n, float *x) {
    status st = ST_OK;
    int64_t count = 0;
    float *predicted = NULL, *unconditional = NULL, *work = NULL;
    TRY(check(how));
    if (!size_mul(batch, n, &count))
        TRY(status_fail(ST_USAGE,
                        "a batch of %" PRId64 " samples of %" PRId64 " values is too large", batch,
                        n));
    TRY(array_alloc(&predicted, count, sizeof *predicted, "predictions"));
    if (how->guidance != 1)
        TRY(array_alloc(&unconditional, count, sizeof *unconditional, "predictions"));
    TRY(array_alloc(&work, n, 3 * sizeof *work, "sampling"));
    float *x0 = work, *eps = work + n, *noise = work + 2 * n;
    const bool learned = how->sampler == SAMPLER_DDPM && how->variance == VARIANCE_LEARNED;

    for (int64_t b = 0; b < batch; b++) draw_normal(how, index[b], 0, x + b * n, n);
    for (int64_t k = 0; k < how->steps; k++) {
        int64_t t = time_at(how, k), to = time_at(how, k + 1);
        double alpha_bar = schedule_alpha_bar(how->schedule, t);
        step_rule rule = TABLE[how->sampler].rule(how, t, to);
        TRY(predict(how, denoise, context, t, count, x, predicted, unconditional));
        for (int64_t b = 0; b < batch; b++) {
            float *x_t = x + b * n;
            how->objective->split(alpha_bar, x_t, predicted + b * n, x0, eps, n);
            if (how->correct) correct(how, context, b, alpha_bar, x_t, x0, eps, n);
            if (how->clip > 0) clamp(alpha_bar, how->clip, x_t, x0, eps, n);
            if (rule.noise > 0) draw_normal(how, index[b], k + 1, noise, n);
            if (rule.noise > 0 && learned) scale_noise(how, t, to, how->output + b * n, noise, n);
            take_step(&rule, x0, eps, noise, x_t, n);
        }
        TRY(check_finite(x, count, t));
    }
done:
    free(predicted);
    free(unconditional);
    free(work);
    return st;
}
