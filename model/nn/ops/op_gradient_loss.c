/* A loss whose gradient the caller computes, for losses over several samples or ranks: the sum of x
 * * gradient over a sample, so that backward sends `gradient` on. */
#include "model/nn/op.h"

#include <string.h>

static status gradient_loss_forward(op_run *r) {
    const int64_t n = tensor_sample(&r->in[0]);
    const float *x = r->in[0].at, *gradient = r->in[1].at;
    float *y = r->out.at;
    for (int64_t b = 0; b < r->batch; b++) {
        double sum = 0;
        for (int64_t i = b * n; i < (b + 1) * n; i++) sum += (double)x[i] * (double)gradient[i];
        y[b] = (float)sum;
    }
    return ST_OK;
}

static status gradient_loss_backward(op_run *r) {
    const int64_t n = tensor_sample(&r->in[0]);
    const float *gradient = r->in[1].at;
    float *dx = r->grad_in[0];
    for (int64_t i = 0; i < r->batch * n; i++)
        dx[i] = ((const float *)r->grad_out)[i / n] * gradient[i];
    return ST_OK;
}

static const op_kind gradient_loss_kind = {.name = "gradient loss",
                                           .backward_reads = BIT_IN1,
                                           .forward = gradient_loss_forward,
                                           .backward = gradient_loss_backward};

node graph_gradient_loss(graph *g, node x, node gradient) {
    const char *name = gradient_loss_kind.name;
    const graph_op *from = graph_value(g, x, name), *by = graph_value(g, gradient, name);
    if (!from || !by) return NODE_NONE;
    if (memcmp(from->shape, by->shape, sizeof from->shape) != 0)
        return graph_fault(g, "%s: the value and its gradient differ in shape", name);
    graph_op op = {
        .kind = &gradient_loss_kind, .in = {x, gradient}, .inputs = 2, .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
