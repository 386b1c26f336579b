/* Methods for ordinary differential equations in the straight coordinates of the process
 * (process_frame): dz / du = d = slope x_0 + e.
 *
 * An Euler step with d ends on the line of the evaluation, alpha x_0 + sigma e. Other methods take
 * a mean derivative d' and differ from it by scale (u_to - u) (d' - d); written so, large terms do
 * not cancel. A step to data (sigma 0) is an Euler step: its weight in the error falls with the
 * square of the step or, where the last level is fixed, it is a map that all numbers of steps
 * share.
 */
#include "model/diffusion/sampler_step.h"

#include <string.h>

/* out = the derivative of the last evaluation. */
static void derivative(const sampler_state *s, float *out) {
    const process_frame frame = process_frame_of(s->how->process, &s->at);
    const sampler_term terms[] = {{frame.slope, s->x0}, {1, s->eps}};
    sampler_sum(s, terms, 2, out);
}

/* scale (u_to - u) of this step. */
static double step_length(const sampler_state *s) {
    const process_frame from = process_frame_of(s->how->process, &s->at),
                        to = process_frame_of(s->how->process, &s->to);
    return to.scale * (to.at - from.at);
}

/* x = Heun's end of a step whose first evaluation has been made and whose derivative is `first`. */
static status finish_heun(sampler_state *s, const float *first) {
    status st = ST_OK;
    const double half = step_length(s) / 2, slope = process_frame_of(s->how->process, &s->at).slope;
    sampler_line(s, &s->to, s->x);
    TRY(sampler_evaluate(s, &s->to, s->x));
    const sampler_term terms[] = {{1, s->x}, {half * slope, s->x0}, {half, s->eps}, {-half, first}};
    sampler_sum(s, terms, 4, s->x);
done:
    return st;
}

status sampler_heun(sampler_state *s) {
    status st = ST_OK;
    TRY(sampler_evaluate(s, &s->at, s->x));
    if (s->to.sigma > 0) {
        derivative(s, s->kept[0]);
        TRY(finish_heun(s, s->kept[0]));
    } else
        sampler_line(s, &s->to, s->x);
done:
    return st;
}

status sampler_midpoint(sampler_state *s) {
    status st = ST_OK;
    const process *p = s->how->process;
    const process_frame from = process_frame_of(p, &s->at), to = process_frame_of(p, &s->to);
    const double ratio = process_frame_ratio(p, (from.at + to.at) / 2), length = step_length(s);
    const noise_level middle = process_level(p, process_time_of(p, ratio));
    float *first = s->kept[0], *end = s->kept[1];
    TRY(sampler_evaluate(s, &s->at, s->x));
    if (s->to.sigma > 0) {
        derivative(s, first);
        sampler_line(s, &s->to, end);
        sampler_line(s, &middle, s->x);
        TRY(sampler_evaluate(s, &middle, s->x));
        const sampler_term terms[] = {
            {1, end}, {length * from.slope, s->x0}, {length, s->eps}, {-length, first}};
        sampler_sum(s, terms, 4, s->x);
    } else
        sampler_line(s, &s->to, s->x);
done:
    return st;
}

/* kept[0..3]: the derivatives of this step and of those before it. The weights are those of Adams
 * and Bashforth for even steps, as in PNDM on any grid. */
status sampler_plms(sampler_state *s) {
    static const double weights[SAMPLER_KEPT][SAMPLER_KEPT] = {
        {1},
        {3.0 / 2, -1.0 / 2},
        {23.0 / 12, -16.0 / 12, 5.0 / 12},
        {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}};
    status st = ST_OK;
    const int order = s->step < SAMPLER_KEPT ? (int)s->step + 1 : SAMPLER_KEPT;
    float *oldest = s->kept[SAMPLER_KEPT - 1];
    memmove(s->kept + 1, s->kept, (SAMPLER_KEPT - 1) * sizeof *s->kept);
    s->kept[0] = oldest;
    TRY(sampler_evaluate(s, &s->at, s->x));
    derivative(s, s->kept[0]);
    if (s->step == 0 && s->to.sigma > 0) {
        TRY(finish_heun(s, s->kept[0]));
        goto done;
    }
    sampler_line(s, &s->to, s->x);
    if (s->to.sigma > 0) {
        const double length = step_length(s);
        sampler_term terms[1 + SAMPLER_KEPT] = {{1, s->x}};
        for (int k = 0; k < order; k++)
            terms[1 + k] = (sampler_term){length * (weights[order - 1][k] - (k == 0)), s->kept[k]};
        sampler_sum(s, terms, 1 + order, s->x);
    }
done:
    return st;
}
