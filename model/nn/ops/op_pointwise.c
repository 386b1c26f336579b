/* Functions of single values, in f32: leaky ReLU with slope 1/5 (Maas et al. 2013; the slope of
 * Radford et al. 2016), the hyperbolic tangent, and a constant factor. Backward reads the outputs
 * of the first two, which the next convolution reads anyway. */
#include "model/nn/op.h"

#include <math.h>

static const float SLOPE = 0.2f;

static status leaky_forward(op_run *r) {
    const float *x = r->in[0].at;
    float *y = r->out.at;
    int64_t n = tensor_count(&r->out);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : SLOPE * x[i];
    return ST_OK;
}

static status leaky_backward(op_run *r) {
    const float *y = r->out.at, *dy = r->grad_out;
    float *dx = r->grad_in[0];
    int64_t n = tensor_count(&r->out);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] > 0 ? dy[i] : SLOPE * dy[i];
    return ST_OK;
}

static status tanh_forward(op_run *r) {
    const float *x = r->in[0].at;
    float *y = r->out.at;
    int64_t n = tensor_count(&r->out);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = tanhf(x[i]);
    return ST_OK;
}

static status tanh_backward(op_run *r) {
    const float *y = r->out.at, *dy = r->grad_out;
    float *dx = r->grad_in[0];
    int64_t n = tensor_count(&r->out);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
    return ST_OK;
}

static void multiply(const float *x, float factor, float *y, int64_t n) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = factor * x[i];
}

static status scale_forward(op_run *r) {
    multiply(r->in[0].at, (float)r->op->set.scale, r->out.at, tensor_count(&r->out));
    return ST_OK;
}

static status scale_backward(op_run *r) {
    multiply(r->grad_out, (float)r->op->set.scale, r->grad_in[0], tensor_count(&r->out));
    return ST_OK;
}

static const op_kind leaky_kind = {.name = "leaky relu",
                                   .backward_reads = BIT_OUT,
                                   .forward = leaky_forward,
                                   .backward = leaky_backward};

static const op_kind tanh_kind = {
    .name = "tanh", .backward_reads = BIT_OUT, .forward = tanh_forward, .backward = tanh_backward};

static const op_kind scale_kind = {
    .name = "scale", .forward = scale_forward, .backward = scale_backward};

static node append(graph *g, node x, const op_kind *kind, double scale) {
    const graph_op *from = graph_value(g, x, kind->name);
    if (!from) return NODE_NONE;
    graph_op op = {.kind = kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {from->shape[0], from->shape[1], from->shape[2]},
                   .set = {.scale = scale}};
    return graph_append(g, &op);
}

node graph_leaky_relu(graph *g, node x) { return append(g, x, &leaky_kind, 0); }

node graph_tanh(graph *g, node x) { return append(g, x, &tanh_kind, 0); }

node graph_scale(graph *g, node x, double factor) { return append(g, x, &scale_kind, factor); }
