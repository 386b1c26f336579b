/* The oneDNN engine: convolutions as primitives created once, products by dnnl_sgemm.
 *
 * Activations stay channels-last (nhwc) for oneDNN too. Measured with version 2.6 on two cores with
 * AVX-512, on 64x64 to 8x8 maps of 32 to 256 channels: nhwc is 1.0 to 1.4 times as fast forward as
 * oneDNN's own blocked layout and within a fifth of it backward, either way; and it takes any
 * number of channels, where the blocked one falls to oneDNN's reference loops below 16. Weights
 * have the layout each primitive asks for, by a reorder when they change. With stride 1 the data
 * gradient is itself a convolution, of dy with the kernel turned by 180 degrees and channels
 * exchanged, and is given to the forward primitive, which runs these shapes 1.1 to 1.3 times as
 * fast forward as the backward one does by data (the turned primitive itself was not timed apart).
 */
#include "model/nn/kernels_fast.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_ARGS = 5, ALIGNMENT = 64 };

/* A primitive with the memory objects it runs on. */
typedef struct pass {
    dnnl_primitive_t primitive;
    dnnl_memory_t scratch;
    dnnl_exec_arg_t args[MOST_ARGS];
    int count;
} pass;

/* Weights in the layout of one pass, and the reorder between it and a plain one. */
typedef struct weights {
    dnnl_memory_t packed;
    float *values;
    pass reorder;
} weights;

struct conv {
    conv_shape shape;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_memory_t x, y;        /* of the caller: [B,H,W,in], [B,H',W',out] */
    dnnl_memory_t plain;       /* of the caller: [out,in,k,k] */
    dnnl_memory_t turned;      /* plain for the data gradient; of turned_values with stride 1 */
    dnnl_memory_t bias, dbias; /* bias of the caller or no_bias; dbias of dbias_values */
    float *turned_values, *no_bias, *dbias_values;
    pass forward, backward_data, backward_weights;
    weights forward_weights, data_weights, weights_gradient;
    void *scratch; /* shared by all passes */
    size_t scratch_bytes;
};

static status check(const conv_shape *s, const char *what, dnnl_status_t got) {
    if (got == dnnl_success) return ST_OK;
    return status_fail(ST_INTERNAL,
                       "oneDNN: %s (%s) for the %dx%d convolution with stride %d of %" PRId64
                       " maps %" PRId64 "x%" PRId64 ", %" PRId64 " to %" PRId64 " channels",
                       what, dnnl_status2str(got), s->kernel, s->kernel, s->stride, s->batch,
                       s->height, s->width, s->in, s->out);
}

static status aligned(void *out, size_t bytes, const char *what) {
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, bytes > 0 ? bytes : ALIGNMENT);
    if (memory) memset(memory, 0, bytes);
    memcpy(out, &memory, sizeof memory);
    return memory ? ST_OK : status_memory(what, (int64_t)bytes);
}

static void pass_close(pass *p) {
    dnnl_memory_destroy(p->scratch);
    dnnl_primitive_destroy(p->primitive);
}

static void weights_close(weights *w) {
    dnnl_memory_destroy(w->packed);
    pass_close(&w->reorder);
    free(w->values);
}

static void one_conv_close(conv *c) {
    if (!c) return;
    pass_close(&c->forward);
    pass_close(&c->backward_data);
    pass_close(&c->backward_weights);
    weights_close(&c->forward_weights);
    weights_close(&c->data_weights);
    weights_close(&c->weights_gradient);
    dnnl_memory_t memories[] = {c->x, c->y, c->plain, c->turned, c->bias, c->dbias};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        dnnl_memory_destroy(memories[i]);
    dnnl_stream_destroy(c->stream);
    dnnl_engine_destroy(c->engine);
    free(c->turned_values);
    free(c->no_bias);
    free(c->dbias_values);
    free(c->scratch);
    free(c);
}

static void pass_arg(pass *p, int role, dnnl_memory_t memory) {
    p->args[p->count++] = (dnnl_exec_arg_t){role, memory};
}

/* The primitive of a description; its scratch is attached by pass_scratch() when all sizes are
 * known. */
