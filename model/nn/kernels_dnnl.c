/* The oneDNN engine: its convolutions (conv_dnnl.c), products by dnnl_sgemm, our own norm and
 * attention. */
#include "model/nn/conv_fast.h"
#include "model/nn/kernels_fast.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>

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
    .conv_open = dnnl_conv_open,
    .conv_close = dnnl_conv_close,
    .conv_scratch = dnnl_conv_scratch,
    .conv_packed = dnnl_conv_packed,
    .conv_pack = dnnl_conv_pack,
    .conv_forward = dnnl_conv_forward,
    .conv_backward_data = dnnl_conv_backward_data,
    .conv_backward_weights = dnnl_conv_backward_weights,
    .conv_products = dnnl_conv_products,
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
