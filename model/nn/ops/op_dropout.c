/* Inverted dropout (Srivastava et al. 2014): in training a value is kept with probability 1 - p and
 * scaled by 1 / (1 - p); otherwise the op is the identity. A mask depends on the seed, the sample's
 * global index, the step and the op, never on the position in the batch or on the rank. */
#include "model/nn/int_math.h"
#include "model/nn/kernels/elementwise.h"
#include "model/nn/op.h"

#include "model/rng.h"

enum { CHUNK = 1024 };

/* saved: one byte per value, whether it is kept. */
static status dropout_open(op_run *r) {
    r->saved_bytes = tensor_count(&r->out);
    return ST_OK;
}

/* Draws keep [n] for one sample. Drawing in chunks gives the same numbers as one long draw. */
static void draw(rng_stream *s, float p, uint8_t *keep, int64_t n) {
    float u[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = min_i64(CHUNK, n - i);
        rng_fill_uniform(s, u, count);
        for (int64_t k = 0; k < count; k++) keep[i + k] = u[k] >= p;
    }
}

static float factor_of(const op_run *r) { return 1.0f / (1.0f - (float)r->op->set.probability); }

static status dropout_forward(op_run *r) {
    if (!r->keys)
        return status_fail(ST_INTERNAL, "a network with dropout was trained without keys");
    int64_t n = tensor_sample(&r->out), bytes = n * tensor_element_bytes(r->out.type);
    const char *x = r->in[0].at;
    char *y = r->out.at;
    uint8_t *keep = r->saved;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        /* At most 4096 ops per network; graphs have a few hundred. */
        uint64_t index = r->keys->sample[b] * 4096 + (uint64_t)r->index;
        rng_stream s = rng_open(r->keys->seed, RNG_DROPOUT, index, (uint32_t)r->keys->step);
        draw(&s, (float)r->op->set.probability, keep + b * n, n);
        elementwise_mask(r->out.type, x + b * bytes, keep + b * n, factor_of(r), y + b * bytes, n);
    }
    return ST_OK;
}

static status dropout_backward(op_run *r) {
    int64_t n = tensor_sample(&r->out), bytes = n * tensor_element_bytes(r->out.type);
    const char *dy = r->grad_out;
    char *dx = r->grad_in[0];
    const uint8_t *keep = r->saved;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++)
        elementwise_mask(r->out.type, dy + b * bytes, keep + b * n, factor_of(r), dx + b * bytes,
                         n);
    return ST_OK;
}

static bool dropout_is_identity(const graph_op *op, bool training) {
    return !training || op->set.probability == 0;
}

static const op_kind dropout_kind = {.name = "dropout",
                                     .may_be_bf16 = true,
                                     .same_type = BIT_IN0,
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