static status pass_open(conv *c, pass *p, const_dnnl_primitive_desc_t description,
                        const char *what) {
    status st;
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    size_t bytes = dnnl_memory_desc_get_size(scratch);
    if (bytes > c->scratch_bytes) c->scratch_bytes = bytes;
    TRY(check(&c->shape, what, dnnl_primitive_create(&p->primitive, description)));
    TRY(check(&c->shape, what,
              dnnl_memory_create(&p->scratch, scratch, c->engine, DNNL_MEMORY_NONE)));
    pass_arg(p, DNNL_ARG_SCRATCHPAD, p->scratch);
done:
    return st;
}

static status pass_scratch(conv *c, pass *p) {
    if (!p->scratch) return ST_OK;
    return check(&c->shape, "scratch", dnnl_memory_set_data_handle(p->scratch, c->scratch));
}

static status pass_run(conv *c, pass *p, const char *what) {
    status st;
    TRY(check(&c->shape, what, dnnl_primitive_execute(p->primitive, c->stream, p->count, p->args)));
    TRY(check(&c->shape, what, dnnl_stream_wait(c->stream)));
done:
    return st;
}

/* Puts the caller's array behind a memory object; oneDNN has no const. */
static status attach(conv *c, dnnl_memory_t memory, const float *values) {
    return check(&c->shape, "attach", dnnl_memory_set_data_handle(memory, (void *)values));
}

/* Memory for weights in `layout`, and the reorder from `plain` (or, to_plain, into it by addition).
 */
static status weights_open(conv *c, weights *w, const dnnl_memory_desc_t *layout,
                           dnnl_memory_t plain, bool to_plain, dnnl_primitive_attr_t attributes) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    const dnnl_memory_desc_t *other;
    TRY(aligned(&w->values, dnnl_memory_desc_get_size(layout), "packed weights"));
    TRY(check(&c->shape, "weights", dnnl_memory_create(&w->packed, layout, c->engine, w->values)));
    TRY(check(&c->shape, "weights", dnnl_memory_get_memory_desc(plain, &other)));
    TRY(check(&c->shape, "weights reorder",
              dnnl_reorder_primitive_desc_create(&description, to_plain ? layout : other, c->engine,
                                                 to_plain ? other : layout, c->engine,
                                                 attributes)));
    TRY(pass_open(c, &w->reorder, description, "weights reorder"));
    pass_arg(&w->reorder, DNNL_ARG_FROM, to_plain ? w->packed : plain);
    pass_arg(&w->reorder, DNNL_ARG_TO, to_plain ? plain : w->packed);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* Everything oneDNN wants to know: memory descriptions and paddings. */
typedef struct geometry {
    dnnl_memory_desc_t x, y, weight, bias; /* weight in any layout */
    dnnl_dims_t stride, before, after;
} geometry;

static status geometry_of(const conv_shape *s, geometry *g) {
    status st;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    int64_t pad = s->kernel / 2;
    dnnl_dims_t x = {s->batch, s->in, s->height, s->width}, y = {s->batch, s->out, yh, yw};
    dnnl_dims_t weight = {s->out, s->in, s->kernel, s->kernel}, bias = {s->out};
    TRY(check(s, "x", dnnl_memory_desc_init_by_tag(&g->x, 4, x, dnnl_f32, dnnl_nhwc)));
    TRY(check(s, "y", dnnl_memory_desc_init_by_tag(&g->y, 4, y, dnnl_f32, dnnl_nhwc)));
    TRY(check(s, "weights",
              dnnl_memory_desc_init_by_tag(&g->weight, 4, weight, dnnl_f32, dnnl_format_tag_any)));
    TRY(check(s, "bias", dnnl_memory_desc_init_by_tag(&g->bias, 1, bias, dnnl_f32, dnnl_x)));
    g->stride[0] = g->stride[1] = s->stride;
    g->before[0] = g->before[1] = pad;
    g->after[0] = (yh - 1) * s->stride + s->kernel - s->height - pad;
    g->after[1] = (yw - 1) * s->stride + s->kernel - s->width - pad;
done:
    return st;
}

