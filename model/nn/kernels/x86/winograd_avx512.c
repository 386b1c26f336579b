/* Winograd's convolution on processors with AVX512_BF16, sixteen channels at a time. bf16
 * activations are widened and computed with in f32. */
#include "model/nn/int_math.h"
#include "model/nn/kernels/x86/product_avx512.h"

#define WINOGRAD_VECTOR __m512
#define WINOGRAD_INLINE INLINE_AVX512_BF16
#include "model/nn/kernels/x86/winograd_transform.h"

#include <string.h>

enum { BLOCK = LANES };

/* 16 values rounded to bf16. */
INLINE_AVX512_BF16 __m512 rounded16(__m512 v) {
    __m256i half = (__m256i)_mm512_cvtneps_pbh(v);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Channels [c, c + 16) of a pixel; zero past the last channel. */
INLINE_AVX512_BF16 __m512 load(tensor_type type, bool rounded, const void *pixel, int64_t c,
                               int64_t channels) {
    const int64_t left = max_i64(channels - c, 0);
    __m512 v = load16(type, pixel, c, left >= LANES, first_lanes(left));
    return rounded ? rounded16(v) : v;
}

/* ---- tiles ---- */

INLINE_AVX512_BF16 void input_of(tensor_type type, bool rounded, const void *const pixel[],
                                 int64_t channels, float *v, int64_t position) {
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 d[WINOGRAD_POSITIONS];
        for (int i = 0; i < WINOGRAD_POSITIONS; i++)
            d[i] = load(type, rounded, pixel[i], c, channels);
        winograd_input(d);
        for (int i = 0; i < WINOGRAD_POSITIONS; i++)
            store16(TYPE_F32, v + i * position, c, channels - c >= LANES, first_lanes(channels - c),
                    d[i]);
    }
}

TARGET_AVX512_BF16 static void input(winograd_type of, const void *const pixel[], int64_t channels,
                                     float *v, int64_t position) {
    WINOGRAD_OF_TYPE(input_of, of, pixel, channels, v, position);
}

INLINE_AVX512_BF16 void output_of(tensor_type type, const float *m, int64_t position,
                                  const float *bias, int64_t first, int64_t count,
                                  void *const pixel[4]) {
    const bool whole = count >= LANES;
    const __mmask16 lanes = first_lanes(count);
    __m512 all[WINOGRAD_POSITIONS], y[4];
    for (int i = 0; i < WINOGRAD_POSITIONS; i++) all[i] = _mm512_load_ps(m + i * position);
    winograd_output(all, _mm512_maskz_loadu_ps(lanes, bias), y);
    for (int i = 0; i < 4; i++) store16(type, pixel[i], first, whole, lanes, y[i]);
}

TARGET_AVX512_BF16 static void output(tensor_type type, const float *m, int64_t position,
                                      const float *bias, int64_t first, int64_t count,
                                      void *const pixel[4]) {
    for (int64_t c = 0; c < count; c += LANES)
        if (type == TYPE_BF16)
            output_of(TYPE_BF16, m + c, position, bias + c, first + c, count - c, pixel);
        else
            output_of(TYPE_F32, m + c, position, bias + c, first + c, count - c, pixel);
}

INLINE_AVX512_BF16 void gradient_output_of(tensor_type type, bool rounded,
                                           const void *const pixel[], int64_t channels, float *d,
                                           int64_t position, int64_t panel, float *sum) {
    for (int64_t start = 0; start < channels; start += COLUMNS, d += panel)
        for (int64_t c = start; c < start + COLUMNS; c += LANES) {
            __m512 dy[4], all[WINOGRAD_POSITIONS];
            for (int i = 0; i < 4; i++) dy[i] = load(type, rounded, pixel[i], c, channels);
            winograd_output_gradient(dy, all);
            for (int p = 0; p < WINOGRAD_POSITIONS; p++)
                _mm512_store_ps(d + p * position + c - start, all[p]);
            _mm512_mask_storeu_ps(sum + c, first_lanes(max_i64(channels - c, 0)),
                                  all[WINOGRAD_SUM_POSITION]);
        }
}

TARGET_AVX512_BF16 static void gradient_output(winograd_type of, const void *const pixel[],
                                               int64_t channels, float *d, int64_t position,
                                               int64_t panel, float *sum) {
    WINOGRAD_OF_TYPE(gradient_output_of, of, pixel, channels, d, position, panel, sum);
}

/* ---- micro-kernels ---- */

/* f32 elements as operands of micro_kernel(). */
static const unit *units(const float *elements) { return (const unit *)(const void *)elements; }

