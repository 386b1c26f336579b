/* Tiles, small products and weights of Winograd's convolution, eight numbers at a time; bf16 is
 * computed with in f32. */
#include "model/nn/kernels/x86/avx2.h"
#include "model/nn/kernels/winograd_kernels.h"

enum { ROWS = 6, PANEL = 16, BLOCK = 8 };

#define ADD _mm256_add_ps
#define SUB _mm256_sub_ps

/* B^T applied to four numbers `step` apart. */
AVX2_INLINE void to_positions(__m256 *d, int step) {
    __m256 a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    d[0] = SUB(a, c), d[step] = ADD(b, c), d[2 * step] = SUB(c, b), d[3 * step] = SUB(b, e);
}

AVX2_INLINE void input_of(tensor_type type, bool rounded, const void *const pixel[],
                          int64_t channels, float *v, int64_t position) {
    for (int64_t c = 0; c < channels; c += 8) {
        __m256 d[16];
        for (int i = 0; i < 16; i++) d[i] = load8(type, rounded, pixel[i], c);
        for (int i = 0; i < 4; i++) to_positions(d + i, 4);
        for (int i = 0; i < 4; i++) to_positions(d + 4 * i, 1);
        for (int i = 0; i < 16; i++) _mm256_storeu_ps(v + i * position + c, d[i]);
    }
}

AVX2 static void input(winograd_type of, const void *const pixel[], int64_t channels, float *v,
                       int64_t position) {
    WINOGRAD_OF_TYPE(input_of, of, pixel, channels, v, position);
}

AVX2_INLINE void output_of(tensor_type type, const float *m, int64_t position, const float *bias,
                           int64_t first, void *const pixel[4]) {
    __m256 rows[2][4], add = _mm256_loadu_ps(bias);
    for (int j = 0; j < 4; j++) {
        __m256 a = _mm256_loadu_ps(m + j * position), b = _mm256_loadu_ps(m + (4 + j) * position);
        __m256 c = _mm256_loadu_ps(m + (8 + j) * position);
        __m256 d = _mm256_loadu_ps(m + (12 + j) * position);
        rows[0][j] = ADD(a, ADD(b, c));
        rows[1][j] = SUB(SUB(b, c), d);
    }
    for (int i = 0; i < 2; i++) {
        __m256 *r = rows[i];
        store8(type, pixel[2 * i], first, ADD(add, ADD(r[0], ADD(r[1], r[2]))));
        store8(type, pixel[2 * i + 1], first, ADD(add, SUB(SUB(r[1], r[2]), r[3])));
    }
}

AVX2 static void output(tensor_type type, const float *m, int64_t position, const float *bias,
                        int64_t first, int64_t count, void *const pixel[4]) {
    for (int64_t c = 0; c < count; c += 8)
        if (type == TYPE_BF16)
            output_of(TYPE_BF16, m + c, position, bias + c, first + c, pixel);
        else
            output_of(TYPE_F32, m + c, position, bias + c, first + c, pixel);
}

/* A applied to two numbers. */
AVX2_INLINE void from_pair(__m256 a, __m256 b, __m256 out[4]) {
    out[0] = a, out[1] = ADD(a, b), out[2] = SUB(a, b), out[3] = SUB(_mm256_setzero_ps(), b);
}

AVX2_INLINE void spread_of(tensor_type type, bool rounded, const void *const pixel[],
                           int64_t channels, float *d, int64_t position, int64_t panel,
                           float *sum) {
    for (int64_t c = 0; c < channels; c += 8) {
        float *to = d + c / PANEL * panel + c % PANEL;
        __m256 s[4][4], left[4], right[4];
        from_pair(load8(type, rounded, pixel[0], c), load8(type, rounded, pixel[2], c), left);
        from_pair(load8(type, rounded, pixel[1], c), load8(type, rounded, pixel[3], c), right);
        for (int i = 0; i < 4; i++) from_pair(left[i], right[i], s[i]);
        for (int p = 0; p < WINOGRAD_POSITIONS; p++)
            _mm256_storeu_ps(to + p * position, s[p / 4][p % 4]);
        _mm256_storeu_ps(sum + c, s[1][1]);
    }
    if (channels % PANEL != 0)
        for (int p = 0; p < WINOGRAD_POSITIONS; p++)
            _mm256_storeu_ps(d + p * position + channels / PANEL * panel + 8, _mm256_setzero_ps());
}

AVX2 static void gradient_output(winograd_type of, const void *const pixel[], int64_t channels,
                                 float *d, int64_t position, int64_t panel, float *sum) {
    WINOGRAD_OF_TYPE(spread_of, of, pixel, channels, d, position, panel, sum);
}

/* Number k of row r is a[r * row + k * step]. Twelve sums, two numbers of b and one of a fill the
 * sixteen registers. Each sum has a name: gcc keeps an array of them in memory as well. */
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

AVX2_INLINE void product_of(const float *a, int64_t row, int64_t step, const float *b,
                            int64_t count, bool add, float *c) {
    const float *low = a, *high = a + 3 * row;
    EACH_ROW(BEGIN)
    for (int64_t k = 0; k < count; k++, low += step, high += step, b += PANEL) {
        __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8), from;
        EACH_ROW(STEP)
    }
    EACH_ROW(END)
}

