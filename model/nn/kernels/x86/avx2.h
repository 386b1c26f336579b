/* Loads, stores and transposes of vectors of eight f32 with AVX2 and FMA, for winograd_avx2.c.
 * Functions with the TARGET_AVX2 attribute run only where cpu_has(CPU_AVX2). */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_AVX2_H
#define CTAUG_MODEL_NN_KERNELS_X86_AVX2_H

#include "model/nn/tensor.h"

#include <immintrin.h>
#include <stdbool.h>

#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#define INLINE_AVX2 static inline __attribute__((always_inline)) TARGET_AVX2

/* Rounds to bf16, to nearest even, as bf16_from_f32() (bf16.h); NaN stays NaN. The result is in the
 * upper half of each lane, the lower half is zero. */
INLINE_AVX2 __m256i bf16_bits8(__m256 x) {
    __m256i bits = _mm256_castps_si256(x), upper = _mm256_set1_epi32((int)0xffff0000);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_and_si256(_mm256_blendv_epi8(up, quiet, nan), upper);
}

/* Elements [i, i + 8) of activations; rounded: f32 elements rounded to bf16. */
INLINE_AVX2 __m256 load8(tensor_type type, bool rounded, const void *x, int64_t i) {
    if (type == TYPE_BF16) {
        __m128i half = _mm_loadu_si128((const __m128i *)((const uint16_t *)x + i));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
    __m256 v = _mm256_loadu_ps((const float *)x + i);
    return rounded ? _mm256_castsi256_ps(bf16_bits8(v)) : v;
}

/* Elements [i, i + 8) of activations = v, rounded to the type. */
INLINE_AVX2 void store8(tensor_type type, void *y, int64_t i, __m256 v) {
    if (type == TYPE_BF16) {
        __m256i bits = _mm256_srli_epi32(bf16_bits8(v), 16);
        __m128i half =
            _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
        _mm_storeu_si128((__m128i *)((uint16_t *)y + i), half);
    } else {
        _mm256_storeu_ps((float *)y + i, v);
    }
}

/* Transposes the 8 x 8 matrix with rows r. */
INLINE_AVX2 void transpose8(__m256 r[8]) {
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; k++) {
            u[i + 2 * k] = _mm256_shuffle_ps(t[i + k], t[i + k + 2], 0x44);
            u[i + 2 * k + 1] = _mm256_shuffle_ps(t[i + k], t[i + k + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

#endif
