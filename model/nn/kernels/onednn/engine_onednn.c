/* The oneDNN engine: convolutions by algorithms of our own where one supports them and is faster
 * (conv_algorithms.h, variants.c), else by the library (onednn_conv.c). Matrix products by
 * dnnl_sgemm; norm and attention are our own. */
#include "model/nn/kernels/onednn/onednn_conv.h"

#include "io/alloc.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/attention.h"
#include "model/nn/kernels/conv_algorithms.h"
#include "model/nn/kernels/engines.h"
#include "model/nn/kernels/norm.h"
#include "model/nn/kernels/variants.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>

/* See repacks_each_run(). */
enum { REPACK_BYTES_MIN = 1 << 18, REPACK_PIXELS_MIN = 1024 };

struct conv {
    conv_shape shape;
    bool training;
    onednn_conv *library;                      /* NULL: not used */
    const conv_algorithm *algorithm;           /* forward and data gradient; NULL: by the library */
    const weight_gradient_algorithm *gradient; /* weight gradient; NULL: by the library */
    /* The rest is used with an algorithm of our own. */
    bool repack_each_run; /* packs weights to scratch in every forward run */
    const float *weight;  /* of the caller */
    void *packed;         /* of the caller; unused if repack_each_run */
};

static void onednn_engine_conv_close(conv *c) {
    onednn_conv_close(c->library);
    free(c);
}

/* Whether training packs the weights in every forward run instead of keeping packed weights.
 * Weights change with every step anyway. It saves memory where packed weights take much more of it
 * than plain ones, and costs little time where there are many pixels. */
static bool repacks_each_run(const conv_shape *s, const conv_algorithm *algorithm) {
    const int64_t weights = s->out * s->in * s->kernel * s->kernel * (int64_t)sizeof(float);
    return algorithm->packed(s) - weights >= REPACK_BYTES_MIN &&
           s->batch * s->height * s->width >= REPACK_PIXELS_MIN;
}

/* algorithm, gradient: NULL for the library's. */
static status open_conv(const conv_shape *shape, bool training, const conv_algorithm *algorithm,
                        const weight_gradient_algorithm *gradient, conv **out) {
    status st;
    conv *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    *c = (conv){.shape = *shape,
                .training = training,
                .algorithm = algorithm,
                .gradient = training ? gradient : NULL,
                .repack_each_run = training && algorithm && repacks_each_run(shape, algorithm)};
    if (!algorithm || (training && !gradient))
        TRY(onednn_conv_open(shape, training, training && !gradient, &c->library));
    *out = c;
    c = NULL;
done:
    free(c);
    return st;
}

/* The Winograd algorithm multiplies in f32, also values of bf16 activations: rounding its
 * transformed values to bf16 costs accuracy (winograd.c). */
static bool winograd_suits(const conv_shape *s) {
    return !(conv_of_bf16(s) && cpu_prefers_bf16()) && conv_winograd.supports(s);
}

/* NULL: no algorithm of our own supports the shape. */
static const conv_algorithm *bf16_conv(const conv_shape *s) {
    const kernel_variant *row = NULL;
    while ((row = kernel_variant_next(KERNEL_BF16_CONV, row))) {
        const conv_algorithm *a = row->kernels;
        if (a->supports(s)) return a;
    }
    return NULL;
}

/* Likewise. */
static const weight_gradient_algorithm *bf16_weight_gradient(const conv_shape *s) {
    const kernel_variant *row = NULL;
    while ((row = kernel_variant_next(KERNEL_BF16_WEIGHT_GRADIENT, row))) {
        const weight_gradient_algorithm *a = row->kernels;
        if (a->supports(s)) return a;
    }
    return NULL;
}

static status onednn_engine_conv_open(const conv_shape *shape, bool training, conv **out) {
    if (winograd_suits(shape))
        return open_conv(shape, training, &conv_winograd, &weight_gradient_winograd, out);
    return open_conv(shape, training, bf16_conv(shape), bf16_weight_gradient(shape), out);
}

static status onednn_engine_conv_open_library(const conv_shape *shape, conv **out) {
    return open_conv(shape, true, NULL, NULL, out);
}

static int64_t algorithm_scratch(const conv *c) {
    const int64_t alone = c->algorithm->scratch(&c->shape, c->training);
    if (!c->repack_each_run) return alone;
    return max_i64(alone, round_up_to_cache_line(c->algorithm->packed(&c->shape)) +
                              c->algorithm->scratch(&c->shape, false));
}

static int64_t onednn_engine_conv_scratch(const conv *c) {
    int64_t library = c->library ? onednn_conv_scratch(c->library) : 0;
    int64_t own = c->algorithm ? algorithm_scratch(c) : 0;
    int64_t gradient = c->gradient ? c->gradient->scratch(&c->shape) : 0;
    return max_i64(library, max_i64(own, gradient));
}

