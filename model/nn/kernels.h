/* The kernels, which do the heavy arithmetic of the ops: one table of functions (struct kernels),
 * implemented by three engines.
 *
 *   onednn     Matrix products by oneDNN; norm, attention and SiLU by our own vectorised code.
 *              Convolutions by algorithms of our own where one supports the shape and is faster on
 *              this processor, else by oneDNN. Our own are: 3x3 with stride 1 by the Winograd
 *              algorithm in f32; in bf16 3x3 or 1x1 with stride 1 with AMX tiles; weight gradients
 *              in bf16 with AMX or AVX-512.
 *   openblas   Convolutions as im2col + sgemm (OpenBLAS), f32 only; the same norm, attention and
 *              SiLU.
 *   reference  Plain loops with f64 sums, against which the other two are tested.
 *
 * Shapes. Arrays are dense. Activations are channels-last: [batch, height, width, channels].
 *
 * Types. Parameters "const void *" and "void *" of activations and their gradients are f32 or bf16
 * as the shape says; all other arrays are f32.
 *
 * Rounding. A convolution with a bf16 activation multiplies bf16 numbers: f32 inputs and weights
 * are rounded to bf16 first. The products are exact in f32, so that processors without fast bf16
 * instructions multiply the rounded numbers in f32. The Winograd algorithm multiplies unrounded
 * sums of bf16 numbers in f32. Sums and statistics are f32 or f64. Every element of a bf16 result
 * is rounded to bf16 once.
 *
 * Scratch. Kernels of the fast engines do not allocate while they run: each states how many bytes
 * of scratch it needs, and the caller passes them. Scratch holds nothing between calls, so all
 * kernels that run one after another may share it. Scratch and packed weights are 64-byte aligned;
 * other arrays need not be.
 *
 * Determinism. The same inputs and thread count give the same bits. Functions use the OpenMP
 * threads of the process. All are Local.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_H
#define CTAUG_MODEL_NN_KERNELS_H

#include "io/status.h"
#include "model/named_table.h"
#include "model/nn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* A convolution: kernel 3 with stride 1 or 2, or kernel 1 with stride 1; padding kernel / 2 on
 * every side; output height = (height - 1) / stride + 1, likewise width. */
typedef struct conv_shape {
    int64_t batch, height, width, in, out;
    int kernel, stride;
    tensor_type x, y; /* of input and output and their gradients; products are of bf16 numbers if
                         either is bf16 */
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
    bool given;                              /* forward reads mean and rstd, which are given */
} norm_shape;

typedef struct attention_shape {
    int64_t batch, tokens, channels, heads; /* qkv is [batch, tokens, 3, heads, channels / heads] */
    tensor_type type;                       /* of qkv, y and their gradients */
} attention_shape;

/* Queries of one sequence attend to keys of another: q is [batch, queries, heads, d], kv [batch,
 * keys, 2, heads, d] (keys, then values), mask [batch, keys] f32; a key with mask 0 does not exist.
 * d = channels / heads. */
typedef struct cross_shape {
    int64_t batch, queries, keys, channels, heads;
    tensor_type type;    /* of q, y and their gradients */
    tensor_type kv_type; /* of kv and its gradient */
} cross_shape;

