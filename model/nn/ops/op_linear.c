/* Linear layer on a vector per sample: y = x W^T + b, W [out, in]. */
#include "model/nn/op.h"

#include <string.h>

static status linear_forward(op_run *r) {
    int64_t in = r->in[0].shape[3], out = r->out.shape[3];
    float *y = r->out.at;
    for (int64_t b = 0; b < r->batch; b++)
        memcpy(y + b * out, r->param[1], (size_t)out * sizeof(float));
    return r->engine->matmul(false, true, r->batch, out, in, r->in[0].at, r->param[0], 1.0f, y);
}

static status linear_backward(op_run *r) {
    int64_t in = r->in[0].shape[3], out = r->out.shape[3];
    const float *dy = r->grad_out;
    for (int64_t b = 0; b < r->batch; b++)
        for (int64_t k = 0; k < out; k++) r->grad_param[1][k] += dy[b * out + k];
    status st =
        r->engine->matmul(true, false, out, in, r->batch, dy, r->in[0].at, 1.0f, r->grad_param[0]);
    if (st == ST_OK && r->grad_in[0])
        st = r->engine->matmul(false, false, r->batch, in, out, dy, r->param[0], 0.0f,
                               r->grad_in[0]);
    return st;
}

static int64_t linear_flops(const op_run *r) {
    return 2 * tensor_count(&r->out) * r->in[0].shape[3];
}

static const op_kind linear_kind = {.name = "linear",
                                    .backward_reads = BIT_IN0,
                                    .forward = linear_forward,
                                    .backward = linear_backward,
                                    .flops = linear_flops};

node graph_linear(graph *g, const char *name, node x, int64_t out, weight_init init) {
    const graph_op *from = graph_value(g, x, name);
    if (!from) return NODE_NONE;
    if (g->frozen) return graph_fault(g, "%s: only convolutions can be frozen", name);
    if (from->shape[0] != 1 || from->shape[1] != 1)
        return graph_fault(g, "%s: a linear layer takes a vector per sample", name);
    int64_t in = from->shape[2];
    graph_op op = {.kind = &linear_kind, .in = {x}, .inputs = 1, .shape = {1, 1, out}};
    graph_name(g, &op, name);
    param_init begin = init == INIT_ZERO ? PARAM_ZERO : PARAM_UNIFORM;
    graph_param(g, &op, "weight", 2, (int64_t[]){out, in}, begin, in, true);
    graph_param(g, &op, "bias", 1, (int64_t[]){out}, begin, in, false);
    return graph_append(g, &op);
}