static int64_t onednn_engine_conv_packed(const conv *c) {
    if (!c->algorithm) return onednn_conv_packed(c->library);
    return c->repack_each_run ? 0 : c->algorithm->packed(&c->shape);
}

static status onednn_engine_conv_pack(conv *c, const float *weight, void *packed, void *scratch) {
    if (!c->algorithm) return onednn_conv_pack(c->library, weight, packed, scratch);
    c->weight = weight, c->packed = packed;
    if (!c->repack_each_run) c->algorithm->pack(&c->shape, weight, packed);
    return ST_OK;
}

static status onednn_engine_conv_forward(conv *c, const void *x, const float *bias, void *y,
                                         void *scratch) {
    if (!c->algorithm) return onednn_conv_forward(c->library, x, bias, y, scratch);
    const void *packed = c->packed;
    if (c->repack_each_run) {
        c->algorithm->pack(&c->shape, c->weight, scratch);
        packed = scratch;
        scratch = (char *)scratch + round_up_to_cache_line(c->algorithm->packed(&c->shape));
    }
    c->algorithm->forward(&c->shape, packed, x, bias, y, scratch);
    return ST_OK;
}

static status onednn_engine_conv_backward_data(conv *c, const void *dy, void *dx, void *scratch) {
    if (!c->algorithm) return onednn_conv_backward_data(c->library, dy, dx, scratch);
    c->algorithm->backward_data(&c->shape, c->weight, dy, dx, scratch);
    return ST_OK;
}

static status onednn_engine_conv_backward_weights(conv *c, const void *x, const void *dy, float *dw,
                                                  float *db, void *scratch) {
    if (!c->gradient) return onednn_conv_backward_weights(c->library, x, dy, dw, db, scratch);
    c->gradient->add(&c->shape, x, dy, dw, db, scratch);
    return ST_OK;
}

static status onednn_engine_conv_products(conv *c, const void *x, const void *dy, void *y, void *dx,
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

/* By dnnl_sgemm, which is faster than cblas_sgemm on most shapes of the networks here and does not
 * depend on the processor detection of OpenBLAS. */
static status onednn_matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                            const float *a, const float *b, float beta, float *c) {
    return multiply(transpose_a, transpose_b, m, n, k, 1, a, transpose_a ? m : k, b,
                    transpose_b ? k : n, beta, c, n);
}

static status onednn_attention_forward(const attention_shape *s, const void *qkv, void *y,
                                       float *logsum, void *scratch) {
    return attention_fast_forward(multiply, s, qkv, y, logsum, scratch);
}

static status onednn_attention_backward(const attention_shape *s, const void *qkv, const void *y,
                                        const float *logsum, const void *dy, void *dqkv,
                                        void *scratch) {
    return attention_fast_backward(multiply, s, qkv, y, logsum, dy, dqkv, scratch);
}

static status onednn_cross_forward(const cross_shape *s, const void *q, const void *kv,
                                   const float *mask, void *y, float *logsum, void *scratch) {
    return cross_fast_forward(multiply, s, q, kv, mask, y, logsum, scratch);
}

static status onednn_cross_backward(const cross_shape *s, const void *q, const void *kv,
                                    const float *mask, const void *y, const float *logsum,
                                    const void *dy, void *dq, void *dkv, void *scratch) {
    return cross_fast_backward(multiply, s, q, kv, mask, y, logsum, dy, dq, dkv, scratch);
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
    .conv_open = onednn_engine_conv_open,
    .conv_close = onednn_engine_conv_close,
    .conv_scratch = onednn_engine_conv_scratch,
    .conv_packed = onednn_engine_conv_packed,
    .conv_pack = onednn_engine_conv_pack,
    .conv_forward = onednn_engine_conv_forward,
    .conv_backward_data = onednn_engine_conv_backward_data,
    .conv_backward_weights = onednn_engine_conv_backward_weights,
    .conv_open_library = onednn_engine_conv_open_library,
    .conv_products = onednn_engine_conv_products,
    .matmul = onednn_matmul,
    .norm_scratch = norm_fast_scratch,
    .norm_forward = norm_fast_forward,
    .norm_backward = norm_fast_backward,
    .attention_scratch = attention_fast_scratch,
    .attention_forward = onednn_attention_forward,
    .attention_backward = onednn_attention_backward,
    .cross_scratch = cross_fast_scratch,
    .cross_forward = onednn_cross_forward,
    .cross_backward = onednn_cross_backward,
    .silu_forward = silu_fast_forward,
    .silu_backward = silu_fast_backward,
};
