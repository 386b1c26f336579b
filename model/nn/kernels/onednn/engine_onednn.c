/* The oneDNN engine: convolutions by ways of our own where one takes them (conv_ways.h), else by
 * the library (conv_dnnl.c); products by dnnl_sgemm, our own norm and attention. */
#include "model/nn/kernels/onednn/onednn_conv.h"
#include "model/nn/kernels/conv_algorithms.h"
#include "model/nn/int_math.h"
#include "io/alloc.h"
#include "model/nn/kernels/attention.h"
#include "model/nn/kernels/engines.h"
#include "model/nn/kernels/norm.h"
#include "model/nn/kernels/variants.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>

enum { ANEW_BYTES = 1 << 18, ANEW_PIXELS = 1024 };

struct conv {
    conv_shape shape;
    bool training;
    onednn_conv *library;                      /* NULL: nothing is left to it */
    const conv_algorithm *way;                 /* NULL: the library's */
    const weight_gradient_algorithm *gradient; /* likewise */
    bool anew;           /* with a way of our own: packs weights for each run, in scratch */
    const float *weight; /* of the caller, likewise */
    void *packed;        /* likewise; nothing if anew */
};

static void one_conv_close(conv *c) {
    onednn_conv_close(c->library);
    free(c);
}

/* In training, where weights change with every step anyway, if packed they would take much more
 * memory than they do as they are, and there are so many pixels that packing takes little beside
 * the products: of a step of R64 with a batch of 16 that goes forward once nothing is lost, each
 * time more costs 12 ms of 1,560 (two cores of an Emerald Rapids), and a rank has 0.1 GB more for
 * other things. */
static bool packs_anew(const conv_shape *s, const conv_algorithm *way) {
    const int64_t weights = s->out * s->in * s->kernel * s->kernel * (int64_t)sizeof(float);
    return way->packed(s) - weights >= ANEW_BYTES && s->batch * s->height * s->width >= ANEW_PIXELS;
}

/* way, gradient: NULL for the library's. */
static status open_conv(const conv_shape *shape, bool training, const conv_algorithm *way,
                        const weight_gradient_algorithm *gradient, conv **out) {
    status st;
    conv *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    *c = (conv){.shape = *shape,
                .training = training,
                .way = way,
                .gradient = training ? gradient : NULL,
                .anew = training && way && packs_anew(shape, way)};
    if (!way || (training && !gradient))
        TRY(onednn_conv_open(shape, training, training && !gradient, &c->library));
    *out = c;
    c = NULL;
done:
    free(c);
    return st;
}

/* Winograd multiplies in f32. (Rounding what it multiplies to bf16 costs learning: winograd.c.) */
static bool winograd_suits(const conv_shape *s) {
    return !(conv_of_bf16(s) && cpu_prefers_bf16()) && conv_winograd.supports(s);
}

/* NULL: no algorithm of our own takes it. */
static const conv_algorithm *bf16_conv(const conv_shape *s) {
    const kernel_variant *row = NULL;
    while ((row = kernel_variant_next(KERNEL_BF16_CONV, row))) {
        const conv_algorithm *a = row->kernels;
        if (a->supports(s)) return a;
    }
    return NULL;
}

static const weight_gradient_algorithm *bf16_weight_gradient(const conv_shape *s) {
    const kernel_variant *row = NULL;
    while ((row = kernel_variant_next(KERNEL_BF16_WEIGHT_GRADIENT, row))) {
        const weight_gradient_algorithm *a = row->kernels;
        if (a->supports(s)) return a;
    }
    return NULL;
}

static status one_conv_open(const conv_shape *shape, bool training, conv **out) {
    if (winograd_suits(shape))
        return open_conv(shape, training, &conv_winograd, &weight_gradient_winograd, out);
    return open_conv(shape, training, bf16_conv(shape), bf16_weight_gradient(shape), out);
}

static status one_conv_open_library(const conv_shape *shape, conv **out) {
    return open_conv(shape, true, NULL, NULL, out);
}

static int64_t way_scratch(const conv *c) {
    const int64_t alone = c->way->scratch(&c->shape, c->training);
    if (!c->anew) return alone;
    return max_i64(alone,
                   whole_lines(c->way->packed(&c->shape)) + c->way->scratch(&c->shape, false));
}

static int64_t one_conv_scratch(const conv *c) {
    int64_t library = c->library ? onednn_conv_scratch(c->library) : 0;
    int64_t way = c->way ? way_scratch(c) : 0;
    int64_t gradient = c->gradient ? c->gradient->scratch(&c->shape) : 0;
    return max_i64(library, max_i64(way, gradient));
}

static int64_t one_conv_packed(const conv *c) {
    if (!c->way) return onednn_conv_packed(c->library);
    return c->anew ? 0 : c->way->packed(&c->shape);
}

static status one_conv_pack(conv *c, const float *weight, void *packed, void *scratch) {
    if (!c->way) return onednn_conv_pack(c->library, weight, packed, scratch);
    c->weight = weight, c->packed = packed;
    if (!c->anew) c->way->pack(&c->shape, weight, packed);
    return ST_OK;
}

static status one_conv_forward(conv *c, const void *x, const float *bias, void *y, void *scratch) {
    if (!c->way) return onednn_conv_forward(c->library, x, bias, y, scratch);
    const void *packed = c->packed;
    if (c->anew) {
        c->way->pack(&c->shape, c->weight, scratch);
        packed = scratch;
        scratch = (char *)scratch + whole_lines(c->way->packed(&c->shape));
    }
    c->way->forward(&c->shape, packed, x, bias, y, scratch);
    return ST_OK;
}

static status one_conv_backward_data(conv *c, const void *dy, void *dx, void *scratch) {
    if (!c->way) return onednn_conv_backward_data(c->library, dy, dx, scratch);
    c->way->backward_data(&c->shape, c->weight, dy, dx, scratch);
    return ST_OK;
}

static status one_conv_backward_weights(conv *c, const void *x, const void *dy, float *dw,
                                        float *db, void *scratch) {
    if (!c->gradient) return onednn_conv_backward_weights(c->library, x, dy, dw, db, scratch);
    c->gradient->add(&c->shape, x, dy, dw, db, scratch);
    return ST_OK;
}

static status one_conv_products(conv *c, const void *x, const void *dy, void *y, void *dx,
                                void *scratch) {
    return onednn_conv_products(c->library, x, dy, y, dx, scratch);
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
    .bf16 = true,
    .conv_open = one_conv_open,
    .conv_close = one_conv_close,
    .conv_scratch = one_conv_scratch,
    .conv_packed = one_conv_packed,
    .conv_pack = one_conv_pack,
    .conv_forward = one_conv_forward,
    .conv_backward_data = one_conv_backward_data,
    .conv_backward_weights = one_conv_backward_weights,
    .conv_open_library = one_conv_open_library,
    .conv_products = one_conv_products,
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
