/* The heavy arithmetic behind one table of functions, three times over:
 *
 *   onednn     oneDNN convolutions and products, our own vectorised norm and attention
 *   openblas   im2col + sgemm (OpenBLAS), the same norm and attention
 *   reference  plain loops, what the other two are tested against
 *
 * All arrays are f32, channels-last and dense unless said otherwise; all pointers 64-byte aligned
 * is welcome but not required. Functions are Local, use the OpenMP threads of the process, and give
 * the same bits for the same input and thread count.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_H
#define CTAUG_MODEL_NN_KERNELS_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

/* kernel 1 or 3, stride 1 or 2, padding kernel / 2 on every side;
 * output height = (height - 1) / stride + 1, likewise width. */
typedef struct conv_shape {
    int64_t batch, height, width, in, out;
    int kernel, stride;
} conv_shape;

typedef struct conv conv; /* primitives, packed weights, scratch of one convolution of one engine */

typedef struct norm_shape {
    int64_t batch, pixels, channels, groups; /* x is [batch, pixels, channels] */
    float epsilon;                           /* 1e-5 */
    bool silu;                               /* y = silu(...) */
} norm_shape;

typedef struct attention_shape {
    int64_t batch, tokens, channels, heads; /* qkv is [batch, tokens, 3, heads, channels / heads] */
} attention_shape;

typedef struct kernels {
    const char *name;

    /* Creates primitives once, at plan time. training: backward will be called. */
    status (*conv_open)(const conv_shape *shape, bool training, conv **out);
    void (*conv_close)(conv *c);
    /* Takes over weights [out, in, kernel, kernel] (PyTorch's order), whenever they have changed.
     */
    status (*conv_pack)(conv *c, const float *weight);
    /* y [B,H',W',out] = x [B,H,W,in] * w + bias (may be NULL). */
    status (*conv_forward)(conv *c, const float *x, const float *bias, float *y);
    /* dx = what dy sends back through w (overwrites). */
    status (*conv_backward_data)(conv *c, const float *dy, float *dx);
    /* dw [out, in, k, k] and db [out] (may be NULL) are added to. */
    status (*conv_backward_weights)(conv *c, const float *x, const float *dy, float *dw, float *db);

    /* Row-major c [m,n] = op(a) op(b) + beta c; op transposes when asked: op(a) is [m,k]. */
    status (*matmul)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                     const float *a, const float *b, float beta, float *c);

    /* Group normalisation (Wu & He 2018), optionally modulated per sample and channel, optionally
     * followed by SiLU: u = (x - mean) * rstd * gain + bias; u = u * (1 + scale) + shift when
     * scale_shift [batch, 2 * channels] (scale first) is not NULL; y = silu ? u * sigmoid(u) : u.
     * mean, rstd [batch, groups] are kept for backward. */
    status (*norm_forward)(const norm_shape *s, const float *x, const float *gain,
                           const float *bias, const float *scale_shift, float *mean, float *rstd,
                           float *y);
    /* dx overwritten; dgain, dbias [channels] added to; dscale_shift overwritten when not NULL. */
    status (*norm_backward)(const norm_shape *s, const float *x, const float *gain,
                            const float *bias, const float *scale_shift, const float *mean,
                            const float *rstd, const float *dy, float *dx, float *dgain,
                            float *dbias, float *dscale_shift);

    /* y [batch, tokens, channels] = softmax(q k^T / sqrt(d)) v per head (Vaswani et al. 2017, eq.
     * 1). logsum [batch, heads, tokens]: log of the softmax denominators, kept for backward. The
     * whole score matrix is never held by the fast engines. */
    status (*attention_forward)(const attention_shape *s, const float *qkv, float *y,
                                float *logsum);
    /* dqkv overwritten. */
    status (*attention_backward)(const attention_shape *s, const float *qkv, const float *y,
                                 const float *logsum, const float *dy, float *dqkv);

    /* y = x * sigmoid(x); dx = dy * dsilu(x)/dx (overwrites). */
    void (*silu_forward)(const float *x, float *y, int64_t n);
    void (*silu_backward)(const float *x, const float *dy, float *dx, int64_t n);
} kernels;

/* "onednn", "openblas", "reference"; ST_USAGE naming them otherwise. *out is static. Local. */
status kernels_find(const char *name, const kernels **out);

/* The library that runs under an engine: "oneDNN 2.6.3", "OpenBLAS 0.3.21 ..."; "" for the
 * reference and unknown names. Valid on this thread until it ends. Local. */
const char *kernels_library_version(const char *name);

#endif
