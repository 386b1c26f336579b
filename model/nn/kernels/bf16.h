/* bf16, the upper half of an f32: 8 bits of exponent, 8 of significand (7 stored).
 *
 * bf16 is a storage type; arithmetic is f32. The conversions have no branches, so that the compiler
 * can vectorise loops with them.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_BF16_H
#define CTAUG_MODEL_NN_KERNELS_BF16_H

#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline float bf16_to_f32(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* Rounds to nearest, ties to even; NaN becomes a quiet NaN. */
static inline bf16 bf16_from_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40u;
    return (bf16)(x != x ? quiet : rounded);
}

/* y[i] = x[i], rounded. */
void bf16_round(const float *x, bf16 *y, int64_t n);

/* to[i] = the pair (from[i * step], from[i * step + next]) rounded to bf16, the first in the lower
 * half. */
void bf16_pack_pairs(const float *from, int64_t step, int64_t next, uint32_t *to, int64_t n);

#endif
