/* Tiles, small products and weights of Winograd's convolution, sixteen numbers at a time; bf16 is
 * computed with in f32. */
#include "model/nn/int_math.h"
#include "model/nn/kernels/x86/product_avx512.h"
#include "model/nn/kernels/winograd_kernels.h"

#include <string.h>

#define ADD _mm512_add_ps
#define SUB _mm512_sub_ps

enum { BLOCK = LANES };

/* What bf16 can say of 16 numbers. */
NATIVE_INLINE __m512 rounded16(__m512 v) {
    __m256i half = (__m256i)_mm512_cvtneps_pbh(v);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Channels [c, c + 16) of a pixel, those that the map has. */
NATIVE_INLINE __m512 load(tensor_type type, bool rounded, const void *pixel, int64_t c,
                          int64_t channels) {
    const int64_t left = max_i64(channels - c, 0);
    __m512 v = map_load(type, pixel, c, left >= LANES, lanes_of(left));
    return rounded ? rounded16(v) : v;
}

/* ---- the input's tiles ---- */

/* B^T applied to four numbers `step` apart. */
NATIVE_INLINE void to_positions(__m512 *d, int step) {
    __m512 a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    d[0] = SUB(a, c), d[step] = ADD(b, c), d[2 * step] = SUB(c, b), d[3 * step] = SUB(b, e);
}

NATIVE_INLINE void input_of(tensor_type type, bool rounded, const void *const pixel[],
                            int64_t channels, float *v, int64_t position) {
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 d[16];
        for (int i = 0; i < 16; i++) d[i] = load(type, rounded, pixel[i], c, channels);
        for (int i = 0; i < 4; i++) to_positions(d + i, 4);
        for (int i = 0; i < 4; i++) to_positions(d + 4 * i, 1);
        for (int i = 0; i < 16; i++)
            map_store(TYPE_F32, v + i * position, c, channels - c >= LANES, lanes_of(channels - c),
                      d[i]);
    }
}

NATIVE static void input(winograd_type of, const void *const pixel[], int64_t channels, float *v,
                         int64_t position) {
    WINOGRAD_OF_TYPE(input_of, of, pixel, channels, v, position);
}

/* ---- the output's tiles ---- */

NATIVE_INLINE void output_of(tensor_type type, const float *m, int64_t position, const float *bias,
                             int64_t first, int64_t count, void *const pixel[4]) {
    const bool whole = count >= LANES;
    const __mmask16 lanes = lanes_of(count);
    __m512 rows[2][4], add = _mm512_maskz_loadu_ps(lanes, bias);
    for (int j = 0; j < 4; j++) {
        __m512 a = _mm512_load_ps(m + j * position), b = _mm512_load_ps(m + (4 + j) * position);
        __m512 c = _mm512_load_ps(m + (8 + j) * position);
        __m512 d = _mm512_load_ps(m + (12 + j) * position);
        rows[0][j] = ADD(a, ADD(b, c));
        rows[1][j] = SUB(SUB(b, c), d);
    }
    for (int i = 0; i < 2; i++) {
        __m512 *r = rows[i];
        map_store(type, pixel[2 * i], first, whole, lanes, ADD(add, ADD(r[0], ADD(r[1], r[2]))));
        map_store(type, pixel[2 * i + 1], first, whole, lanes,
                  ADD(add, SUB(SUB(r[1], r[2]), r[3])));
    }
}

NATIVE static void output(tensor_type type, const float *m, int64_t position, const float *bias,
                          int64_t first, int64_t count, void *const pixel[4]) {
    for (int64_t c = 0; c < count; c += LANES)
        if (type == TYPE_BF16)
            output_of(TYPE_BF16, m + c, position, bias + c, first + c, count - c, pixel);
        else
            output_of(TYPE_F32, m + c, position, bias + c, first + c, count - c, pixel);
}

/* A applied to two numbers. */
NATIVE_INLINE void from_pair(__m512 a, __m512 b, __m512 out[4]) {
    out[0] = a, out[1] = ADD(a, b), out[2] = SUB(a, b), out[3] = SUB(_mm512_setzero_ps(), b);
}

/* The sum of a tile's pixels is at position 5. */
NATIVE_INLINE void spread_of(tensor_type type, bool rounded, const void *const pixel[],
                             int64_t channels, float *d, int64_t position, int64_t panel,
                             float *sum) {
    for (int64_t start = 0; start < channels; start += COLUMNS, d += panel)
        for (int64_t c = start; c < start + COLUMNS; c += LANES) {
            __m512 p[4], left[4], right[4], all[16];
            for (int i = 0; i < 4; i++) p[i] = load(type, rounded, pixel[i], c, channels);
            from_pair(p[0], p[2], left), from_pair(p[1], p[3], right);
            for (int i = 0; i < 4; i++) from_pair(left[i], right[i], all + 4 * i);
            for (int i = 0; i < 16; i++) _mm512_store_ps(d + i * position + c - start, all[i]);
            _mm512_mask_storeu_ps(sum + c, lanes_of(max_i64(channels - c, 0)), all[5]);
        }
}

NATIVE static void gradient_output(winograd_type of, const void *const pixel[], int64_t channels,
                                   float *d, int64_t position, int64_t panel, float *sum) {
    WINOGRAD_OF_TYPE(spread_of, of, pixel, channels, d, position, panel, sum);
}

/* ---- products ---- */

/* Numbers as the small product takes them. */
static const unit *units(const float *numbers) { return (const unit *)(const void *)numbers; }

NATIVE static void multiply(const float *a, int64_t row, const float *b, int64_t count, float *c) {
    product_of(TYPE_F32, units(a), row, 1, units(b), COLUMNS, count, false, c, COLUMNS);
}

