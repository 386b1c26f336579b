/* Loss of a denoiser that predicts its variance, too (Nichol & Dhariwal 2021, section 3.1):
 *
 *     weight * (mean over pixels of penalty(d) + w * mean over pixels of L), d = predicted - target
 *
 * for the first channel of the prediction, and for the second, o, a term L of the variational bound
 * in nats (model/diffusion/bound.h): with ln s^2 = small + (o + 1) / 2 * (large - small), e = error
 * * (target - predicted), the error of x_0, and m, the factor of x_0 in the mean,
 *
 *     L = (ln s^2 - small - 1 + (exp(small) + (m e)^2) / s^2) / 2,
 *
 * or, for L_0, -ln of the mass of N(0, s^2) within half a level of e, and beyond it where x_0 lies
 * at an end of [-1, 1]. L trains the second channel alone: its gradient by the first one is
 * stopped. */
#include "model/nn/op.h"
#include "model/nn/ops/penalty.h"
#include "model/normal_mass.h"

#include <string.h>

/* L of a pixel, and its slope by ln s^2. */
typedef struct bound_value {
    double value, slope;
} bound_value;

static bound_value divergence(const float *step, double error, double log_variance) {
    const double small = (double)step[HYBRID_LOG_SMALL], apart = (double)step[HYBRID_MEAN] * error;
    const double ratio = exp(small - log_variance) + apart * apart * exp(-log_variance);
    return (bound_value){(log_variance - small - 1 + ratio) / 2, (1 - ratio) / 2};
}

static bound_value decoder(const float *step, double error, double log_variance, double x0) {
    const double half = (double)step[HYBRID_HALF], scale = exp(-log_variance / 2);
    const double low = x0 <= half - 1 ? -INFINITY : (error - half) * scale,
                 high = x0 >= 1 - half ? INFINITY : (error + half) * scale;
    const double mass = normal_log_mass(low, high);
    return (bound_value){-mass, -normal_log_mass_slope(low, high, mass)};
}

/* L of the pixel with these two predictions and targets; the slope is by the second prediction. */
static bound_value bound_of(const float *step, const float *predicted, const float *target) {
    const double small = (double)step[HYBRID_LOG_SMALL];
    const double range = (double)step[HYBRID_LOG_LARGE] - small;
    const double error = (double)step[HYBRID_ERROR] * ((double)target[0] - (double)predicted[0]);
    const double log_variance = small + ((double)predicted[1] + 1) / 2 * range;
    bound_value v = step[HYBRID_FIRST] != 0 ? decoder(step, error, log_variance, (double)target[1])
                                            : divergence(step, error, log_variance);
    v.slope *= range / 2;
    return v;
}

/* in[2] of a sample: its weight, then its step. */
static const float *weight_of(const op_run *r, int64_t b) {
    return (const float *)r->in[2].at + b * (1 + HYBRID_STEP);
}

static status hybrid_forward(op_run *r) {
    const int64_t pixels = tensor_sample(&r->in[0]) / 2;
    const float *predicted = r->in[0].at, *target = r->in[1].at;
    float *y = r->out.at;
    loss_kind kind = r->op->set.loss;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *weight = weight_of(r, b), *step = weight + 1;
        double simple = 0, bound = 0;
        for (int64_t i = 2 * b * pixels; i < 2 * (b + 1) * pixels; i += 2) {
            simple += penalty(kind, (double)predicted[i] - (double)target[i]);
            bound += bound_of(step, predicted + i, target + i).value;
        }
        const double loss = simple + (double)step[HYBRID_WEIGHT] * bound;
        y[b] = (float)(loss / (double)pixels * (double)weight[0]);
    }
    return ST_OK;
}

static status hybrid_backward(op_run *r) {
    const int64_t pixels = tensor_sample(&r->in[0]) / 2;
    const float *predicted = r->in[0].at, *target = r->in[1].at;
    float *dx = r->grad_in[0];
    loss_kind kind = r->op->set.loss;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *weight = weight_of(r, b), *step = weight + 1;
        const float factor = ((const float *)r->grad_out)[b] * weight[0] / (float)pixels;
        const double of_bound = (double)factor * (double)step[HYBRID_WEIGHT];
        for (int64_t i = 2 * b * pixels; i < 2 * (b + 1) * pixels; i += 2) {
            dx[i] = factor * penalty_slope(kind, predicted[i] - target[i]);
            dx[i + 1] = (float)(of_bound * bound_of(step, predicted + i, target + i).slope);
        }
    }
    return ST_OK;
}

static const op_kind hybrid_kind = {.name = "hybrid loss",
                                    .backward_reads = BIT_IN0 | BIT_IN1 | BIT_IN2,
                                    .forward = hybrid_forward,
                                    .backward = hybrid_backward};

node graph_hybrid_loss(graph *g, node predicted, node target, node step, node weight,
                       loss_kind kind) {
    const graph_op *p = graph_value(g, predicted, "loss"), *t = graph_value(g, target, "loss");
    const graph_op *s = graph_value(g, step, "loss"), *w = graph_value(g, weight, "loss");
    if (!p || !t || !s || !w) return NODE_NONE;
    if (memcmp(p->shape, t->shape, sizeof p->shape) != 0 || p->shape[2] != 2)
        return graph_fault(g, "loss: the prediction and its target must have two channels");
    const int64_t one[3] = {1, 1, 1}, many[3] = {1, 1, HYBRID_STEP};
    if (memcmp(w->shape, one, sizeof one) != 0 || memcmp(s->shape, many, sizeof many) != 0)
        return graph_fault(g, "loss: one weight and one step per sample are needed");
    graph_op op = {.kind = &hybrid_kind,
                   .in = {predicted, target, graph_concat(g, weight, step)},
                   .inputs = 3,
                   .shape = {1, 1, 1},
                   .set = {.loss = kind}};
    return graph_append(g, &op);
}
