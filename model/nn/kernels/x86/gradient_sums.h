/* What the bf16 weight gradients with AVX-512 and with AMX share: the sums of dy over pixels (bias
 * gradient), the reduction of the parts' sums to dw and db, and sizes of scratch. Private to
 * gradient_*.c.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_GRADIENT_SUMS_H
#define CTAUG_MODEL_NN_KERNELS_X86_GRADIENT_SUMS_H

#include "model/nn/int_math.h"
#include "model/nn/kernels.h"
#include "model/nn/kernels/x86/avx512.h"
#include "model/nn/kernels/bf16.h"

/* Bytes of the sums of dy, [part][out] f64. */
static inline int64_t bias_bytes(const conv_shape *s, int64_t parts) {
    return round_up_to_cache_line(parts * s->out * (int64_t)sizeof(double));
}

/* Bytes of the zeros that are read for pixels outside x and dy. */
static inline int64_t zeros_bytes(const conv_shape *s) {
    return round_up_to_cache_line(max_i64(s->in, s->out) * (int64_t)sizeof(bf16));
}

/* total [16] += the sum of both elements of `count` vectors of 16 bf16 pairs, `step` pairs apart.
 * Four independent partial sums hide the latency of the additions. */
INLINE_AVX512_BF16 void add_pairs(const uint32_t *pairs, int64_t step, int64_t count,
                                  double *total) {
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

/* The layout of sums: vectors of 16 outputs, and the strides from one input, tap and part to the
 * next. */
typedef struct sums_layout {
    int64_t input, tap, part; /* strides, in floats */
    int64_t taps, parts;      /* counts */
} sums_layout;

/* dw [16 outputs, `row` elements apart][16 inputs][taps] += the sums of the parts, in order. */
INLINE_AVX512_BF16 void reduce_sums(const sums_layout *l, const float *sums, float *dw,
                                    int64_t row) {
    enum { TAPS_MAX = 9 };
    __m512 g[LANES * TAPS_MAX];
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

/* db [out] += totals [parts][out], the sums of dy, added in order. */
static inline void reduce_bias(const double *totals, int64_t parts, int64_t out, float *db) {
    for (int64_t o = 0; o < out; o++) {
        double sum = 0;
        for (int64_t p = 0; p < parts; p++) sum += totals[p * out + o];
        db[o] += (float)sum;
    }
}

#endif
