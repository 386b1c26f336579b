/* A loss that the caller computes, over several samples or ranks: its value and its gradient by x
 * are inputs, and backward sends the gradient on. */
#include "model/nn/op.h"

#include <string.h>

/* The third input: weight and value of a sample. */
enum { WEIGHT, VALUE, NUMBERS };

static status gradient_loss_forward(op_run *r) {
    const float *numbers = r->in[2].at;
    float *y = r->out.at;
    for (int64_t b = 0; b < r->batch; b++)
        y[b] = numbers[b * NUMBERS + WEIGHT] * numbers[b * NUMBERS + VALUE];
    return ST_OK;
}

static status gradient_loss_backward(op_run *r) {
    const int64_t n = tensor_sample(&r->in[0]);
    const float *gradient = r->in[1].at, *numbers = r->in[2].at, *out = r->grad_out;
    float *dx = r->grad_in[0];
    for (int64_t i = 0; i < r->batch * n; i++)
        dx[i] = out[i / n] * numbers[i / n * NUMBERS + WEIGHT] * gradient[i];
    return ST_OK;
}

static const op_kind gradient_loss_kind = {.name = "gradient loss",
                                           .backward_reads = BIT_IN1 | BIT_IN2,
                                           .forward = gradient_loss_forward,
                                           .backward = gradient_loss_backward};

node graph_gradient_loss(graph *g, node x, node gradient, node value, node weight) {
    const char *name = gradient_loss_kind.name;
    const graph_op *from = graph_value(g, x, name), *by = graph_value(g, gradient, name);
    const graph_op *v = graph_value(g, value, name), *w = graph_value(g, weight, name);
    const int64_t one[3] = {1, 1, 1};
    if (!from || !by || !v || !w) return NODE_NONE;
    if (memcmp(from->shape, by->shape, sizeof from->shape) != 0)
        return graph_fault(g, "%s: the value and its gradient differ in shape", name);
    if (memcmp(w->shape, one, sizeof one) != 0 || memcmp(v->shape, one, sizeof one) != 0)
        return graph_fault(g, "%s: one value and one weight per sample are needed", name);
    graph_op op = {.kind = &gradient_loss_kind,
                   .in = {x, gradient, graph_concat(g, weight, value)},
                   .inputs = 3,
                   .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