/* Describes the forward convolution of g, with a bias unless it is NULL. */
static status describe_forward(conv *c, const geometry *g, const dnnl_memory_desc_t *bias,
                               bool training, dnnl_primitive_attr_t attributes,
                               dnnl_primitive_desc_t *out) {
    status st;
    dnnl_convolution_desc_t d;
    dnnl_prop_kind_t kind = training ? dnnl_forward_training : dnnl_forward_inference;
    TRY(check(&c->shape, "forward description",
              dnnl_convolution_forward_desc_init(&d, kind, dnnl_convolution_direct, &g->x,
                                                 &g->weight, bias, &g->y, g->stride, g->before,
                                                 g->after)));
    TRY(check(&c->shape, "forward description",
              dnnl_primitive_desc_create(out, &d, attributes, c->engine, NULL)));
done:
    return st;
}

static status open_forward(conv *c, const_dnnl_primitive_desc_t description,
                           dnnl_primitive_attr_t attributes) {
    status st;
    TRY(pass_open(c, &c->forward, description, "forward"));
    TRY(weights_open(c, &c->forward_weights,
                     dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), c->plain,
                     false, attributes));
    pass_arg(&c->forward, DNNL_ARG_SRC, c->x);
    pass_arg(&c->forward, DNNL_ARG_WEIGHTS, c->forward_weights.packed);
    pass_arg(&c->forward, DNNL_ARG_BIAS, c->bias);
    pass_arg(&c->forward, DNNL_ARG_DST, c->y);
done:
    return st;
}

/* The data gradient with stride 1: dx = dy * turned weights. */
static status open_data_turned(conv *c, const geometry *g, dnnl_primitive_attr_t attributes) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_primitive_desc_t description = NULL;
    dnnl_memory_desc_t plain;
    dnnl_dims_t turned = {s->in, s->out, s->kernel, s->kernel};
    geometry back = *g;
    pass *p = &c->backward_data;
    back.x = g->y, back.y = g->x;
    TRY(check(
        s, "weights",
        dnnl_memory_desc_init_by_tag(&back.weight, 4, turned, dnnl_f32, dnnl_format_tag_any)));
    TRY(check(s, "weights", dnnl_memory_desc_init_by_tag(&plain, 4, turned, dnnl_f32, dnnl_oihw)));
    TRY(aligned(&c->turned_values, dnnl_memory_desc_get_size(&plain), "turned weights"));
    TRY(check(s, "weights", dnnl_memory_create(&c->turned, &plain, c->engine, c->turned_values)));
    TRY(describe_forward(c, &back, NULL, true, attributes, &description));
    TRY(pass_open(c, p, description, "backward data"));
    TRY(weights_open(c, &c->data_weights,
                     dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), c->turned,
                     false, attributes));
    pass_arg(p, DNNL_ARG_SRC, c->y);
    pass_arg(p, DNNL_ARG_WEIGHTS, c->data_weights.packed);
    pass_arg(p, DNNL_ARG_DST, c->x);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

static status open_data_strided(conv *c, const geometry *g, const_dnnl_primitive_desc_t forward,
                                dnnl_primitive_attr_t attributes) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    pass *p = &c->backward_data;
    TRY(check(&c->shape, "backward data description",
              dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &g->x,
                                                       &g->weight, &g->y, g->stride, g->before,
                                                       g->after)));
    TRY(check(&c->shape, "backward data description",
              dnnl_primitive_desc_create(&description, &d, attributes, c->engine, forward)));
    TRY(pass_open(c, p, description, "backward data"));
    TRY(weights_open(c, &c->data_weights,
                     dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), c->plain,
                     false, attributes));
    pass_arg(p, DNNL_ARG_DIFF_DST, c->y);
    pass_arg(p, DNNL_ARG_WEIGHTS, c->data_weights.packed);
    pass_arg(p, DNNL_ARG_DIFF_SRC, c->x);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

