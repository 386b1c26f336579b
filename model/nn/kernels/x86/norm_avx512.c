/* The inner loops of group normalisation (norm_loops.h) with AVX512_BF16, sixteen elements at a
 * time, for f32 and bf16 activations. Most of their time goes into SiLU: an exponential and a
 * division.
 */
#include "model/nn/kernels/x86/avx512.h"
#include "model/nn/kernels/norm_loops.h"

/* 1 + e^-u: u sigmoid(u) is u divided by it. */
INLINE_AVX512_BF16 __m512 sigmoid_divisor(tensor_type type, __m512 u) {
    __m512 e = exp2_of(type, _mm512_mul_ps(u, _mm512_set1_ps(-1.44269504f)));
    return _mm512_add_ps(_mm512_set1_ps(1), e);
}

/* d/du of u sigmoid(u) */
INLINE_AVX512_BF16 __m512 silu_slope(tensor_type type, __m512 u) {
    const __m512 one = _mm512_set1_ps(1);
    __m512 g = _mm512_div_ps(one, sigmoid_divisor(type, u));
    return _mm512_fmadd_ps(_mm512_mul_ps(u, g), _mm512_sub_ps(one, g), g);
}

/* Elements [i, i + 16) of an array of IEEE binary16; lanes and whole as in load16(). */
INLINE_AVX512_BF16 __m512 half_load(const void *x, int64_t i, bool whole, __mmask16 lanes) {
    const uint16_t *at = (const uint16_t *)x + i;
    return _mm512_cvtph_ps(whole ? _mm256_loadu_si256((const __m256i *)at)
                                 : _mm256_maskz_loadu_epi16(lanes, at));
}

INLINE_AVX512_BF16 void half_store(void *y, int64_t i, bool whole, __mmask16 lanes, __m512 value) {
    uint16_t *at = (uint16_t *)y + i;
    __m256i half = _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (whole)
        _mm256_storeu_si256((__m256i *)at, half);
    else
        _mm256_mask_storeu_epi16(at, lanes, half);
}

/* Iterates over the n elements of a block by runs of `width` elements (norm_loops.h), and over a
 * run by vectors: step(at, i, whole, lanes) with `at` the index in the block, i the index in the
 * run, and whole and lanes as in load16(). */
#define FOR_VECTORS(n, width, step)                                                                \
    for (int64_t start = 0; start < (n); start += (width)) {                                       \
        int64_t length = (n)-start < (width) ? (n)-start : (width), i = 0;                         \
        for (; i + LANES <= length; i += LANES) step(start + i, i, true, 0xffff);                  \
        if (i < length) step(start + i, i, false, first_lanes(length - i));                        \
    }

INLINE_AVX512_BF16 void deviations_of(tensor_type type, const void *x, int64_t n, int64_t width,
                                      const float *pivot, float *sum, float *squares) {
#define STEP(at, i, whole, lanes)                                                                  \
    do {                                                                                           \
        __m512 d = _mm512_sub_ps(load16(type, x, at, whole, lanes), _mm512_load_ps(pivot + (i)));  \
        if (!(whole)) d = _mm512_maskz_mov_ps(lanes, d);                                           \
        _mm512_store_ps(sum + (i), _mm512_add_ps(_mm512_load_ps(sum + (i)), d));                   \
        _mm512_store_ps(squares + (i), _mm512_fmadd_ps(d, d, _mm512_load_ps(squares + (i))));      \
    } while (0)
    FOR_VECTORS(n, width, STEP)
#undef STEP
}

TARGET_AVX512_BF16 static void deviations(tensor_type type, const void *x, int64_t n, int64_t width,
                                          const float *pivot, float *sum, float *squares) {
    if (type == TYPE_BF16)
        deviations_of(TYPE_BF16, x, n, width, pivot, sum, squares);
    else
        deviations_of(TYPE_F32, x, n, width, pivot, sum, squares);
}

INLINE_AVX512_BF16 void apply_of(tensor_type type, bool silu, const norm_rows *r, const void *x,
                                 int64_t n, void *y) {
    const float *mean = r->mean, *slope = r->slope, *offset = r->offset;
#define STEP(at, i, whole, lanes)                                                                  \
    do {                                                                                           \
        __m512 d = _mm512_sub_ps(load16(type, x, at, whole, lanes), _mm512_load_ps(mean + (i)));   \
        __m512 u = _mm512_fmadd_ps(d, _mm512_load_ps(slope + (i)), _mm512_load_ps(offset + (i)));  \
        if (silu) u = _mm512_div_ps(u, sigmoid_divisor(type, u));                                  \
        store16(type, y, at, whole, lanes, u);                                                     \
    } while (0)
    FOR_VECTORS(n, r->width, STEP)
#undef STEP
}

TARGET_AVX512_BF16 static void apply(const norm_rows *r, const void *x, int64_t n, void *y) {
    if (r->type == TYPE_BF16 && r->silu)
        apply_of(TYPE_BF16, true, r, x, n, y);
    else if (r->type == TYPE_BF16)
        apply_of(TYPE_BF16, false, r, x, n, y);
    else if (r->silu)
        apply_of(TYPE_F32, true, r, x, n, y);
    else
        apply_of(TYPE_F32, false, r, x, n, y);
}