AVX2 static void multiply(const float *a, int64_t row, const float *b, int64_t count, float *c) {
    product_of(a, row, 1, b, count, false, c);
}

AVX2 static void correlate(const float *a, int64_t row, const float *b, int64_t count, bool add,
                           float *c) {
    if (add)
        product_of(a, 1, row, b, count, true, c);
    else
        product_of(a, 1, row, b, count, false, c);
}

/* G applied to three numbers. */
AVX2_INLINE void from_taps(__m256 a, __m256 b, __m256 c, __m256 out[4]) {
    const __m256 half = _mm256_set1_ps(0.5f);
    __m256 ends = _mm256_mul_ps(half, ADD(a, c)), middle = _mm256_mul_ps(half, b);
    out[0] = a, out[1] = ADD(ends, middle), out[2] = SUB(ends, middle), out[3] = c;
}

/* u of 8 outputs and one input, from its taps. */
AVX2_INLINE void weights_of(const __m256 g[WINOGRAD_TAPS], float *u, int64_t position) {
    __m256 column[3][4], out[4];
    for (int j = 0; j < 3; j++) from_taps(g[j], g[3 + j], g[6 + j], column[j]);
    for (int i = 0; i < 4; i++) {
        from_taps(column[0][i], column[1][i], column[2][i], out);
        for (int j = 0; j < 4; j++) _mm256_storeu_ps(u + (4 * i + j) * position, out[j]);
    }
}

/* 8 outputs times 72 numbers (8 inputs, 9 taps) to 72 vectors of outputs. */
AVX2 static void weights(bool rounded, const float *weight, int64_t row, int64_t inputs,
                         int64_t outputs, float *u, int64_t position) {
    (void)inputs; /* channels are whole blocks */
    for (int64_t o = 0; o < PANEL; o += 8) {
        __m256 g[8 * WINOGRAD_TAPS];
        for (int t = 0; t < WINOGRAD_TAPS; t++) {
            __m256 *to = g + 8 * t;
            for (int i = 0; i < 8; i++)
                to[i] = o < outputs ? load8(TYPE_F32, rounded, weight + (o + i) * row, 8 * t)
                                    : _mm256_setzero_ps();
            transpose8(to);
        }
        for (int k = 0; k < 8; k++) weights_of(g + k * WINOGRAD_TAPS, u + k * PANEL + o, position);
    }
}

/* Turning the kernel by 180 degrees exchanges the first and the last row and column of U. */
AVX2 static void turn(const float *u, int64_t position, int64_t inputs, int64_t outputs,
                      float *turned, int64_t turned_position) {
    (void)inputs, (void)outputs;
    const int with[] = {3, 1, 2, 0};
    for (int p = 0; p < WINOGRAD_POSITIONS; p++) {
        __m256 r[8];
        for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(u + p * position + i * PANEL);
        transpose8(r);
        float *to = turned + (4 * with[p / 4] + with[p % 4]) * turned_position;
        for (int i = 0; i < 8; i++) _mm256_storeu_ps(to + i * PANEL, r[i]);
    }
}

/* G^T applied to four numbers. */
AVX2_INLINE void to_taps(__m256 a, __m256 b, __m256 c, __m256 d, __m256 out[3]) {
    const __m256 half = _mm256_set1_ps(0.5f);
    __m256 sum = _mm256_mul_ps(half, ADD(b, c)), difference = _mm256_mul_ps(half, SUB(b, c));
    out[0] = ADD(a, sum), out[1] = difference, out[2] = ADD(sum, d);
}

AVX2_INLINE void gradient_of(const float *du, int64_t position, __m256 g[WINOGRAD_TAPS]) {
    __m256 column[4][3], out[3];
    for (int j = 0; j < 4; j++) {
        __m256 m[4];
        for (int i = 0; i < 4; i++) m[i] = _mm256_loadu_ps(du + (4 * i + j) * position);
        to_taps(m[0], m[1], m[2], m[3], column[j]);
    }
    for (int i = 0; i < 3; i++) {
        to_taps(column[0][i], column[1][i], column[2][i], column[3][i], out);
        for (int j = 0; j < 3; j++) g[3 * i + j] = out[j];
    }
}

AVX2 static void gradient(const float *du, int64_t position, int64_t row, int64_t inputs,
                          int64_t outputs, float *dw) {
    (void)inputs;
    for (int64_t o = 0; o < outputs; o += 8) {
        __m256 g[8 * WINOGRAD_TAPS];
        for (int k = 0; k < 8; k++)
            gradient_of(du + k * PANEL + o, position, g + k * WINOGRAD_TAPS);
        for (int t = 0; t < WINOGRAD_TAPS; t++) {
            __m256 *from = g + 8 * t;
            transpose8(from);
            for (int i = 0; i < 8; i++) {
                float *to = dw + (o + i) * row + 8 * t;
                _mm256_storeu_ps(to, ADD(_mm256_loadu_ps(to), from[i]));
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
    .turn = turn,
    .gradient = gradient,
};