static status open_weights_gradient(conv *c, const geometry *g, const_dnnl_primitive_desc_t forward,
                                    dnnl_primitive_attr_t attributes) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    dnnl_post_ops_t add = NULL;
    dnnl_primitive_attr_t adding = NULL;
    pass *p = &c->backward_weights;
    TRY(check(&c->shape, "backward weights description",
              dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &g->x,
                                                          &g->weight, &g->bias, &g->y, g->stride,
                                                          g->before, g->after)));
    TRY(check(&c->shape, "backward weights description",
              dnnl_primitive_desc_create(&description, &d, attributes, c->engine, forward)));
    TRY(pass_open(c, p, description, "backward weights"));
    TRY(check(&c->shape, "addition", dnnl_primitive_attr_clone(&adding, attributes)));
    TRY(check(&c->shape, "addition", dnnl_post_ops_create(&add)));
    TRY(check(&c->shape, "addition", dnnl_post_ops_append_sum(add, 1)));
    TRY(check(&c->shape, "addition", dnnl_primitive_attr_set_post_ops(adding, add)));
    TRY(weights_open(c, &c->weights_gradient,
                     dnnl_primitive_desc_query_md(description, dnnl_query_diff_weights_md, 0),
                     c->plain, true, adding));
    TRY(aligned(&c->dbias_values, (size_t)c->shape.out * sizeof(float), "bias gradient"));
    TRY(check(&c->shape, "bias",
              dnnl_memory_create(&c->dbias, &g->bias, c->engine, c->dbias_values)));
    pass_arg(p, DNNL_ARG_SRC, c->x);
    pass_arg(p, DNNL_ARG_DIFF_DST, c->y);
    pass_arg(p, DNNL_ARG_DIFF_WEIGHTS, c->weights_gradient.packed);
    pass_arg(p, DNNL_ARG_DIFF_BIAS, c->dbias);
done:
    dnnl_primitive_attr_destroy(adding);
    dnnl_post_ops_destroy(add);
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* Engine, stream and the memory objects that stand for the caller's arrays. */
static status open_memories(conv *c, const geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_dims_t dims = {s->out, s->in, s->kernel, s->kernel};
    dnnl_memory_desc_t plain;
    TRY(check(s, "engine", dnnl_engine_create(&c->engine, dnnl_cpu, 0)));
    TRY(check(s, "stream", dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags)));
    TRY(check(s, "weights", dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw)));
    TRY(check(s, "x", dnnl_memory_create(&c->x, &g->x, c->engine, DNNL_MEMORY_NONE)));
    TRY(check(s, "y", dnnl_memory_create(&c->y, &g->y, c->engine, DNNL_MEMORY_NONE)));
    TRY(check(s, "weights", dnnl_memory_create(&c->plain, &plain, c->engine, DNNL_MEMORY_NONE)));
    TRY(check(s, "bias", dnnl_memory_create(&c->bias, &g->bias, c->engine, DNNL_MEMORY_NONE)));
    TRY(aligned(&c->no_bias, (size_t)s->out * sizeof(float), "bias"));
done:
    return st;
}

static status one_conv_open(const conv_shape *shape, bool training, conv **out) {
    status st;
    geometry g;
    dnnl_primitive_desc_t forward = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    conv *c = NULL;
    *out = NULL;
    TRY(aligned(&c, sizeof *c, "a convolution"));
    c->shape = *shape;
    TRY(geometry_of(shape, &g));
    TRY(open_memories(c, &g));
    TRY(check(shape, "attributes", dnnl_primitive_attr_create(&attributes)));
    TRY(check(shape, "attributes",
              dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user)));
    TRY(describe_forward(c, &g, &g.bias, training, attributes, &forward));
    TRY(open_forward(c, forward, attributes));
    if (training) {
        if (shape->stride == 1)
            TRY(open_data_turned(c, &g, attributes));
        else
            TRY(open_data_strided(c, &g, forward, attributes));
        TRY(open_weights_gradient(c, &g, forward, attributes));
    }
    TRY(aligned(&c->scratch, c->scratch_bytes, "convolution scratch"));
    pass *passes[] = {&c->forward,
                      &c->backward_data,
                      &c->backward_weights,
                      &c->forward_weights.reorder,
                      &c->data_weights.reorder,
                      &c->weights_gradient.reorder};
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) TRY(pass_scratch(c, passes[i]));
    *out = c;
    c = NULL;
done:
    dnnl_primitive_desc_destroy(forward);
    dnnl_primitive_attr_destroy(attributes);
    one_conv_close(c);
    return st;
}

/* turned [in,out,k,k] from weight [out,in,k,k]: channels exchanged, kernel turned by 180 degrees.
 */
static void turn(const conv_shape *s, const float *weight, float *turned) {
    int64_t taps = s->kernel * s->kernel;
#pragma omp parallel for schedule(static) if (s->in * s->out > 4096)
    for (int64_t i = 0; i < s->in; i++)
        for (int64_t o = 0; o < s->out; o++)
            for (int64_t t = 0; t < taps; t++)
                turned[(i * s->out + o) * taps + t] = weight[(o * s->in + i) * taps + taps - 1 - t];
}

