/* Dropout (Srivastava et al. 2014), inverted: in training a value is kept with probability 1 - p
 * and scaled by 1 / (1 - p); elsewhere it passes. A mask follows from the sample's global index,
 * the step and the op, never from the place in the batch or the rank. */
#include "model/nn/op.h"

#include "model/rng.h"

/* The mask, as factors. */
static status dropout_open(op_run *r) {
    r->saved_floats = tensor_count(&r->out);
    return ST_OK;
}

static status dropout_forward(op_run *r) {
    if (!r->keys)
        return status_fail(ST_INTERNAL, "a network with dropout was trained without keys");
    int64_t n = tensor_sample(&r->out);
    float p = (float)r->op->set.probability, kept = 1.0f / (1.0f - p);
    const float *x = r->in[0].at;
    float *y = r->out.at, *mask = r->saved;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        /* 2^12 ops a network at most: graphs have a few hundred. */
        uint64_t index = r->keys->sample[b] * 4096 + (uint64_t)r->index;
        rng_stream s = rng_open(r->keys->seed, RNG_DROPOUT, index, (uint32_t)r->keys->step);
        rng_fill_uniform(&s, mask + b * n, n);
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            mask[i] = mask[i] < p ? 0.0f : kept;
            y[i] = x[i] * mask[i];
        }
    }
    return ST_OK;
}

static status dropout_backward(op_run *r) {
    int64_t n = tensor_count(&r->out);
    const float *dy = r->grad_out, *mask = r->saved;
    float *dx = r->grad_in[0];
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * mask[i];
    return ST_OK;
}

static bool dropout_is_identity(const graph_op *op, bool training) {
    return !training || op->set.probability == 0;
}

static const op_kind dropout_kind = {.name = "dropout",
                                     .open = dropout_open,
                                     .forward = dropout_forward,
                                     .backward = dropout_backward,
                                     .is_identity = dropout_is_identity};

node graph_dropout(graph *g, node x, double p) {
    const graph_op *from = graph_value(g, x, "dropout");
    if (!from) return NODE_NONE;
    if (!(p >= 0 && p < 1)) return graph_fault(g, "dropout: probability %g is not in [0, 1)", p);
    graph_op op = {.kind = &dropout_kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {from->shape[0], from->shape[1], from->shape[2]},
                   .set = {.probability = p}};
    return graph_append(g, &op);
}
