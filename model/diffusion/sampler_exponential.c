/* Multi-step methods in l = ln(alpha / sigma), exact for a constant x_0: with h = l_to - l,
 *
 *     x_to = (sigma_to / sigma) x - alpha_to (e^-h - 1) D,
 *
 * where D is x_0, extrapolated from the evaluations of this step and of the one before it. A step
 * to data (h infinite) ends in x_0.
 */
#include "model/diffusion/sampler_step.h"

#include <math.h>

static double log_ratio(const noise_level *at) { return log(at->alpha / at->sigma); }

/* x = from * factor + gain D, D = x_0 + (x_0 - x0_before) / (2 r) with r the ratio of the last step
 * to this one in l; the first step has D = x_0. */
static void extrapolated(sampler_state *s, double factor, double gain, const float *x0_before) {
    const double h = log_ratio(&s->to) - log_ratio(&s->at);
    const double last = s->step > 0 ? log_ratio(&s->at) - log_ratio(&s->before) : INFINITY;
    const double half = gain * h / (2 * last);
    const sampler_term terms[] = {{factor, s->x}, {gain + half, s->x0}, {-half, x0_before}};
    sampler_sum(s, terms, 3, s->x);
}

static void keep_x0(sampler_state *s, float *to) {
    const sampler_term same = {1, s->x0};
    sampler_sum(s, &same, 1, to);
}

/* The end of a deterministic step. */
static void step_to(sampler_state *s, const float *x0_before) {
    if (s->to.sigma > 0) {
        const double h = log_ratio(&s->to) - log_ratio(&s->at);
        extrapolated(s, s->to.sigma / s->at.sigma, -s->to.alpha * expm1(-h), x0_before);
    } else
        sampler_line(s, &s->to, s->x);
}

status sampler_dpm_2m(sampler_state *s) {
    status st = ST_OK;
    TRY(sampler_evaluate(s, &s->at, s->x));
    step_to(s, s->kept[0]);
    keep_x0(s, s->kept[0]);
done:
    return st;
}

/* x_to = (sigma_to / sigma) e^-h x + alpha_to (1 - e^-2h) D + sigma_to sqrt(1 - e^-2h) noise. */
status sampler_dpm_2m_sde(sampler_state *s) {
    status st = ST_OK;
    TRY(sampler_evaluate(s, &s->at, s->x));
    if (s->to.sigma > 0) {
        const double h = log_ratio(&s->to) - log_ratio(&s->at), lost = -expm1(-2 * h);
        extrapolated(s, s->to.sigma / s->at.sigma * exp(-h), s->to.alpha * lost, s->kept[0]);
        sampler_draw(s);
        const sampler_term terms[] = {{1, s->x}, {s->to.sigma * sqrt(lost), s->noise}};
        sampler_sum(s, terms, 2, s->x);
    } else
        sampler_line(s, &s->to, s->x);
    keep_x0(s, s->kept[0]);
done:
    return st;
}

/* UniC: x at s->at again, from x at s->before (`from`) and x_0 there (`x0_before`), one step before
 * that (`x0_first`) and of the last evaluation. Zhao et al. 2023, for predictions of x_0: with
 * H = -h, phi_1 = (e^H - 1) / H, phi_(k+1) = (phi_k - 1 / k!) / H and B = e^H - 1, the weights of
 * the differences solve sum_m rho_m r_m^(k-1) = H phi_(k+1) k! / B, k = 1..order. */
static void correct_x(sampler_state *s, const float *from, const float *x0_before,
                      const float *x0_first) {
    const double h = log_ratio(&s->at) - log_ratio(&s->before), base = expm1(-h);
    const double last = s->step > 1 ? log_ratio(&s->before) - log_ratio(&s->earlier) : h;
    const double phi_2 = (base / -h - 1) / -h, phi_3 = (phi_2 - 0.5) / -h;
    const double b1 = -h * phi_2 / base, b2 = -h * phi_3 * 2 / base;
    const double r = -last / h; /* of the older evaluation; that of the new one is 1 */
    const double older = s->step > 1 ? (b1 - b2) / (1 - r) : 0;
    const double newer = s->step > 1 ? b1 - older : 0.5;
    const double gain = -s->at.alpha * base;
    const double to_older = s->step > 1 ? gain * older / r : 0;
    const sampler_term terms[] = {{s->at.sigma / s->before.sigma, from},
                                  {gain * (1 - newer) - to_older, x0_before},
                                  {to_older, x0_first},
                                  {gain * newer, s->x0}};
    sampler_sum(s, terms, 4, s->x);
}

/* kept[0]: x at the last level; kept[1], kept[2]: x_0 there and one step earlier. */
status sampler_unipc_2(sampler_state *s) {
    status st = ST_OK;
    float *oldest = s->kept[2];
    TRY(sampler_evaluate(s, &s->at, s->x));
    if (s->step > 0) correct_x(s, s->kept[0], s->kept[1], s->kept[2]);
    const sampler_term same = {1, s->x};
    sampler_sum(s, &same, 1, s->kept[0]);
    step_to(s, s->kept[1]);
    s->kept[2] = s->kept[1];
    s->kept[1] = oldest;
    keep_x0(s, s->kept[1]);
done:
    return st;
}
