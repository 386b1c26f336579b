/* The heavy arithmetic behind one table of functions, three times over:
 *
 *   onednn     oneDNN convolutions and products, our own vectorised norm and attention; our own
 *              3x3 convolutions with stride 1 in f32 (Winograd), and in bf16 where that is quicker
 * so; else in bf16 those with stride 1 in tiles (AMX), and weight gradients openblas   im2col +
 * sgemm (OpenBLAS), the same norm and attention reference  plain loops, what the other two are
 * tested against
 *
 * Arrays are channels-last and dense. Maps (const void *, void *: activations and their gradients)
 * are f32 or bf16 as the shape says; everything else is f32. In bf16 products are of bf16 numbers
 * (by way of f32 where the processor does not multiply them itself, or no faster; Winograd's are of
 * unrounded sums of such numbers), sums and statistics in f32 or f64, and each number of a result
 * is rounded to bf16 once. Scratch and packed weights lie at multiples of 64 bytes; others may.
 * Functions are Local, use the OpenMP threads of the process, and give the same bits for the same
 * input and thread count.
 *
 * Nothing here allocates while it runs: a kernel says how many bytes of scratch it wants, and the
 * caller hands these in. What scratch holds before and after means nothing, so all may share it.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_H
#define CTAUG_MODEL_NN_KERNELS_H

#include "io/status.h"
#include "model/named_table.h"
#include "model/nn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* kernel 3 with stride 1 or 2, or kernel 1 with stride 1; padding kernel / 2 on every side;
 * output height = (height - 1) / stride + 1, likewise width. */
typedef struct conv_shape {
    int64_t batch, height, width, in, out;
    int kernel, stride;
    tensor_type x, y; /* of the two maps and their gradients; products are of bf16 numbers if either
                         is bf16 */
} conv_shape;

static inline bool conv_of_bf16(const conv_shape *s) {
    return s->x == TYPE_BF16 || s->y == TYPE_BF16;
}

typedef struct conv conv; /* primitives and packed weights of one convolution of one engine */

typedef struct norm_shape {
    int64_t batch, pixels, channels, groups; /* x is [batch, pixels, channels] */
    float epsilon;                           /* 1e-5 */
    bool silu;                               /* y = silu(...) */
    tensor_type type;                        /* of x, y and their gradients */
} norm_shape;

typedef struct attention_shape {
    int64_t batch, tokens, channels, heads; /* qkv is [batch, tokens, 3, heads, channels / heads] */
    tensor_type type;                       /* of qkv, y and their gradients */
} attention_shape;

typedef struct kernels {
    const char *name;
    bool bf16; /* gains from bf16 where the processor has it */

    /* Creates primitives once, at plan time. training: backward will be called. */
    status (*conv_open)(const conv_shape *shape, bool training, conv **out);
    void (*conv_close)(conv *c);
    int64_t (*conv_scratch)(const conv *c); /* bytes */
    int64_t (*conv_packed)(const conv *c);  /* bytes */
    /* Takes over weights [out, in, kernel, kernel] (PyTorch's order), whenever they have changed,
     * laid out for the products in `packed`. Both stay with the convolution, weights unchanged,
     * until it is called again: forward and backward may read them. */
    status (*conv_pack)(conv *c, const float *weight, void *packed, void *scratch);
    /* y [B,H',W',out] = x [B,H,W,in] * w + bias (may be NULL). */
    status (*conv_forward)(conv *c, const void *x, const float *bias, void *y, void *scratch);
    /* dx = what dy sends back through w (overwrites). */
    status (*conv_backward_data)(conv *c, const void *dy, void *dx, void *scratch);
    /* dw [out, in, k, k] and db [out] (may be NULL) are added to. */
    status (*conv_backward_weights)(conv *c, const void *x, const void *dy, float *dw, float *db,
                                    void *scratch);

    /* The yardstick of a benchmark: a 3x3 convolution opened for training as the engine's library
     * makes it, whatever the engine does itself; and its three products once, on whatever the
     * arrays hold: nothing is converted, laid out anew or added up around them. x and dy of the
     * shape, y and dx written. Both NULL: the functions above are that already. */
    status (*conv_open_library)(const conv_shape *shape, conv **out);
    status (*conv_products)(conv *c, const void *x, const void *dy, void *y, void *dx,
                            void *scratch);

    /* Row-major c [m,n] = op(a) op(b) + beta c; op transposes when asked: op(a) is [m,k]. */
    status (*matmul)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                     const float *a, const float *b, float beta, float *c);

    /* Group normalisation (Wu & He 2018), optionally modulated per sample and channel, optionally
     * followed by SiLU: u = (x - mean) * rstd * gain + bias; u = u * (1 + scale) + shift when
     * scale_shift [batch, 2 * channels] (scale first) is not NULL; y = silu ? u * sigmoid(u) : u.
     * mean, rstd [batch, groups] are kept for backward. */
    int64_t (*norm_scratch)(const norm_shape *s); /* bytes, of either direction */
    status (*norm_forward)(const norm_shape *s, const void *x, const float *gain, const float *bias,
                           const float *scale_shift, float *mean, float *rstd, void *y,
                           void *scratch);
    /* dx overwritten, or added to if add is set; dgain, dbias [channels] added to; dscale_shift
     * overwritten when not NULL. */
    status (*norm_backward)(const norm_shape *s, const void *x, const float *gain,
                            const float *bias, const float *scale_shift, const float *mean,
                            const float *rstd, const void *dy, bool add, void *dx, float *dgain,
                            float *dbias, float *dscale_shift, void *scratch);

    /* y [batch, tokens, channels] = softmax(q k^T / sqrt(d)) v per head (Vaswani et al. 2017, eq.
     * 1). logsum [batch, heads, tokens]: log of the softmax denominators, kept for backward. The
     * whole score matrix is never held by the fast engines. */
    int64_t (*attention_scratch)(const attention_shape *s); /* bytes, of either direction */
    status (*attention_forward)(const attention_shape *s, const void *qkv, void *y, float *logsum,
                                void *scratch);
    /* dqkv overwritten. */
    status (*attention_backward)(const attention_shape *s, const void *qkv, const void *y,
                                 const float *logsum, const void *dy, void *dqkv, void *scratch);

    /* y = x * sigmoid(x); dx = dy * dsilu(x)/dx (overwrites). */
    void (*silu_forward)(const float *x, float *y, int64_t n);
    void (*silu_backward)(const float *x, const float *dy, float *dx, int64_t n);
} kernels;

typedef enum engine_kind { ENGINE_ONEDNN, ENGINE_OPENBLAS, ENGINE_REFERENCE } engine_kind;

extern const named_table engine_kinds;

/* Static. Local. */
const kernels *kernels_of(engine_kind engine);

/* Whether this processor can multiply bf16 numbers itself. Local. */
bool kernels_bf16_native(void);

/* The library that runs under an engine: "oneDNN 2.6.3", "OpenBLAS 0.3.21 ..."; "" for the
 * reference. Valid on this thread until it ends. Local. */
const char *kernels_library_version(engine_kind engine);

#endif
