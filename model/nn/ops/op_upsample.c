/* Nearest-neighbour upsampling to twice the height and width. */
#include "model/nn/kernels/elementwise.h"
#include "model/nn/op.h"

#include <string.h>

static status upsample_forward(op_run *r) {
    int64_t h = r->in[0].shape[1], w = r->in[0].shape[2];
    int64_t pixel = r->in[0].shape[3] * tensor_element_bytes(r->out.type);
    const char *x = r->in[0].at;
    char *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->batch * h; row++) {
        char *upper = y + row * 4 * w * pixel;
        for (int64_t i = 0; i < w; i++) {
            memcpy(upper + 2 * i * pixel, x + (row * w + i) * pixel, (size_t)pixel);
            memcpy(upper + (2 * i + 1) * pixel, x + (row * w + i) * pixel, (size_t)pixel);
        }
        memcpy(upper + 2 * w * pixel, upper, (size_t)(2 * w * pixel));
    }
    return ST_OK;
}

/* The gradient of a pixel is the sum over its four copies. */
static status upsample_backward(op_run *r) {
    int64_t h = r->in[0].shape[1], w = r->in[0].shape[2], c = r->in[0].shape[3];
    int64_t pixel = c * tensor_element_bytes(r->out.type);
    const char *dy = r->grad_out;
    char *dx = r->grad_in[0];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->batch * h; row++)
        for (int64_t i = 0; i < w; i++) {
            const char *upper = dy + row * 4 * w * pixel + 2 * i * pixel;
            const char *lower = upper + 2 * w * pixel;
            elementwise_add_four(r->out.type,
                                 (const void *[]){upper, upper + pixel, lower, lower + pixel},
                                 dx + (row * w + i) * pixel, c);
        }
    return ST_OK;
}

static const op_kind upsample_kind = {.name = "upsample",
                                      .may_be_bf16 = true,
                                      .only_copies = true,
                                      .same_type = BIT_IN0,
                                      .forward = upsample_forward,
                                      .backward = upsample_backward};

node graph_upsample(graph *g, node x) {
    const graph_op *from = graph_value(g, x, "upsample");
    if (!from) return NODE_NONE;
    graph_op op = {.kind = &upsample_kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {2 * from->shape[0], 2 * from->shape[1], from->shape[2]}};
    return graph_append(g, &op);
}
