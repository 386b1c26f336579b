/* Residual addition of two maps of one shape. */
#include "model/nn/op.h"

#include <string.h>

static status add_forward(op_run *r) {
    const float *a = r->in[0].at, *b = r->in[1].at;
    float *y = r->out.at;
    int64_t n = tensor_count(&r->out);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
    return ST_OK;
}

static status add_backward(op_run *r) {
    int64_t n = tensor_count(&r->out);
    for (int k = 0; k < 2; k++) {
        float *dx = r->grad_in[k];
        const float *dy = r->grad_out;
        if (!dx) continue;
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i];
    }
    return ST_OK;
}

static const op_kind add_kind = {.name = "add", .forward = add_forward, .backward = add_backward};

node graph_add(graph *g, node a, node b) {
    const graph_op *one = graph_value(g, a, "add"), *two = graph_value(g, b, "add");
    if (!one || !two) return NODE_NONE;
    if (memcmp(one->shape, two->shape, sizeof one->shape) != 0)
        return graph_fault(g, "add: %dx%dx%d and %dx%dx%d differ", (int)one->shape[0],
                           (int)one->shape[1], (int)one->shape[2], (int)two->shape[0],
                           (int)two->shape[1], (int)two->shape[2]);
    graph_op op = {.kind = &add_kind,
                   .in = {a, b},
                   .inputs = 2,
                   .shape = {one->shape[0], one->shape[1], one->shape[2]}};
    return graph_append(g, &op);
}
