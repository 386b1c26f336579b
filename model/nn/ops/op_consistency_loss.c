/* Loss of a consistency model (Song & Dhariwal 2023, eq. 8, with the weight 1 / (t - r)): of a
 * sample with the prediction F, whose image is D = slope F + (what does not depend on F),
 *
 *     weight * rate * (sqrt(|d|^2 + c^2) - c),   d = slope F + rest = D - target,
 *
 * where |.| is the Euclidean norm over the pixels. Its gradient by F is weight * rate * slope * d /
 * sqrt(|d|^2 + c^2), and 0 for d = 0. */
#include "model/nn/op.h"

#include <math.h>
#include <string.h>

/* in[2] of a sample: its weight, then its step. */
static const float *weight_of(const op_run *r, int64_t b) {
    return (const float *)r->in[2].at + b * (1 + CONSISTENCY_STEP);
}

static double difference(const float *step, float predicted, float rest) {
    return (double)step[CONSISTENCY_SLOPE] * (double)predicted + (double)rest;
}

/* sqrt(|d|^2 + c^2) of a sample of n pixels. */
static double length_of(const float *step, const float *predicted, const float *rest, int64_t n) {
    const double c = (double)step[CONSISTENCY_C];
    double sum = c * c;
    for (int64_t i = 0; i < n; i++) {
        const double d = difference(step, predicted[i], rest[i]);
        sum += d * d;
    }
    return sqrt(sum);
}

static status consistency_forward(op_run *r) {
    const int64_t n = tensor_sample(&r->in[0]);
    const float *predicted = r->in[0].at, *rest = r->in[1].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *weight = weight_of(r, b), *step = weight + 1;
        const double length = length_of(step, predicted + b * n, rest + b * n, n);
        const double factor = (double)weight[0] * (double)step[CONSISTENCY_RATE];
        y[b] = (float)(factor * (length - (double)step[CONSISTENCY_C]));
    }
    return ST_OK;
}

static status consistency_backward(op_run *r) {
    const int64_t n = tensor_sample(&r->in[0]);
    const float *predicted = r->in[0].at, *rest = r->in[1].at;
    float *dx = r->grad_in[0];
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *weight = weight_of(r, b), *step = weight + 1;
        const double length = length_of(step, predicted + b * n, rest + b * n, n);
        const double factor = (double)((const float *)r->grad_out)[b] * (double)weight[0] *
                              (double)step[CONSISTENCY_RATE] * (double)step[CONSISTENCY_SLOPE];
        const double slope = length > 0 ? factor / length : 0;
        for (int64_t i = b * n; i < (b + 1) * n; i++)
            dx[i] = (float)(slope * difference(step, predicted[i], rest[i]));
    }
    return ST_OK;
}

static const op_kind consistency_kind = {.name = "consistency loss",
                                         .backward_reads = BIT_IN0 | BIT_IN1 | BIT_IN2,
                                         .forward = consistency_forward,
                                         .backward = consistency_backward};

node graph_consistency_loss(graph *g, node predicted, node rest, node step, node weight) {
    const char *name = consistency_kind.name;
    const graph_op *p = graph_value(g, predicted, name), *t = graph_value(g, rest, name);
    const graph_op *s = graph_value(g, step, name), *w = graph_value(g, weight, name);
    const int64_t one[3] = {1, 1, 1}, many[3] = {1, 1, CONSISTENCY_STEP};
    if (!p || !t || !s || !w) return NODE_NONE;
    if (memcmp(p->shape, t->shape, sizeof p->shape) != 0)
        return graph_fault(g, "%s: the prediction and the rest differ in shape", name);
    if (memcmp(w->shape, one, sizeof one) != 0 || memcmp(s->shape, many, sizeof many) != 0)
        return graph_fault(g, "%s: one weight and one step per sample are needed", name);
    graph_op op = {.kind = &consistency_kind,
                   .in = {predicted, rest, graph_concat(g, weight, step)},
                   .inputs = 3,
                   .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
