/* Mean over the pixels of a sample that exist: sum of mask * x over the sum of mask; 0 where the
 * mask is 0 everywhere. */
#include "model/nn/op.h"

#include <string.h>

/* 1 / sum of the mask of sample b. */
static double share_of(const op_run *r, int64_t b) {
    const int64_t n = tensor_sample(&r->in[1]);
    const float *mask = (const float *)r->in[1].at + b * n;
    double sum = 0;
    for (int64_t p = 0; p < n; p++) sum += (double)mask[p];
    return sum > 0 ? 1 / sum : 0;
}

static status masked_mean_forward(op_run *r) {
    const int64_t n = tensor_sample(&r->in[1]), c = r->out.shape[3];
    const float *x = r->in[0].at, *mask = r->in[1].at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const double share = share_of(r, b);
        float *y = (float *)r->out.at + b * c;
        memset(y, 0, (size_t)c * sizeof *y);
        for (int64_t p = b * n; p < (b + 1) * n; p++) {
            const float factor = (float)(share * (double)mask[p]);
            for (int64_t k = 0; k < c; k++) y[k] += factor * x[p * c + k];
        }
    }
    return ST_OK;
}

static status masked_mean_backward(op_run *r) {
    const int64_t n = tensor_sample(&r->in[1]), c = r->out.shape[3];
    const float *mask = r->in[1].at, *dy = r->grad_out;
    float *dx = r->grad_in[0];
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const double share = share_of(r, b);
        for (int64_t p = b * n; p < (b + 1) * n; p++) {
            const float factor = (float)(share * (double)mask[p]);
            for (int64_t k = 0; k < c; k++) dx[p * c + k] = factor * dy[b * c + k];
        }
    }
    return ST_OK;
}

static const op_kind masked_mean_kind = {.name = "masked mean",
                                         .backward_reads = BIT_IN1,
                                         .forward = masked_mean_forward,
                                         .backward = masked_mean_backward};

node graph_masked_mean(graph *g, node x, node mask) {
    const char *name = masked_mean_kind.name;
    const graph_op *from = graph_value(g, x, name), *there = graph_value(g, mask, name);
    if (!from || !there) return NODE_NONE;
    if (there->shape[0] != from->shape[0] || there->shape[1] != from->shape[1] ||
        there->shape[2] != 1)
        return graph_fault(g, "%s: the mask must have one value for each pixel", name);
    graph_op op = {
        .kind = &masked_mean_kind, .in = {x, mask}, .inputs = 2, .shape = {1, 1, from->shape[2]}};
    return graph_append(g, &op);
}
