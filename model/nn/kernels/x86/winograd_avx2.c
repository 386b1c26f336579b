/* Winograd's convolution with AVX2 and FMA, eight channels at a time. bf16 activations are widened
 * and computed with in f32. */
#include "model/nn/kernels/x86/avx2.h"

#define WINOGRAD_VECTOR __m256
#define WINOGRAD_INLINE INLINE_AVX2
#include "model/nn/kernels/x86/winograd_transform.h"

enum { LANES = 8, ROWS = 6, PANEL = 16, BLOCK = LANES };

/* ---- tiles ---- */

INLINE_AVX2 void input_of(tensor_type type, bool rounded, const void *const pixel[],
                          int64_t channels, float *v, int64_t position) {
    for (int64_t c = 0; c < channels; c += LANES) {
        __m256 d[WINOGRAD_POSITIONS];
        for (int i = 0; i < WINOGRAD_POSITIONS; i++) d[i] = load8(type, rounded, pixel[i], c);
        winograd_input(d);
        for (int i = 0; i < WINOGRAD_POSITIONS; i++) _mm256_storeu_ps(v + i * position + c, d[i]);
    }
}

TARGET_AVX2 static void input(winograd_type of, const void *const pixel[], int64_t channels,
                              float *v, int64_t position) {
    WINOGRAD_OF_TYPE(input_of, of, pixel, channels, v, position);
}

INLINE_AVX2 void output_of(tensor_type type, const float *m, int64_t position, const float *bias,
                           int64_t first, void *const pixel[4]) {
    __m256 all[WINOGRAD_POSITIONS], y[4];
    for (int i = 0; i < WINOGRAD_POSITIONS; i++) all[i] = _mm256_loadu_ps(m + i * position);
    winograd_output(all, _mm256_loadu_ps(bias), y);
    for (int i = 0; i < 4; i++) store8(type, pixel[i], first, y[i]);
}

TARGET_AVX2 static void output(tensor_type type, const float *m, int64_t position,
                               const float *bias, int64_t first, int64_t count,
                               void *const pixel[4]) {
    for (int64_t c = 0; c < count; c += LANES)
        if (type == TYPE_BF16)
            output_of(TYPE_BF16, m + c, position, bias + c, first + c, pixel);
        else
            output_of(TYPE_F32, m + c, position, bias + c, first + c, pixel);
}

INLINE_AVX2 void gradient_output_of(tensor_type type, bool rounded, const void *const pixel[],
                                    int64_t channels, float *d, int64_t position, int64_t panel,
                                    float *sum) {
    for (int64_t c = 0; c < channels; c += LANES) {
        float *to = d + c / PANEL * panel + c % PANEL;
        __m256 dy[4], all[WINOGRAD_POSITIONS];
        for (int i = 0; i < 4; i++) dy[i] = load8(type, rounded, pixel[i], c);
        winograd_output_gradient(dy, all);
        for (int p = 0; p < WINOGRAD_POSITIONS; p++) _mm256_storeu_ps(to + p * position, all[p]);
        _mm256_storeu_ps(sum + c, all[WINOGRAD_SUM_POSITION]);
    }
    if (channels % PANEL != 0)
        for (int p = 0; p < WINOGRAD_POSITIONS; p++)
            _mm256_storeu_ps(d + p * position + channels / PANEL * panel + LANES,
                             _mm256_setzero_ps());
}

TARGET_AVX2 static void gradient_output(winograd_type of, const void *const pixel[],
                                        int64_t channels, float *d, int64_t position, int64_t panel,
                                        float *sum) {
    WINOGRAD_OF_TYPE(gradient_output_of, of, pixel, channels, d, position, panel, sum);
}

/* ---- micro-kernels ---- */

/* Element (r, k) of the left operand is a[r * row + k * step]. Twelve vectors of sums, two of b and
 * one broadcast element of a occupy 15 of the 16 registers. Each vector of sums is a variable of
 * its own, because gcc would also keep an array of them in memory. */
#define EACH_ROW(each) each(0) each(1) each(2) each(3) each(4) each(5)
#define BEGIN(r)                                                                                   \
    __m256 left##r = add ? _mm256_loadu_ps(c + r * PANEL) : _mm256_setzero_ps();                   \
    __m256 right##r = add ? _mm256_loadu_ps(c + r * PANEL + 8) : _mm256_setzero_ps();
