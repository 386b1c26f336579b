/* What the engines are put together from: group norm, SiLU and attention, fast (of both fast
 * engines) and plain (of the reference), and the exponential under the fast ones. Private to
 * kernels*.c, norm_*.c and attention_*.c.
 *
 * Loops that carry the work are leaf functions marked CLONES: compiled for SSE2, AVX2 and AVX-512,
 * chosen when the program is loaded, so that one binary serves a mixed cluster.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_FAST_H
#define CTAUG_MODEL_NN_KERNELS_FAST_H

#include "model/nn/bf16.h"
#include "model/nn/kernels.h"

#include <string.h>

#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))

extern const kernels kernels_onednn, kernels_openblas, kernels_reference;

const char *kernels_onednn_version(void);
const char *kernels_openblas_version(void);

/* A matrix product with strides (sgemm, row-major): c [m,n] = alpha op(a) op(b) + beta c. Runs on
 * one thread when called from inside a parallel region. */
typedef status (*product)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                          float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                          float beta, float *c, int64_t ldc);

/* Set by tests: norm, attention and our own convolutions leave alone the instructions that not every
 * processor has. */
extern bool kernels_plain;

/* Whether they may use what avx512.h needs. */
static inline bool kernels_avx512(void) { return !kernels_plain && kernels_bf16_native(); }

/* As in kernels.h; attention is told whose products to use. */
int64_t norm_fast_scratch(const norm_shape *s);
status norm_fast_forward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                         const float *scale_shift, float *mean, float *rstd, void *y,
                         void *scratch);
status norm_fast_backward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                          const float *scale_shift, const float *mean, const float *rstd,
                          const void *dy, bool add, void *dx, float *dgain, float *dbias,
                          float *dscale_shift, void *scratch);
int64_t attention_fast_scratch(const attention_shape *s);
status attention_fast_forward(product multiply, const attention_shape *s, const void *qkv, void *y,
                              float *logsum, void *scratch);
status attention_fast_backward(product multiply, const attention_shape *s, const void *qkv,
                               const void *y, const float *logsum, const void *dy, void *dqkv,
                               void *scratch);
void silu_fast_forward(const float *x, float *y, int64_t n);
void silu_fast_backward(const float *x, const float *dy, float *dx, int64_t n);

int64_t norm_ref_scratch(const norm_shape *s);
status norm_ref_forward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                        const float *scale_shift, float *mean, float *rstd, void *y, void *scratch);
status norm_ref_backward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                         const float *scale_shift, const float *mean, const float *rstd,
                         const void *dy, bool add, void *dx, float *dgain, float *dbias,
                         float *dscale_shift, void *scratch);
int64_t attention_ref_scratch(const attention_shape *s);
status attention_ref_forward(const attention_shape *s, const void *qkv, void *y, float *logsum,
                             void *scratch);
status attention_ref_backward(const attention_shape *s, const void *qkv, const void *y,
                              const float *logsum, const void *dy, void *dqkv, void *scratch);
void silu_ref_forward(const float *x, float *y, int64_t n);
void silu_ref_backward(const float *x, const float *dy, float *dx, int64_t n);

/* Number i of a map, f32 or bf16. */
static inline float map_read(tensor_type type, const void *x, int64_t i) {
    return type == TYPE_BF16 ? bf16_to_f32(((const bf16 *)x)[i]) : ((const float *)x)[i];
}

static inline void map_write(tensor_type type, void *y, int64_t i, float value) {
    if (type == TYPE_BF16)
        ((bf16 *)y)[i] = bf16_from_f32(value);
    else
        ((float *)y)[i] = value;
}

/* Where number i of a map lies; const is the caller's to keep. */
static inline void *map_at(tensor_type type, const void *x, int64_t i) {
    return (char *)x + i * tensor_unit(type);
}

/* Where fast_exp() ends, below and above. In another file on purpose: were the values known, gcc
 * would follow the clamped cases as branches and mask every instruction: slower. */
extern const float fast_exp_ends[2];

/* e^x to 1.01 units in the last place on [-87.3, 88.3], held to the values at the ends outside;
 * NaN stays NaN. x = n ln 2 + r (Cody & Waite 1980, chapter 6); e^r = 1 + r + r^2 q(r) with q
 * fitted to |r| <= ln 2 / 2 for least maximum relative error. Adding 1.5 * 2^23 rounds to an
 * integer and leaves it in the low bits, where it becomes the exponent of 2^n. */
static inline float fast_exp(float x) {
    const float shift = 12582912.0f;
    x = x < fast_exp_ends[0] ? fast_exp_ends[0] : x;
    x = x > fast_exp_ends[1] ? fast_exp_ends[1] : x;
    float rounded = x * 0x1.715476p+0f + shift;
    float n = rounded - shift;
    float r = x - n * 0x1.62e400p-1f; /* ln 2 in two parts; n times the first is exact */
    r -= n * 0x1.7f7d1cp-20f;
    float q = 0.00138145394f;
    q = q * r + 0.00836874545f;
    q = q * r + 0.041668389f;
    q = q * r + 0.166665211f;
    q = q * r + 0.49999994f;
    float p = r * r * q + r + 1.0f;
    uint32_t bits;
    float power;
    memcpy(&bits, &rounded, sizeof bits);
    bits = (bits - 0x4b400000u + 127u) << 23;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

#endif
