/* What weight gradients of bf16 maps have in common, however they are multiplied: sums of pairs of
 * pixels, and of blocks of channels. Private to gradient_*.c.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_GRADIENT_SUMS_H
#define CTAUG_MODEL_NN_KERNELS_X86_GRADIENT_SUMS_H

#include "model/nn/kernels/x86/avx512.h"
#include "model/nn/kernels/bf16.h"

/* total [16] += the sum of `count` vectors of pairs of bf16, each `step` units after the other; in
 * four sums, for one addition waits for the last. */
NATIVE_INLINE void add_pairs(const uint32_t *pairs, int64_t step, int64_t count, double *total) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    float sums[LANES];
    __m512 sum[4];
    for (int k = 0; k < 4; k++) sum[k] = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] =
                _mm512_dpbf16_ps(sum[k], ones, (__m512bh)_mm512_load_si512(pairs + (i + k) * step));
    for (; i < count; i++)
        sum[0] = _mm512_dpbf16_ps(sum[0], ones, (__m512bh)_mm512_load_si512(pairs + i * step));
    _mm512_storeu_ps(sums,
                     _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
    for (int i = 0; i < LANES; i++) total[i] += sums[i];
}

/* Sums of 16 inputs by 16 outputs: how far apart two inputs, taps and parts lie. */
typedef struct sums_layout {
    int64_t input, tap, part;
    int64_t taps, parts;
} sums_layout;

/* dw [16 outputs, row apart][16 inputs][taps] += the parts' sums, in order. */
NATIVE_INLINE void deliver_sums(const sums_layout *l, const float *sums, float *dw, int64_t row) {
    enum { MAX_TAPS = 9 };
    __m512 g[LANES * MAX_TAPS];
    for (int64_t t = 0; t < l->taps; t++)
        for (int64_t i = 0; i < LANES; i++) {
            const float *from = sums + t * l->tap + i * l->input;
            __m512 sum = _mm512_load_ps(from);
            for (int64_t p = 1; p < l->parts; p++)
                sum = _mm512_add_ps(sum, _mm512_load_ps(from + p * l->part));
            g[i * l->taps + t] = sum;
        }
    for (int64_t t = 0; t < l->taps; t++) {
        transpose16(g + LANES * t);
        for (int64_t o = 0; o < LANES; o++) {
            float *to = dw + o * row + LANES * t;
            _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), g[LANES * t + o]));
        }
    }
}

/* db [out] += what the parts [parts][out] have summed of dy, in order. */
static inline void deliver_bias(const double *totals, int64_t parts, int64_t out, float *db) {
    for (int64_t o = 0; o < out; o++) {
        double sum = 0;
        for (int64_t p = 0; p < parts; p++) sum += totals[p * out + o];
        db[o] += (float)sum;
    }
}

#endif
