/* Sinusoidal embedding of one number per sample (Vaswani et al. 2017, section 3.5), cosines first
 * as in the code of Dhariwal & Nichol 2021. The input gets no gradient. */
#include "model/nn/op.h"

#include <inttypes.h>
#include <math.h>

static status sinusoid_forward(op_run *r) {
    int64_t half = r->out.shape[3] / 2;
    const float *x = r->in[0].at;
    float *y = r->out.at;
    for (int64_t b = 0; b < r->batch; b++)
        for (int64_t i = 0; i < half; i++) {
            double angle =
                (double)x[b] * r->op->set.scale * exp(-log(10000.0) * (double)i / (double)half);
            y[b * 2 * half + i] = (float)cos(angle);
            y[b * 2 * half + half + i] = (float)sin(angle);
        }
    return ST_OK;
}

static const op_kind sinusoid_kind = {.name = "sinusoid", .forward = sinusoid_forward};

node graph_sinusoid(graph *g, node x, int64_t dim, double scale) {
    const graph_op *from = graph_value(g, x, "sinusoid");
    if (!from) return NODE_NONE;
    if (from->shape[0] * from->shape[1] * from->shape[2] != 1 || dim < 2 || dim % 2 != 0)
        return graph_fault(
            g, "sinusoid: needs one number per sample and an even number of channels, not %" PRId64,
            dim);
    graph_op op = {.kind = &sinusoid_kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {1, 1, dim},
                   .set = {.scale = scale}};
    return graph_append(g, &op);
}
