/* Steps along the straight line of one evaluation, with or without noise:
 *
 *     x_to = a x_0 + b x_t + c eps + d noise.
 *
 * A sampler is a rule for the four coefficients.
 */
#include "model/diffusion/sampler_step.h"

#include <math.h>

typedef struct step_rule {
    double x0, x_t, eps, noise;
} step_rule;

/* Multiplies the noise of the present step by the standard deviation that the network has learned
 * for it. */
static void scale_noise(sampler_state *s, variance_range range) {
    const sampling *how = s->how;
    for (int64_t i = 0; i < s->count; i++)
        s->noise[i] *= (float)exp(variance_log(how->variance, range, (double)how->output[i]) / 2);
}

/* learned: the range of the noise's variance; NULL: it is that of the rule. */
static status take_step(sampler_state *s, const step_rule *rule, const variance_range *learned) {
    status st = ST_OK;
    TRY(sampler_evaluate(s, &s->at, s->x));
    if (rule->noise > 0) sampler_draw(s);
    if (learned) scale_noise(s, *learned);
    for (int64_t i = 0; i < s->count; i++) {
        double mean = rule->x0 * s->x0[i] + rule->x_t * s->x[i] + rule->eps * s->eps[i];
        s->x[i] = (float)(mean + rule->noise * s->noise[i]);
    }
done:
    return st;
}

/* A draw from q(x_to | x_t, x_0) of any process: with r = sigma / alpha, x_to / alpha_to has the
 * mean x_0 + (r_to^2 / r) e and the variance r_to^2 (1 - r_to^2 / r^2). */
static step_rule posterior(const noise_level *at, const noise_level *to) {
    const double ratio = at->sigma / at->alpha, ratio_to = to->sigma / to->alpha;
    const double along = ratio_to / ratio;
    return (step_rule){.x0 = to->alpha,
                       .eps = to->sigma * along,
                       .noise = to->sigma * sqrt(fmax(0, 1 - along * along))};
}

/* Ho et al. 2020, algorithm 2: a draw from the posterior q(x_to | x_t, x_0) with one of the
 * variances; the last step has no noise. Between whole times the variance is "beta tilde". */
status sampler_ddpm(sampler_state *s) {
    step_rule rule = {0};
    double variance;
    const schedule *steps = &s->how->process->schedule;
    const int64_t t = (int64_t)s->at.t, to = (int64_t)s->to.t;
    if (s->at.t != floor(s->at.t) || s->to.t != floor(s->to.t)) {
        rule = posterior(&s->at, &s->to);
        return take_step(s, &rule, NULL);
    }
    schedule_posterior(steps, t, to, &rule.x0, &rule.x_t, &variance);
    if (to == 0 || s->how->variance == VARIANCE_FIXED_SMALL) {
        rule.noise = sqrt(variance);
        return take_step(s, &rule, NULL);
    }
    const variance_range range = variance_range_of(steps, t, to);
    const bool learned = s->how->variance == VARIANCE_LEARNED;
    rule.noise = learned ? 1 : exp(range.log_large / 2);
    return take_step(s, &rule, learned ? &range : NULL);
}

/* Song et al. 2021: eq. 16 for sigma, eq. 12 for the step. */
status sampler_ddim(sampler_state *s) {
    const double bar = s->at.signal, bar_to = s->to.signal;
    double sigma = s->how->eta * sqrt((1 - bar_to) / (1 - bar)) * sqrt(1 - bar / bar_to);
    double rest = 1 - bar_to - sigma * sigma;
    const step_rule rule = {.x0 = sqrt(bar_to), .eps = rest > 0 ? sqrt(rest) : 0, .noise = sigma};
    return take_step(s, &rule, NULL);
}

status sampler_euler(sampler_state *s) {
    const step_rule rule = {.x0 = s->to.alpha, .eps = s->to.sigma};
    return take_step(s, &rule, NULL);
}

status sampler_euler_ancestral(sampler_state *s) {
    const step_rule rule = posterior(&s->at, &s->to);
    return take_step(s, &rule, NULL);
}

status sampler_consistency(sampler_state *s) {
    const step_rule rule = {.x0 = s->to.alpha, .noise = s->to.sigma};
    return take_step(s, &rule, NULL);
}
