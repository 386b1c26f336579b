/* Residual addition of two activations of the same shape. */
#include "model/nn/kernels/elementwise.h"
#include "model/nn/op.h"

#include <inttypes.h>
#include <string.h>

static status add_forward(op_run *r) {
    elementwise_add(r->out.type, r->in[0].at, r->in[1].at, r->out.at, tensor_count(&r->out));
    return ST_OK;
}

static const op_kind add_kind = {.name = "add",
                                 .may_be_bf16 = true,
                                 .same_type = BIT_IN0 | BIT_IN1,
                                 .passes_gradient = BIT_IN0 | BIT_IN1,
                                 .forward = add_forward};

node graph_add(graph *g, node a, node b) {
    const graph_op *one = graph_value(g, a, "add"), *two = graph_value(g, b, "add");
    if (!one || !two) return NODE_NONE;
    if (memcmp(one->shape, two->shape, sizeof one->shape) != 0)
        return graph_fault(g,
                           "add: %" PRId64 "x%" PRId64 "x%" PRId64 " and %" PRId64 "x%" PRId64
                           "x%" PRId64 " differ",
                           one->shape[0], one->shape[1], one->shape[2], two->shape[0],
                           two->shape[1], two->shape[2]);
    graph_op op = {.kind = &add_kind,
                   .in = {a, b},
                   .inputs = 2,
                   .shape = {one->shape[0], one->shape[1], one->shape[2]}};
    return graph_append(g, &op);
}
