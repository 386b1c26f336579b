/* SiLU, x * sigmoid(x) (Elfwing et al. 2018), as an op of its own, for vectors: on
 * activations norm applies it. */
#include "model/nn/op.h"

static status silu_forward(op_run *r) {
    r->engine->silu_forward(r->in[0].at, r->out.at, tensor_count(&r->out));
    return ST_OK;
}

static status silu_backward(op_run *r) {
    r->engine->silu_backward(r->in[0].at, r->grad_out, r->grad_in[0], tensor_count(&r->out));
    return ST_OK;
}

static const op_kind silu_kind = {
    .name = "silu", .backward_reads = BIT_IN0, .forward = silu_forward, .backward = silu_backward};

node graph_silu(graph *g, node x) {
    const graph_op *from = graph_value(g, x, "silu");
    if (!from) return NODE_NONE;
    graph_op op = {.kind = &silu_kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {from->shape[0], from->shape[1], from->shape[2]}};
    return graph_append(g, &op);
}
