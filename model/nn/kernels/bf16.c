/* Rounding of arrays to bf16. */
#include "model/nn/kernels/bf16.h"

#include "model/nn/kernels/cloned.h"

enum { BLOCK = 1 << 14 };

CLONED(void, round_block, (const float *restrict x, bf16 *restrict y, int64_t n), (x, y, n)) {
    for (int64_t i = 0; i < n; i++) y[i] = bf16_from_f32(x[i]);
}

void bf16_round(const float *x, bf16 *y, int64_t n) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i += BLOCK) round_block(x + i, y + i, n - i < BLOCK ? n - i : BLOCK);
}

CLONED(void, pack_pairs,
       (const float *from, int64_t step, int64_t next, uint32_t *restrict to, int64_t n),
       (from, step, next, to, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = (uint32_t)bf16_from_f32(from[i * step]) |
                (uint32_t)bf16_from_f32(from[i * step + next]) << 16;
}

void bf16_pack_pairs(const float *from, int64_t step, int64_t next, uint32_t *to, int64_t n) {
    pack_pairs(from, step, next, to, n);
}
