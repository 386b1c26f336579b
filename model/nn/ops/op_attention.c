/* Multi-head self-attention over the pixels of an activation (Vaswani et al. 2017, eq. 1). The
 * input holds queries, keys and values as 3c channels, the output of a 1x1 convolution. */
#include "model/nn/op.h"

#include <inttypes.h>

static attention_shape shape_of(const op_run *r) {
    return (attention_shape){.batch = r->batch,
                             .tokens = r->out.shape[1] * r->out.shape[2],
                             .channels = r->out.shape[3],
                             .heads = r->op->set.heads,
                             .type = r->out.type};
}

/* saved: the logarithm of the softmax denominator of every query. */
static status attention_open(op_run *r) {
    attention_shape s = shape_of(r);
    r->saved_bytes = s.batch * s.heads * s.tokens * (int64_t)sizeof(float);
    r->scratch_bytes = r->engine->attention_scratch(&s);
    return ST_OK;
}

static status attention_forward(op_run *r) {
    attention_shape s = shape_of(r);
    return r->engine->attention_forward(&s, r->in[0].at, r->out.at, r->saved, r->scratch);
}

static status attention_backward(op_run *r) {
    attention_shape s = shape_of(r);
    return r->engine->attention_backward(&s, r->in[0].at, r->out.at, r->saved, r->grad_out,
                                         r->grad_in[0], r->scratch);
}

static int64_t attention_flops(const op_run *r) {
    attention_shape s = shape_of(r);
    return 4 * s.batch * s.tokens * s.tokens * s.channels;
}

static const op_kind attention_kind = {.name = "attention",
                                       .backward_reads = BIT_IN0 | BIT_OUT,
                                       .may_be_bf16 = true,
                                       .same_type = BIT_IN0,
                                       .open = attention_open,
                                       .forward = attention_forward,
                                       .backward = attention_backward,
                                       .flops = attention_flops};

node graph_attention(graph *g, node qkv, int64_t heads) {
    const graph_op *from = graph_value(g, qkv, "attention");
    if (!from) return NODE_NONE;
    int64_t c = from->shape[2] / 3;
    if (from->shape[2] % 3 != 0 || heads < 1 || c % heads != 0)
        return graph_fault(g,
                           "attention: %" PRId64
                           " channels do not hold queries, keys and values of %" PRId64 " heads",
                           from->shape[2], heads);
    graph_op op = {.kind = &attention_kind,
                   .in = {qkv},
                   .inputs = 1,
                   .shape = {from->shape[0], from->shape[1], c},
                   .set = {.heads = heads}};
    return graph_append(g, &op);
}
