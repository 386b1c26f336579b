/* Multi-head attention of the pixels of one activation to the tokens of another (Vaswani et al.
 * 2017, eq. 1; between an image and a text as in Rombach et al. 2022, section 3.3). Tokens whose
 * mask is 0 are left out. With queries, keys and values of one sequence it is the self-attention of
 * a sequence with pads. */
#include "model/nn/op.h"

#include <inttypes.h>

static cross_shape shape_of(const op_run *r) {
    return (cross_shape){.batch = r->batch,
                         .queries = r->out.shape[1] * r->out.shape[2],
                         .keys = r->in[1].shape[1] * r->in[1].shape[2],
                         .channels = r->out.shape[3],
                         .heads = r->op->set.heads,
                         .type = r->out.type,
                         .kv_type = r->in[1].type};
}

/* saved: the logarithm of the softmax denominator of every query. */
static status cross_open(op_run *r) {
    cross_shape s = shape_of(r);
    r->saved_bytes = s.batch * s.heads * s.queries * (int64_t)sizeof(float);
    r->scratch_bytes = r->engine->cross_scratch(&s);
    return ST_OK;
}

static status cross_forward(op_run *r) {
    cross_shape s = shape_of(r);
    return r->engine->cross_forward(&s, r->in[0].at, r->in[1].at, r->in[2].at, r->out.at, r->saved,
                                    r->scratch);
}

static status cross_backward(op_run *r) {
    cross_shape s = shape_of(r);
    return r->engine->cross_backward(&s, r->in[0].at, r->in[1].at, r->in[2].at, r->out.at, r->saved,
                                     r->grad_out, r->grad_in[0], r->grad_in[1], r->scratch);
}

static int64_t cross_flops(const op_run *r) {
    cross_shape s = shape_of(r);
    return 4 * s.batch * s.queries * s.keys * s.channels;
}

static const op_kind cross_kind = {.name = "cross-attention",
                                   .backward_reads = BIT_IN0 | BIT_IN1 | BIT_IN2 | BIT_OUT,
                                   .may_be_bf16 = true,
                                   .same_type = BIT_IN0,
                                   .any_type = BIT_IN1,
                                   .open = cross_open,
                                   .forward = cross_forward,
                                   .backward = cross_backward,
                                   .flops = cross_flops};

node graph_cross_attention(graph *g, node q, node kv, node mask, int64_t heads) {
    const char *name = cross_kind.name;
    const graph_op *from = graph_value(g, q, name), *to = graph_value(g, kv, name);
    const graph_op *there = graph_value(g, mask, name);
    if (!from || !to || !there) return NODE_NONE;
    const int64_t c = from->shape[2], keys = to->shape[0] * to->shape[1];
    if (heads < 1 || c % heads != 0 || to->shape[2] != 2 * c)
        return graph_fault(g,
                           "%s: %" PRId64 " and %" PRId64
                           " channels do not hold queries, and keys and values of %" PRId64
                           " heads",
                           name, c, to->shape[2], heads);
    if (there->shape[0] * there->shape[1] * there->shape[2] != keys)
        return graph_fault(g, "%s: the mask must have one value for each of %" PRId64 " tokens",
                           name, keys);
    graph_op op = {.kind = &cross_kind,
                   .in = {q, kv, mask},
                   .inputs = 3,
                   .shape = {from->shape[0], from->shape[1], c},
                   .set = {.heads = heads}};
    return graph_append(g, &op);
}