TARGET_AVX512_BF16 static void multiply(const float *a, int64_t row, const float *b, int64_t count,
                                        float *c) {
    micro_kernel(TYPE_F32, units(a), row, 1, units(b), COLUMNS, count, false, c, COLUMNS);
}

TARGET_AVX512_BF16 static void correlate(const float *a, int64_t row, const float *b, int64_t count,
                                         bool add, float *c) {
    if (add)
        micro_kernel(TYPE_F32, units(a), 1, row, units(b), COLUMNS, count, true, c, COLUMNS);
    else
        micro_kernel(TYPE_F32, units(a), 1, row, units(b), COLUMNS, count, false, c, COLUMNS);
}

/* ---- weights ---- */

/* Transposes [16 outputs][16 inputs][9 taps] into 144 vectors of 16 outputs, one for each input and
 * tap, and transforms these. */
TARGET_AVX512_BF16 static void weights(bool rounded, const float *weight, int64_t row,
                                       int64_t inputs, int64_t outputs, float *u,
                                       int64_t position) {
    const int64_t elements = inputs * WINOGRAD_TAPS; /* of one output */
    for (int64_t o = 0; o < COLUMNS; o += LANES) {
        __m512 g[BLOCK * WINOGRAD_TAPS];
        for (int t = 0; t < WINOGRAD_TAPS; t++) {
            __mmask16 lanes = first_lanes(max_i64(elements - LANES * t, 0));
            for (int i = 0; i < LANES; i++) {
                __m512 v = o + i < outputs
                               ? _mm512_maskz_loadu_ps(lanes, weight + (o + i) * row + LANES * t)
                               : _mm512_setzero_ps();
                g[LANES * t + i] = rounded ? rounded16(v) : v;
            }
            transpose16(g + LANES * t);
        }
        for (int k = 0; k < inputs; k++) {
            __m512 all[WINOGRAD_POSITIONS];
            winograd_weights(g + k * WINOGRAD_TAPS, all);
            for (int p = 0; p < WINOGRAD_POSITIONS; p++)
                _mm512_store_ps(u + p * position + k * COLUMNS + o, all[p]);
        }
    }
}

TARGET_AVX512_BF16 static void flip(const float *u, int64_t position, int64_t inputs,
                                    int64_t outputs, float *flipped, int64_t flipped_position) {
    for (int p = 0; p < WINOGRAD_POSITIONS; p++) {
        const float *from = u + p * position;
        float *to = flipped + winograd_flipped(p) * flipped_position;
        __m512 r[BLOCK];
        for (int k = 0; k < BLOCK; k++)
            r[k] = k < inputs ? _mm512_load_ps(from + k * COLUMNS) : _mm512_setzero_ps();
        transpose16(r);
        for (int o = 0; o < outputs; o++) _mm512_store_ps(to + o * COLUMNS, r[o]);
    }
}

/* The weight transform backwards: transforms du to 144 vectors of outputs and transposes these. */
TARGET_AVX512_BF16 static void gradient(const float *du, int64_t position, int64_t row,
                                        int64_t inputs, int64_t outputs, float *dw) {
    const int64_t elements = inputs * WINOGRAD_TAPS; /* of one output */
    for (int64_t o = 0; o < outputs; o += LANES) {
        __m512 g[BLOCK * WINOGRAD_TAPS];
        memset(g + inputs * WINOGRAD_TAPS, 0,
               (size_t)((BLOCK - inputs) * WINOGRAD_TAPS) * sizeof *g);
        for (int k = 0; k < inputs; k++) {
            __m512 all[WINOGRAD_POSITIONS];
            for (int p = 0; p < WINOGRAD_POSITIONS; p++)
                all[p] = _mm512_load_ps(du + p * position + k * COLUMNS + o);
            winograd_weight_gradient(all, g + k * WINOGRAD_TAPS);
        }
        for (int64_t t = 0; LANES * t < elements; t++) {
            __mmask16 lanes = first_lanes(elements - LANES * t);
            __m512 *from = g + LANES * t;
            transpose16(from);
            for (int64_t i = 0; i < min_i64(LANES, outputs - o); i++) {
                float *to = dw + (o + i) * row + LANES * t;
                _mm512_mask_storeu_ps(to, lanes,
                                      _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, to), from[i]));
            }
        }
    }
}

const winograd_kernels winograd_avx512 = {
    .rows = ROWS,
    .panel = COLUMNS,
    .block = BLOCK,
    .input = input,
    .output = output,
    .gradient_output = gradient_output,
    .multiply = multiply,
    .correlate = correlate,
    .weights = weights,
    .flip = flip,
    .gradient = gradient,
};