static int64_t one_conv_scratch(const conv *c) {
    (void)c;
    return 0;
}

static status one_conv_pack(conv *c, const float *weight, void *scratch) {
    (void)scratch;
    status st;
    TRY(attach(c, c->plain, weight));
    TRY(pass_run(c, &c->forward_weights.reorder, "weights reorder"));
    if (!c->backward_data.primitive) goto done;
    if (c->turned) turn(&c->shape, weight, c->turned_values);
    TRY(pass_run(c, &c->data_weights.reorder, "weights reorder"));
done:
    return st;
}

static status one_conv_forward(conv *c, const void *px, const float *bias, void *py,
                               void *scratch) {
    const float *x = px;
    float *y = py;
    (void)scratch;
    status st;
    TRY(attach(c, c->x, x));
    TRY(attach(c, c->bias, bias ? bias : c->no_bias));
    TRY(attach(c, c->y, y));
    TRY(pass_run(c, &c->forward, "forward"));
done:
    return st;
}

static status one_conv_backward_data(conv *c, const void *pdy, void *pdx, void *scratch) {
    const float *dy = pdy;
    float *dx = pdx;
    (void)scratch;
    status st;
    TRY(attach(c, c->y, dy));
    TRY(attach(c, c->x, dx));
    TRY(pass_run(c, &c->backward_data, "backward data"));
done:
    return st;
}

static status one_conv_backward_weights(conv *c, const void *px, const void *pdy, float *dw,
                                        float *db, void *scratch) {
    const float *x = px, *dy = pdy;
    (void)scratch;
    status st;
    TRY(attach(c, c->x, x));
    TRY(attach(c, c->y, dy));
    TRY(pass_run(c, &c->backward_weights, "backward weights"));
    TRY(attach(c, c->plain, dw));
    TRY(pass_run(c, &c->weights_gradient.reorder, "weights gradient reorder"));
    for (int64_t o = 0; db && o < c->shape.out; o++) db[o] += c->dbias_values[o];
done:
    return st;
}

static status multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                       float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                       float beta, float *c, int64_t ldc) {
    dnnl_status_t got = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha,
                                   a, lda, b, ldb, beta, c, ldc);
    if (got == dnnl_success) return ST_OK;
    return status_fail(ST_INTERNAL,
                       "oneDNN: product of %" PRId64 "x%" PRId64 " and %" PRId64 "x%" PRId64
                       " matrices (%s)",
                       m, k, k, n, dnnl_status2str(got));
}

/* dnnl_sgemm is 1.5 to 4 times as fast as cblas_sgemm on most shapes of the networks here, the more
 * the smaller they are, and does not depend on what OpenBLAS takes the processor for. */
static status one_matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                         const float *a, const float *b, float beta, float *c) {
    return multiply(transpose_a, transpose_b, m, n, k, 1, a, transpose_a ? m : k, b,
                    transpose_b ? k : n, beta, c, n);
}

static status one_attention_forward(const attention_shape *s, const void *qkv, void *y,
                                    float *logsum, void *scratch) {
    return attention_fast_forward(multiply, s, qkv, y, logsum, scratch);
}

static status one_attention_backward(const attention_shape *s, const void *qkv, const void *y,
                                     const float *logsum, const void *dy, void *dqkv,
                                     void *scratch) {
    return attention_fast_backward(multiply, s, qkv, y, logsum, dy, dqkv, scratch);
}

const char *kernels_onednn_version(void) {
    static _Thread_local char text[64];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

const kernels kernels_onednn = {
    .name = "onednn",
    .conv_open = one_conv_open,
    .conv_close = one_conv_close,
    .conv_scratch = one_conv_scratch,
    .conv_pack = one_conv_pack,
    .conv_forward = one_conv_forward,
    .conv_backward_data = one_conv_backward_data,
    .conv_backward_weights = one_conv_backward_weights,
    .matmul = one_matmul,
    .norm_scratch = norm_fast_scratch,
    .norm_forward = norm_fast_forward,
    .norm_backward = norm_fast_backward,
    .attention_scratch = attention_fast_scratch,
    .attention_forward = one_attention_forward,
    .attention_backward = one_attention_backward,
    .silu_forward = silu_fast_forward,
    .silu_backward = silu_fast_backward,
};
