/* Elementwise loops over activations, one for each type, which the compiler vectorises. */
#include "model/nn/kernels/elementwise.h"

#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/cloned.h"

enum { BLOCK = 1 << 14 };

CLONED(void, add_f32, (const float *a, const float *b, float *y, int64_t n), (a, b, y, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

CLONED(void, add_bf16, (const bf16 *a, const bf16 *b, bf16 *y, int64_t n), (a, b, y, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = bf16_from_f32(bf16_to_f32(a[i]) + bf16_to_f32(b[i]));
}

void elementwise_add(tensor_type type, const void *a, const void *b, void *y, int64_t n) {
#pragma omp parallel for schedule(static) if (n > BLOCK)
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t count = n - i < BLOCK ? n - i : BLOCK;
        if (type == TYPE_BF16)
            add_bf16((const bf16 *)a + i, (const bf16 *)b + i, (bf16 *)y + i, count);
        else
            add_f32((const float *)a + i, (const float *)b + i, (float *)y + i, count);
    }
}

CLONED(void, mask_f32, (const float *x, const uint8_t *keep, float factor, float *y, int64_t n),
       (x, keep, factor, y, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * (keep[i] ? factor : 0.0f);
}

CLONED(void, mask_bf16, (const bf16 *x, const uint8_t *keep, float factor, bf16 *y, int64_t n),
       (x, keep, factor, y, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = bf16_from_f32(bf16_to_f32(x[i]) * (keep[i] ? factor : 0.0f));
}

void elementwise_mask(tensor_type type, const void *x, const uint8_t *keep, float factor, void *y,
                      int64_t n) {
    if (type == TYPE_BF16)
        mask_bf16(x, keep, factor, y, n);
    else
        mask_f32(x, keep, factor, y, n);
}

CLONED(void, four_f32,
       (const float *a, const float *b, const float *c, const float *d, float *restrict y,
        int64_t n),
       (a, b, c, d, y, n)) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i] + c[i] + d[i];
}

CLONED(void, four_bf16,
       (const bf16 *a, const bf16 *b, const bf16 *c, const bf16 *d, bf16 *restrict y, int64_t n),
       (a, b, c, d, y, n)) {
    for (int64_t i = 0; i < n; i++)
        y[i] = bf16_from_f32(bf16_to_f32(a[i]) + bf16_to_f32(b[i]) + bf16_to_f32(c[i]) +
                             bf16_to_f32(d[i]));
}

void elementwise_add_four(tensor_type type, const void *const from[4], void *y, int64_t n) {
    if (type == TYPE_BF16)
        four_bf16(from[0], from[1], from[2], from[3], y, n);
    else
        four_f32(from[0], from[1], from[2], from[3], y, n);
}

void elementwise_accumulate(tensor_type type, const void *x, float *sum, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += activation_read(type, x, i);
}

void elementwise_store(tensor_type type, const float *value, void *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) activation_write(type, x, i, value[i]);
}
