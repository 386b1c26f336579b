/* Elementary functions without branches, for loops that the compiler vectorises. */
#ifndef CTAUG_MODEL_NN_KERNELS_VECTOR_MATH_H
#define CTAUG_MODEL_NN_KERNELS_VECTOR_MATH_H

#include <stdint.h>
#include <string.h>

/* The bounds of fast_exp()'s argument. Defined in a file of its own: if gcc knew the values, it
 * would treat the clamped cases as branches and mask every instruction, which is slower. */
extern const float fast_exp_ends[2];

/* e^x with an error of at most 1.01 units in the last place on [-87.3, 88.3]; outside, the value at
 * the nearer end; NaN stays NaN. x = n ln 2 + r (Cody & Waite 1980, chapter 6); e^r = 1 + r + r^2
 * q(r) with the minimax polynomial q (relative error) for |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds
 * to an integer and leaves it in the low bits, where it becomes the exponent of 2^n. */
static inline float fast_exp(float x) {
    const float shift = 12582912.0f;
    x = x < fast_exp_ends[0] ? fast_exp_ends[0] : x;
    x = x > fast_exp_ends[1] ? fast_exp_ends[1] : x;
    float rounded = x * 0x1.715476p+0f + shift;
    float n = rounded - shift;
    float r = x - n * 0x1.62e400p-1f; /* ln 2 in two parts; n times the first is exact */
    r -= n * 0x1.7f7d1cp-20f;
    float q = 0.00138145394f;
    q = q * r + 0.00836874545f;
    q = q * r + 0.041668389f;
    q = q * r + 0.166665211f;
    q = q * r + 0.49999994f;
    float p = r * r * q + r + 1.0f;
    uint32_t bits;
    float power;
    memcpy(&bits, &rounded, sizeof bits);
    bits = (bits - 0x4b400000u + 127u) << 23;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

#endif
