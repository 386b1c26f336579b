/* Loads, stores, transposes and exponentials of vectors of sixteen f32 with AVX512_BF16 (Cooper
 * Lake, Sapphire Rapids, Zen 4 and later), for the files that end in _avx512.c and _amx.c.
 *
 * Functions with the TARGET_AVX512_BF16 attribute run only where cpu_has(CPU_AVX512_BF16). The
 * instructions that round to bf16 and multiply bf16 treat subnormal numbers (below 2^-126) as zero.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_AVX512_H
#define CTAUG_MODEL_NN_KERNELS_X86_AVX512_H

#include "model/nn/tensor.h"

#include <immintrin.h>
#include <stdbool.h>

#define TARGET_AVX512_BF16                                                                         \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")))
#define INLINE_AVX512_BF16 static inline __attribute__((always_inline)) TARGET_AVX512_BF16

enum { LANES = 16 };

/* A mask of the first min(n, 16) lanes, n >= 0. */
INLINE_AVX512_BF16 __mmask16 first_lanes(int64_t n) {
    return (__mmask16)(n >= LANES ? 0xffff : (1u << n) - 1);
}

/* Elements [i, i + 16) of activations. Lanes outside the mask are zero, and their memory is not
 * accessed. whole: all lanes; the mask is ignored. */
INLINE_AVX512_BF16 __m512 load16(tensor_type type, const void *x, int64_t i, bool whole,
                                 __mmask16 lanes) {
    if (type == TYPE_BF16) {
        const uint16_t *at = (const uint16_t *)x + i;
        __m256i half =
            whole ? _mm256_loadu_si256((const __m256i *)at) : _mm256_maskz_loadu_epi16(lanes, at);
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    const float *at = (const float *)x + i;
    return whole ? _mm512_loadu_ps(at) : _mm512_maskz_loadu_ps(lanes, at);
}

/* Elements [i, i + 16) of activations = value, rounded; lanes and whole as in load16(). */
INLINE_AVX512_BF16 void store16(tensor_type type, void *y, int64_t i, bool whole, __mmask16 lanes,
                                __m512 value) {
    if (type == TYPE_BF16) {
        uint16_t *at = (uint16_t *)y + i;
        __m256i half = (__m256i)_mm512_cvtneps_pbh(value);
        if (whole)
            _mm256_storeu_si256((__m256i *)at, half);
        else
            _mm256_mask_storeu_epi16(at, lanes, half);
    } else {
        float *at = (float *)y + i;
        if (whole)
            _mm512_storeu_ps(at, value);
        else
            _mm512_mask_storeu_ps(at, lanes, value);
    }
}

/* Interleaves the 16-bit elements of the lower half with those of the upper half: the result holds
 * element i of the lower half, then element i of the upper half. */
INLINE_AVX512_BF16 __m512i interleave_halves(__m512i both) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, both);
}

/* 16 units of 32 bits: element i of a in the lower, of b in the upper half of unit i. */
INLINE_AVX512_BF16 __m512i interleave16(__m256i a, __m256i b) {
    return interleave_halves(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
}

/* Transposes the 16 x 16 matrix with rows r. */
INLINE_AVX512_BF16 void transpose16(__m512 r[16]) {
    __m512 t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int k = 0; k < 2; k++) {
            __m512d a = _mm512_castps_pd(t[i + k]), b = _mm512_castps_pd(t[i + k + 2]);
            u[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            u[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    /* Quarter q of u[4 j + c] is column 4 q + c of rows 4 j to 4 j + 3. */
    for (int c = 0; c < 4; c++) {
        __m512 a = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x44);
        __m512 b = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xee);
        __m512 d = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x44);
        __m512 e = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xee);
        r[c] = _mm512_shuffle_f32x4(a, d, 0x88);
        r[4 + c] = _mm512_shuffle_f32x4(a, d, 0xdd);
        r[8 + c] = _mm512_shuffle_f32x4(b, e, 0x88);
        r[12 + c] = _mm512_shuffle_f32x4(b, e, 0xdd);
    }
}

/* 2^x; overflows to infinity and underflows to 0, NaN stays NaN. 2^x = 2^n 2^f with n the nearest
 * integer and a minimax polynomial in f on [-1/2, 1/2]. Its maximum relative error is 2^-22.6 for
 * f32, in addition to the effect of rounding x itself, and 2^-13.7 for bf16, whose callers round
 * the result. */
INLINE_AVX512_BF16 __m512 exp2_of(tensor_type type, __m512 x) {
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(x, n), p;
    if (type == TYPE_BF16) {
        p = _mm512_set1_ps(0.05517167f);
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24261113f));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69326097f));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99992806f));
    } else {
        p = _mm512_set1_ps(0.0013276472f);
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.009675541f));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.05550713f));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2402212f));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69314694f));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0000001f));
    }
    return _mm512_scalef_ps(p, n);
}

#endif