/* With bf16 activations the slope of SiLU, between -0.1 and 1.1, is kept as binary16 (relative
 * error 2^-12) for finish(). With f32 activations it is recomputed there, which takes as long as
 * writing and reading 4 bytes per element. */
INLINE_AVX512_BF16 void gradients_of(tensor_type type, bool silu, const norm_rows *r, const void *x,
                                     const void *dy, int64_t n, float *sum, float *sum_x,
                                     void *kept) {
    const float *mean = r->mean, *slope = r->slope, *offset = r->offset;
#define STEP(at, i, whole, lanes)                                                                  \
    do {                                                                                           \
        __m512 d = _mm512_sub_ps(load16(type, x, at, whole, lanes), _mm512_load_ps(mean + (i)));   \
        __m512 du = load16(type, dy, at, whole, lanes);                                            \
        __m512 u = _mm512_fmadd_ps(d, _mm512_load_ps(slope + (i)), _mm512_load_ps(offset + (i)));  \
        __m512 g = silu ? silu_slope(type, u) : u;                                                 \
        if (silu) du = _mm512_mul_ps(du, g);                                                       \
        if (silu && type == TYPE_BF16) half_store(kept, at, whole, lanes, g);                      \
        _mm512_store_ps(sum + (i), _mm512_add_ps(_mm512_load_ps(sum + (i)), du));                  \
        _mm512_store_ps(sum_x + (i), _mm512_fmadd_ps(du, d, _mm512_load_ps(sum_x + (i))));         \
    } while (0)
    FOR_VECTORS(n, r->width, STEP)
#undef STEP
}

TARGET_AVX512_BF16 static void gradients(const norm_rows *r, const void *x, const void *dy,
                                         int64_t n, float *sum, float *sum_x, void *kept) {
    if (r->type == TYPE_BF16 && r->silu)
        gradients_of(TYPE_BF16, true, r, x, dy, n, sum, sum_x, kept);
    else if (r->type == TYPE_BF16)
        gradients_of(TYPE_BF16, false, r, x, dy, n, sum, sum_x, kept);
    else if (r->silu)
        gradients_of(TYPE_F32, true, r, x, dy, n, sum, sum_x, kept);
    else
        gradients_of(TYPE_F32, false, r, x, dy, n, sum, sum_x, kept);
}

INLINE_AVX512_BF16 void finish_of(tensor_type type, bool silu, bool add, const norm_rows *r,
                                  const void *x, const void *dy, const void *kept, int64_t n,
                                  void *dx) {
    const float *mean = r->mean, *slope = r->slope, *offset = r->offset;
    const float *same = r->same, *spread = r->spread;
#define STEP(at, i, whole, lanes)                                                                  \
    do {                                                                                           \
        __m512 d = _mm512_sub_ps(load16(type, x, at, whole, lanes), _mm512_load_ps(mean + (i)));   \
        __m512 du = load16(type, dy, at, whole, lanes), s = _mm512_load_ps(slope + (i));           \
        __m512 u = _mm512_fmadd_ps(d, s, _mm512_load_ps(offset + (i)));                            \
        if (silu && type == TYPE_BF16)                                                             \
            du = _mm512_mul_ps(du, half_load(kept, at, whole, lanes));                             \
        else if (silu)                                                                             \
            du = _mm512_mul_ps(du, silu_slope(type, u));                                           \
        __m512 sent = _mm512_fmsub_ps(s, du, _mm512_load_ps(same + (i)));                          \
        sent = _mm512_fnmadd_ps(d, _mm512_load_ps(spread + (i)), sent);                            \
        if (add) sent = _mm512_add_ps(sent, load16(type, dx, at, whole, lanes));                   \
        store16(type, dx, at, whole, lanes, sent);                                                 \
    } while (0)
    FOR_VECTORS(n, r->width, STEP)
#undef STEP
}

INLINE_AVX512_BF16 void finish_in(tensor_type type, const norm_rows *r, bool add, const void *x,
                                  const void *dy, const void *kept, int64_t n, void *dx) {
    if (r->silu && add)
        finish_of(type, true, true, r, x, dy, kept, n, dx);
    else if (r->silu)
        finish_of(type, true, false, r, x, dy, kept, n, dx);
    else if (add)
        finish_of(type, false, true, r, x, dy, kept, n, dx);
    else
        finish_of(type, false, false, r, x, dy, kept, n, dx);
}

TARGET_AVX512_BF16 static void finish(const norm_rows *r, bool add, const void *x, const void *dy,
                                      const void *kept, int64_t n, void *dx) {
    if (r->type == TYPE_BF16)
        finish_in(TYPE_BF16, r, add, x, dy, kept, n, dx);
    else
        finish_in(TYPE_F32, r, add, x, dy, kept, n, dx);
}

const norm_loops norm_loops_avx512 = {deviations, apply, {0, sizeof(uint16_t)}, gradients, finish};
