/* Rounding whole arrays to bf16. */
#include "model/nn/bf16.h"

#include "model/nn/kernels_fast.h"

enum { BLOCK = 1 << 14 };

CLONES static void round_block(const float *restrict x, bf16 *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = bf16_from_f32(x[i]);
}

void bf16_round(const float *x, bf16 *y, int64_t n) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i += BLOCK) round_block(x + i, y + i, n - i < BLOCK ? n - i : BLOCK);
}
