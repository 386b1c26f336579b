/* Convolution with bias: 3x3 with stride 1 or 2, or 1x1 with stride 1; padding kernel / 2. The
 * engine does the arithmetic, and packs the weights into its own layout when they have changed or
 * in each run. */
#include "model/nn/op.h"

#include <inttypes.h>

static status conv_open_op(op_run *r) {
    const graph_op *op = r->op;
    conv_shape shape = {.batch = r->batch,
                        .height = r->in[0].shape[1],
                        .width = r->in[0].shape[2],
                        .in = r->in[0].shape[3],
                        .out = op->shape[2],
                        .kernel = op->set.kernel,
                        .stride = op->set.stride,
                        .x = r->in[0].type,
                        .y = r->out.type};
    status st = r->engine->conv_open(&shape, r->training, (conv **)&r->state);
    if (st != ST_OK) return st;
    r->scratch_bytes = r->engine->conv_scratch(r->state);
    r->packed_bytes = r->engine->conv_packed(r->state);
    return ST_OK;
}

static void conv_close_op(op_run *r) { r->engine->conv_close(r->state); }

static status conv_pack_op(op_run *r) {
    return r->engine->conv_pack(r->state, r->param[0], r->packed, r->scratch);
}

static status conv_forward_op(op_run *r) {
    return r->engine->conv_forward(r->state, r->in[0].at, r->param[1], r->out.at, r->scratch);
}

static status conv_backward_op(op_run *r) {
    status st = ST_OK;
    if (r->grad_param[0])
        st = r->engine->conv_backward_weights(r->state, r->in[0].at, r->grad_out, r->grad_param[0],
                                              r->grad_param[1], r->scratch);
    if (st == ST_OK && r->grad_in[0])
        st = r->engine->conv_backward_data(r->state, r->grad_out, r->grad_in[0], r->scratch);
    return st;
}

static int64_t conv_flops(const op_run *r) {
    return 2 * tensor_count(&r->out) * r->in[0].shape[3] * r->op->set.kernel * r->op->set.kernel;
}

static const op_kind conv_kind = {.name = "conv",
                                  .backward_reads = BIT_IN0,
                                  .may_be_bf16 = true,
                                  .any_type = BIT_IN0,
                                  .open = conv_open_op,
                                  .close = conv_close_op,
                                  .pack = conv_pack_op,
                                  .forward = conv_forward_op,
                                  .backward = conv_backward_op,
                                  .flops = conv_flops};

/* Adds the vector u of a spectral convolution, which is always frozen. */
static void add_direction(graph *g, graph_op *op, int64_t out) {
    bool frozen = g->frozen;
    g->frozen = true;
    graph_param(g, op, "u", 1, (int64_t[]){out}, PARAM_DIRECTION, out, false);
    g->frozen = frozen;
}

static node add_conv(graph *g, const char *name, node x, int64_t out, int kernel, int stride,
                     weight_init init, bool spectral) {
    const graph_op *from = graph_value(g, x, name);
    if (!from) return NODE_NONE;
    /* 1x1 with stride 2 is refused: oneDNN 2.6 writes beyond its scratch there. */
    if ((kernel != 1 && kernel != 3) || stride < 1 || stride > (kernel + 1) / 2 || out < 1)
        return graph_fault(g, "%s: kernel %d, stride %d to %" PRId64 " channels is not supported",
                           name, kernel, stride, out);
    int64_t in = from->shape[2];
    graph_op op = {
        .kind = &conv_kind,
        .in = {x},
        .inputs = 1,
        .shape = {(from->shape[0] - 1) / stride + 1, (from->shape[1] - 1) / stride + 1, out},
        .set = {.kernel = kernel, .stride = stride}};
    graph_name(g, &op, name);
    int64_t fan_in = in * kernel * kernel;
    param_init begin = init == INIT_ZERO ? PARAM_ZERO : PARAM_UNIFORM;
    graph_param(g, &op, "weight", 4, (int64_t[]){out, in, kernel, kernel}, begin, fan_in, true);
    graph_param(g, &op, "bias", 1, (int64_t[]){out}, begin, fan_in, false);
    if (spectral) add_direction(g, &op, out);
    return graph_append(g, &op);
}

node graph_conv(graph *g, const char *name, node x, int64_t out, int kernel, int stride,
                weight_init init) {
    return add_conv(g, name, x, out, kernel, stride, init, false);
}

node graph_conv_spectral(graph *g, const char *name, node x, int64_t out, int kernel, int stride) {
    return add_conv(g, name, x, out, kernel, stride, INIT_UNIFORM, true);
}
