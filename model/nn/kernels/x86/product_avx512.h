/* The small product under attention and Winograd's convolutions on processors that know bf16: 8
 * rows by 32 columns in 16 registers.
 *
 * It broadcasts "units" of 32 bits of its left operand and multiplies them with vectors of units of
 * its right one. In f32 a unit is a number, in bf16 a pair of numbers that are neighbours along the
 * axis summed over, so the same code serves both.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_PRODUCT_AVX512_H
#define CTAUG_MODEL_NN_KERNELS_X86_PRODUCT_AVX512_H

#include "model/nn/kernels/x86/avx512.h"

enum { ROWS = 8, COLUMNS = 32 };

typedef uint32_t unit;

NATIVE_INLINE __m512 multiply_add(tensor_type type, unit a, __m512 b, __m512 c) {
    __m512i all = _mm512_set1_epi32((int)a);
    return type == TYPE_BF16 ? _mm512_dpbf16_ps(c, (__m512bh)all, (__m512bh)b)
                             : _mm512_fmadd_ps(_mm512_castsi512_ps(all), b, c);
}

/* Pieces of a sum, and how far one begins after the other in a and b. */
typedef struct runs {
    int64_t count, a, b;
} runs;

/* c [8, 32] = or += sum over runs of k units of a [8, k] b [k, 32]; a_row, a_step, b_step, c_row:
 * from one row and from one unit of the sum to the next. b and c lie at whole vectors. */
NATIVE_INLINE void product_of_runs(tensor_type type, const unit *run_a, int64_t a_row,
                                   int64_t a_step, const unit *run_b, int64_t b_step, int64_t k,
                                   runs each, bool add, float *c, int64_t c_row) {
#define ALL_ROWS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define BEGIN(r)                                                                                   \
    __m512 l##r = add ? _mm512_load_ps(c + (r)*c_row) : _mm512_setzero_ps();                       \
    __m512 h##r = add ? _mm512_load_ps(c + (r)*c_row + LANES) : _mm512_setzero_ps();
#define STEP(r)                                                                                    \
    l##r = multiply_add(type, a[(r)*a_row], low, l##r);                                            \
    h##r = multiply_add(type, a[(r)*a_row], high, h##r);
#define END(r)                                                                                     \
    _mm512_store_ps(c + (r)*c_row, l##r);                                                          \
    _mm512_store_ps(c + (r)*c_row + LANES, h##r);
    ALL_ROWS(BEGIN)
    for (int64_t run = 0; run < each.count; run++, run_a += each.a, run_b += each.b) {
        const unit *a = run_a, *b = run_b;
        for (int64_t i = 0; i < k; i++, a += a_step, b += b_step) {
            __m512 low = _mm512_load_ps(b), high = _mm512_load_ps(b + LANES);
            ALL_ROWS(STEP)
        }
    }
    ALL_ROWS(END)
#undef ALL_ROWS
#undef BEGIN
#undef STEP
#undef END
}

/* The same of one run. */
NATIVE_INLINE void product_of(tensor_type type, const unit *a, int64_t a_row, int64_t a_step,
                              const unit *b, int64_t b_step, int64_t k, bool add, float *c,
                              int64_t c_row) {
    product_of_runs(type, a, a_row, a_step, b, b_step, k, (runs){.count = 1}, add, c, c_row);
}

#endif
