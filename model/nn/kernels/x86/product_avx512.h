/* The micro-kernel (small matrix product) of attention, Winograd's convolution and the bf16 weight
 * gradient with AVX512_BF16: sums of 8 rows by 32 columns in 16 registers.
 *
 * It broadcasts units of 32 bits of its left operand and multiplies them by vectors of units of its
 * right operand. In f32 a unit is one element. In bf16 it is a pair of elements that are neighbours
 * along the summed axis. So the same code serves both types.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_PRODUCT_AVX512_H
#define CTAUG_MODEL_NN_KERNELS_X86_PRODUCT_AVX512_H

#include "model/nn/kernels/x86/avx512.h"

enum { ROWS = 8, COLUMNS = 32 };

typedef uint32_t unit;

/* c + a b in each lane; in bf16 c + a.low b.low + a.high b.high. */
INLINE_AVX512_BF16 __m512 multiply_add(tensor_type type, unit a, __m512 b, __m512 c) {
    __m512i all = _mm512_set1_epi32((int)a);
    return type == TYPE_BF16 ? _mm512_dpbf16_ps(c, (__m512bh)all, (__m512bh)b)
                             : _mm512_fmadd_ps(_mm512_castsi512_ps(all), b, c);
}

/* The summed axis as `count` blocks of units; a_step and b_step: units from the beginning of one
 * block to that of the next in a and b. */
typedef struct sum_blocks {
    int64_t count, a_step, b_step;
} sum_blocks;

/* c [8, 32] = or (if add) += sum over blocks of k units of a [8, k] b [k, 32]. Strides: a_row and
 * c_row from one row to the next, a_step and b_step from one unit of the sum to the next. b and c
 * are 64-byte aligned. */
INLINE_AVX512_BF16 void micro_kernel_blocks(tensor_type type, const unit *block_a, int64_t a_row,
                                            int64_t a_step, const unit *block_b, int64_t b_step,
                                            int64_t k, sum_blocks blocks, bool add, float *c,
                                            int64_t c_row) {
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
    for (int64_t i = 0; i < blocks.count; i++) {
        const unit *a = block_a, *b = block_b;
        for (int64_t u = 0; u < k; u++, a += a_step, b += b_step) {
            __m512 low = _mm512_load_ps(b), high = _mm512_load_ps(b + LANES);
            ALL_ROWS(STEP)
        }
        block_a += blocks.a_step, block_b += blocks.b_step;
    }
    ALL_ROWS(END)
#undef ALL_ROWS
#undef BEGIN
#undef STEP
#undef END
}

/* The same with one block. */
INLINE_AVX512_BF16 void micro_kernel(tensor_type type, const unit *a, int64_t a_row, int64_t a_step,
                                     const unit *b, int64_t b_step, int64_t k, bool add, float *c,
                                     int64_t c_row) {
    micro_kernel_blocks(type, a, a_row, a_step, b, b_step, k, (sum_blocks){.count = 1}, add, c,
                        c_row);
}

#endif