#define STEP(r)                                                                                    \
    from = _mm256_broadcast_ss(r < 3 ? low + r * row : high + (r - 3) * row);                      \
    left##r = _mm256_fmadd_ps(from, b0, left##r);                                                  \
    right##r = _mm256_fmadd_ps(from, b1, right##r);
#define END(r)                                                                                     \
    _mm256_storeu_ps(c + r * PANEL, left##r);                                                      \
    _mm256_storeu_ps(c + r * PANEL + 8, right##r);

INLINE_AVX2 void micro_kernel(const float *a, int64_t row, int64_t step, const float *b,
                              int64_t count, bool add, float *c) {
    const float *low = a, *high = a + 3 * row;
    EACH_ROW(BEGIN)
    for (int64_t k = 0; k < count; k++, low += step, high += step, b += PANEL) {
        __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8), from;
        EACH_ROW(STEP)
    }
    EACH_ROW(END)
}

TARGET_AVX2 static void multiply(const float *a, int64_t row, const float *b, int64_t count,
                                 float *c) {
    micro_kernel(a, row, 1, b, count, false, c);
}

TARGET_AVX2 static void correlate(const float *a, int64_t row, const float *b, int64_t count,
                                  bool add, float *c) {
    if (add)
        micro_kernel(a, 1, row, b, count, true, c);
    else
        micro_kernel(a, 1, row, b, count, false, c);
}

/* ---- weights ---- */

/* Transposes [8 outputs][8 inputs][9 taps] into 72 vectors of 8 outputs, one for each input and
 * tap, and transforms these. `inputs` is unused: channels are multiples of BLOCK. */
TARGET_AVX2 static void weights(bool rounded, const float *weight, int64_t row, int64_t inputs,
                                int64_t outputs, float *u, int64_t position) {
    (void)inputs;
    for (int64_t o = 0; o < PANEL; o += LANES) {
        __m256 g[LANES * WINOGRAD_TAPS];
        for (int t = 0; t < WINOGRAD_TAPS; t++) {
            __m256 *to = g + LANES * t;
            for (int i = 0; i < LANES; i++)
                to[i] = o < outputs ? load8(TYPE_F32, rounded, weight + (o + i) * row, LANES * t)
                                    : _mm256_setzero_ps();
            transpose8(to);
        }
        for (int k = 0; k < BLOCK; k++) {
            __m256 all[WINOGRAD_POSITIONS];
            winograd_weights(g + k * WINOGRAD_TAPS, all);
            for (int p = 0; p < WINOGRAD_POSITIONS; p++)
                _mm256_storeu_ps(u + p * position + k * PANEL + o, all[p]);
        }
    }
}

TARGET_AVX2 static void flip(const float *u, int64_t position, int64_t inputs, int64_t outputs,
                             float *flipped, int64_t flipped_position) {
    (void)inputs, (void)outputs;
    for (int p = 0; p < WINOGRAD_POSITIONS; p++) {
        __m256 r[BLOCK];
        for (int k = 0; k < BLOCK; k++) r[k] = _mm256_loadu_ps(u + p * position + k * PANEL);
        transpose8(r);
        float *to = flipped + winograd_flipped(p) * flipped_position;
        for (int o = 0; o < BLOCK; o++) _mm256_storeu_ps(to + o * PANEL, r[o]);
    }
}

/* The weight transform backwards: transforms du to 72 vectors of outputs and transposes these. */
TARGET_AVX2 static void gradient(const float *du, int64_t position, int64_t row, int64_t inputs,
                                 int64_t outputs, float *dw) {
    (void)inputs;
    for (int64_t o = 0; o < outputs; o += LANES) {
        __m256 g[LANES * WINOGRAD_TAPS];
        for (int k = 0; k < BLOCK; k++) {
            __m256 all[WINOGRAD_POSITIONS];
            for (int p = 0; p < WINOGRAD_POSITIONS; p++)
                all[p] = _mm256_loadu_ps(du + p * position + k * PANEL + o);
            winograd_weight_gradient(all, g + k * WINOGRAD_TAPS);
        }
        for (int t = 0; t < WINOGRAD_TAPS; t++) {
            __m256 *from = g + LANES * t;
            transpose8(from);
            for (int i = 0; i < LANES; i++) {
                float *to = dw + (o + i) * row + LANES * t;
                _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), from[i]));
            }
        }
    }
}

const winograd_kernels winograd_avx2 = {
    .rows = ROWS,
    .panel = PANEL,
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