typedef struct kernels {
    const char *name;
    bool bf16; /* supports bf16 at a gain where the processor has it */

    /* Creates primitives when a plan is created. training: backward will be called. */
    status (*conv_open)(const conv_shape *shape, bool training, conv **out);
    void (*conv_close)(conv *c);
    int64_t (*conv_scratch)(const conv *c); /* bytes */
    int64_t (*conv_packed)(const conv *c);  /* bytes */
    /* Sets the weights [out, in, kernel, kernel] (PyTorch's order) and writes them to `packed` in
     * the layout of the products. Called whenever weights have changed. forward and backward read
     * both arrays, which must stay unchanged until the next call. */
    status (*conv_pack)(conv *c, const float *weight, void *packed, void *scratch);
    /* y [B,H',W',out] = x [B,H,W,in] * w + bias (may be NULL). */
    status (*conv_forward)(conv *c, const void *x, const float *bias, void *y, void *scratch);
    /* dx = the gradient with respect to x, from dy and w (overwrites). */
    status (*conv_backward_data)(conv *c, const void *dy, void *dx, void *scratch);
    /* dw [out, in, k, k] and db [out] (may be NULL) are added to. */
    status (*conv_backward_weights)(conv *c, const void *x, const void *dy, float *dw, float *db,
                                    void *scratch);

    /* The baseline of a benchmark. conv_open_library opens a 3x3 convolution for training by the
     * engine's library even where the engine has an algorithm of its own. conv_products runs its
     * three products once, without the conversions, reorders and additions around them; it writes
     * y and dx, whose values are meaningless. Both are NULL where the functions above already are
     * the library's. */
    status (*conv_open_library)(const conv_shape *shape, conv **out);
    status (*conv_products)(conv *c, const void *x, const void *dy, void *y, void *dx,
                            void *scratch);

    /* Row-major c [m,n] = op(a) op(b) + beta c; op transposes if the flag is set: op(a) is [m,k].
     * With beta 0, c is overwritten whatever it held. */
    status (*matmul)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                     const float *a, const float *b, float beta, float *c);

    /* Group normalisation (Wu & He 2018), optionally modulated per sample and channel, optionally
     * followed by SiLU: u = (x - mean) * rstd * gain + bias; u = u * (1 + scale) + shift when
     * scale_shift [batch, 2 * channels] (scale first) is not NULL; y = silu ? u * sigmoid(u) : u.
     * Returns mean and rstd [batch, groups] for backward, unless they are given. */
    int64_t (*norm_scratch)(const norm_shape *s); /* bytes, enough for both directions */
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
     * 1). Returns logsum [batch, heads, tokens], the log of the softmax denominators, for backward.
     * The fast engines never hold the whole score matrix. */
    int64_t (*attention_scratch)(const attention_shape *s); /* bytes, enough for both directions */
    status (*attention_forward)(const attention_shape *s, const void *qkv, void *y, float *logsum,
                                void *scratch);
    /* dqkv overwritten. */
    status (*attention_backward)(const attention_shape *s, const void *qkv, const void *y,
                                 const float *logsum, const void *dy, void *dqkv, void *scratch);

    /* y [batch, queries, channels] = softmax(q k^T / sqrt(d)) v per head over the keys that exist;
     * 0 if there is none. Returns logsum [batch, heads, queries] as above, without meaning where y
     * is 0 for want of keys. */
    int64_t (*cross_scratch)(const cross_shape *s); /* bytes, enough for both directions */
    status (*cross_forward)(const cross_shape *s, const void *q, const void *kv, const float *mask,
                            void *y, float *logsum, void *scratch);
    /* dq and dkv overwritten; either may be NULL. */
    status (*cross_backward)(const cross_shape *s, const void *q, const void *kv, const float *mask,
                             const void *y, const float *logsum, const void *dy, void *dq,
                             void *dkv, void *scratch);

    /* y = x * sigmoid(x); dx = dy * dsilu(x)/dx (overwrites). */
    void (*silu_forward)(const float *x, float *y, int64_t n);
    void (*silu_backward)(const float *x, const float *dy, float *dx, int64_t n);
} kernels;

typedef enum engine_kind { ENGINE_ONEDNN, ENGINE_OPENBLAS, ENGINE_REFERENCE } engine_kind;

extern const named_table engine_kinds;

/* The table of an engine. Valid for the life of the process. Local. */
const kernels *kernels_of(engine_kind engine);

/* Whether this processor has instructions that multiply bf16 numbers. Local. */
bool kernels_bf16_native(void);

/* The library that runs under an engine: "oneDNN 2.6.3", "OpenBLAS 0.3.21 ..."; "" for the
 * reference. Valid on this thread until it ends. Local. */
const char *kernels_library_version(engine_kind engine);

#endif
