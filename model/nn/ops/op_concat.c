/* Concatenation of two activations along channels: the skip connections of a U-Net. */
#include "model/nn/op.h"

#include <inttypes.h>
#include <string.h>

/* Bytes of one pixel of input k. */
static int64_t pixel_bytes(const op_run *r, int k) {
    return r->in[k].shape[3] * tensor_element_bytes(r->out.type);
}

static status concat_forward(op_run *r) {
    int64_t a = pixel_bytes(r, 0), b = pixel_bytes(r, 1),
            pixels = r->batch * r->out.shape[1] * r->out.shape[2];
    const char *from_a = r->in[0].at, *from_b = r->in[1].at;
    char *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < pixels; p++) {
        memcpy(y + p * (a + b), from_a + p * a, (size_t)a);
        memcpy(y + p * (a + b) + a, from_b + p * b, (size_t)b);
    }
    return ST_OK;
}

static status concat_backward(op_run *r) {
    int64_t a = pixel_bytes(r, 0), b = pixel_bytes(r, 1),
            pixels = r->batch * r->out.shape[1] * r->out.shape[2];
    const char *dy = r->grad_out;
    char *da = r->grad_in[0], *db = r->grad_in[1];
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < pixels; p++) {
        if (da) memcpy(da + p * a, dy + p * (a + b), (size_t)a);
        if (db) memcpy(db + p * b, dy + p * (a + b) + a, (size_t)b);
    }
    return ST_OK;
}

static const op_kind concat_kind = {.name = "concat",
                                    .may_be_bf16 = true,
                                    .only_copies = true,
                                    .same_type = BIT_IN0 | BIT_IN1,
                                    .forward = concat_forward,
                                    .backward = concat_backward};

node graph_concat(graph *g, node a, node b) {
    const graph_op *one = graph_value(g, a, "concat"), *two = graph_value(g, b, "concat");
    if (!one || !two) return NODE_NONE;
    if (one->shape[0] != two->shape[0] || one->shape[1] != two->shape[1])
        return graph_fault(
            g, "concat: %" PRId64 "x%" PRId64 " and %" PRId64 "x%" PRId64 " pixels differ",
            one->shape[0], one->shape[1], two->shape[0], two->shape[1]);
    graph_op op = {.kind = &concat_kind,
                   .in = {a, b},
                   .inputs = 2,
                   .shape = {one->shape[0], one->shape[1], one->shape[2] + two->shape[2]}};
    return graph_append(g, &op);
}