NATIVE static void correlate(const float *a, int64_t row, const float *b, int64_t count, bool add,
                             float *c) {
    if (add)
        product_of(TYPE_F32, units(a), 1, row, units(b), COLUMNS, count, true, c, COLUMNS);
    else
        product_of(TYPE_F32, units(a), 1, row, units(b), COLUMNS, count, false, c, COLUMNS);
}

/* ---- weights ---- */

/* G applied to three numbers. */
NATIVE_INLINE void from_taps(__m512 a, __m512 b, __m512 c, __m512 out[4]) {
    const __m512 half = _mm512_set1_ps(0.5f);
    __m512 ends = _mm512_mul_ps(half, ADD(a, c)), middle = _mm512_mul_ps(half, b);
    out[0] = a, out[1] = ADD(ends, middle), out[2] = SUB(ends, middle), out[3] = c;
}

/* U of 16 outputs and one input, from its taps. */
NATIVE_INLINE void weights_of(const __m512 g[WINOGRAD_TAPS], __m512 u[16]) {
    __m512 column[3][4];
    for (int j = 0; j < 3; j++) from_taps(g[j], g[3 + j], g[6 + j], column[j]);
    for (int i = 0; i < 4; i++) from_taps(column[0][i], column[1][i], column[2][i], u + 4 * i);
}

/* 16 outputs times 144 numbers (16 inputs, 9 taps) to 144 vectors of outputs. */
NATIVE static void weights(bool rounded, const float *weight, int64_t row, int64_t inputs,
                           int64_t outputs, float *u, int64_t position) {
    const int64_t numbers = inputs * WINOGRAD_TAPS;
    for (int64_t o = 0; o < COLUMNS; o += LANES) {
        __m512 g[BLOCK * WINOGRAD_TAPS];
        for (int t = 0; t < WINOGRAD_TAPS; t++) {
            __mmask16 lanes = lanes_of(max_i64(numbers - LANES * t, 0));
            for (int i = 0; i < LANES; i++) {
                __m512 v = o + i < outputs
                               ? _mm512_maskz_loadu_ps(lanes, weight + (o + i) * row + LANES * t)
                               : _mm512_setzero_ps();
                g[LANES * t + i] = rounded ? rounded16(v) : v;
            }
            transpose16(g + LANES * t);
        }
        for (int k = 0; k < inputs; k++) {
            __m512 all[16];
            weights_of(g + k * WINOGRAD_TAPS, all);
            for (int p = 0; p < WINOGRAD_POSITIONS; p++)
                _mm512_store_ps(u + p * position + k * COLUMNS + o, all[p]);
        }
    }
}

/* Turning the kernel by 180 degrees exchanges the first and the last row and column of U. */
NATIVE static void turn(const float *u, int64_t position, int64_t inputs, int64_t outputs,
                        float *turned, int64_t turned_position) {
    const int with[] = {3, 1, 2, 0};
    for (int p = 0; p < WINOGRAD_POSITIONS; p++) {
        const float *from = u + p * position;
        float *to = turned + (4 * with[p / 4] + with[p % 4]) * turned_position;
        __m512 r[BLOCK];
        for (int k = 0; k < BLOCK; k++)
            r[k] = k < inputs ? _mm512_load_ps(from + k * COLUMNS) : _mm512_setzero_ps();
        transpose16(r);
        for (int o = 0; o < outputs; o++) _mm512_store_ps(to + o * COLUMNS, r[o]);
    }
}

/* G^T applied to four numbers. */
NATIVE_INLINE void to_taps(__m512 a, __m512 b, __m512 c, __m512 d, __m512 out[3]) {
    const __m512 half = _mm512_set1_ps(0.5f);
    __m512 sum = _mm512_mul_ps(half, ADD(b, c)), difference = _mm512_mul_ps(half, SUB(b, c));
    out[0] = ADD(a, sum), out[1] = difference, out[2] = ADD(sum, d);
}

NATIVE_INLINE void taps_of(const float *du, int64_t position, __m512 g[WINOGRAD_TAPS]) {
    __m512 column[4][3];
    for (int j = 0; j < 4; j++) {
        __m512 m[4];
        for (int i = 0; i < 4; i++) m[i] = _mm512_load_ps(du + (4 * i + j) * position);
        to_taps(m[0], m[1], m[2], m[3], column[j]);
    }
    for (int i = 0; i < 3; i++)
        to_taps(column[0][i], column[1][i], column[2][i], column[3][i], g + 3 * i);
}

NATIVE static void gradient(const float *du, int64_t position, int64_t row, int64_t inputs,
                            int64_t outputs, float *dw) {
    const int64_t numbers = inputs * WINOGRAD_TAPS;
    for (int64_t o = 0; o < outputs; o += LANES) {
        __m512 g[BLOCK * WINOGRAD_TAPS];
        for (int k = 0; k < BLOCK; k++) {
            if (k < inputs)
                taps_of(du + k * COLUMNS + o, position, g + k * WINOGRAD_TAPS);
            else
                memset(g + k * WINOGRAD_TAPS, 0, WINOGRAD_TAPS * sizeof *g);
        }
        for (int64_t t = 0; LANES * t < numbers; t++) {
            __mmask16 lanes = lanes_of(numbers - LANES * t);
            __m512 *from = g + LANES * t;
            transpose16(from);
            for (int64_t i = 0; i < min_i64(LANES, outputs - o); i++) {
                float *to = dw + (o + i) * row + LANES * t;
                _mm512_mask_storeu_ps(to, lanes, ADD(_mm512_maskz_loadu_ps(lanes, to), from[i]));
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
    .turn = turn,
    .gradient = gradient,
};
