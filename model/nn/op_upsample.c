/* Nearest-neighbour upsampling to twice the height and width. */
#include "model/nn/op.h"

#include <string.h>

static status upsample_forward(op_run *r) {
    int64_t h = r->in[0].shape[1], w = r->in[0].shape[2], c = r->in[0].shape[3];
    const float *x = r->in[0].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->batch * h; row++) {
        float *upper = y + row * 4 * w * c;
        for (int64_t i = 0; i < w; i++) {
            memcpy(upper + 2 * i * c, x + (row * w + i) * c, (size_t)c * sizeof(float));
            memcpy(upper + (2 * i + 1) * c, x + (row * w + i) * c, (size_t)c * sizeof(float));
        }
        memcpy(upper + 2 * w * c, upper, (size_t)(2 * w * c) * sizeof(float));
    }
    return ST_OK;
}

/* Each pixel collects the gradients of its four copies. */
static status upsample_backward(op_run *r) {
    int64_t h = r->in[0].shape[1], w = r->in[0].shape[2], c = r->in[0].shape[3];
    const float *dy = r->grad_out;
    float *dx = r->grad_in[0];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->batch * h; row++)
        for (int64_t i = 0; i < w; i++) {
            const float *upper = dy + row * 4 * w * c + 2 * i * c, *lower = upper + 2 * w * c;
            float *to = dx + (row * w + i) * c;
            for (int64_t k = 0; k < c; k++)
                to[k] = upper[k] + upper[c + k] + lower[k] + lower[c + k];
        }
    return ST_OK;
}

static const op_kind upsample_kind = {
    .name = "upsample", .forward = upsample_forward, .backward = upsample_backward};

node graph_upsample(graph *g, node x) {
    const graph_op *from = graph_value(g, x, "upsample");
    if (!from) return NODE_NONE;
    graph_op op = {.kind = &upsample_kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {2 * from->shape[0], 2 * from->shape[1], from->shape[2]}};
    return graph_append(g, &op);
}
