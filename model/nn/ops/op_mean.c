/* Mean over pixels: one feature vector per sample. */
#include "model/nn/kernels/elementwise.h"
#include "model/nn/op.h"

#include <string.h>

static status mean_forward(op_run *r) {
    int64_t pixels = r->in[0].shape[1] * r->in[0].shape[2], c = r->in[0].shape[3];
    int64_t element = tensor_element_bytes(r->in[0].type);
    const char *x = r->in[0].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        memset(y + b * c, 0, (size_t)c * sizeof(float));
        for (int64_t p = 0; p < pixels; p++)
            elementwise_accumulate(r->in[0].type, x + (b * pixels + p) * c * element, y + b * c, c);
        for (int64_t k = 0; k < c; k++) y[b * c + k] /= (float)pixels;
    }
    return ST_OK;
}

static status mean_backward(op_run *r) {
    int64_t pixels = r->in[0].shape[1] * r->in[0].shape[2], c = r->in[0].shape[3];
    int64_t element = tensor_element_bytes(r->in[0].type);
    float *share = r->scratch;
    const float *dy = r->grad_out;
    char *dx = r->grad_in[0];
    for (int64_t i = 0; i < r->batch * c; i++) share[i] = dy[i] / (float)pixels;
#pragma omp parallel for schedule(static)
    for (int64_t q = 0; q < r->batch * pixels; q++)
        elementwise_store(r->in[0].type, share + q / pixels * c, dx + q * c * element, c);
    return ST_OK;
}

static status mean_open(op_run *r) {
    r->scratch_bytes = tensor_count(&r->out) * (int64_t)sizeof(float);
    return ST_OK;
}

static const op_kind mean_kind = {.name = "mean",
                                  .any_type = BIT_IN0,
                                  .open = mean_open,
                                  .forward = mean_forward,
                                  .backward = mean_backward};

node graph_mean(graph *g, node x) {
    const graph_op *from = graph_value(g, x, "mean");
    if (!from) return NODE_NONE;
    graph_op op = {.kind = &mean_kind, .in = {x}, .inputs = 1, .shape = {1, 1, from->shape[2]}};
    return graph_append(g, &op);
}
