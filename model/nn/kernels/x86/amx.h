/* Matrix products of bf16 with AMX tiles (Sapphire Rapids and later), for conv_amx.c,
 * gradient_amx.c and attention_avx512.c: the target attribute, and how tiles are configured, loaded
 * and stored.
 *
 * Everything here runs only where cpu_has(CPU_AMX). A thread configures its tiles, uses them and
 * releases them (_tile_release()) before any other code on it may multiply.
 *
 * A tile register should be stored at least every 16 steps of four loads and four products, even if
 * its value is not needed: after longer sequences the next store stalls for about 1,000 cycles (see
 * tests/bench/README.md).
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_AMX_H
#define CTAUG_MODEL_NN_KERNELS_X86_AMX_H

#include "model/nn/kernels/x86/avx512.h"

#define TARGET_AMX                                                                                 \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,"  \
                          "fma")))
#define INLINE_AMX static inline __attribute__((always_inline)) TARGET_AMX

/* A tile has up to TILE rows of TILE units. A unit has 32 bits: an f32 sum or a pair of bf16. */
enum { TILE = 16, TILE_UNITS = TILE * TILE };

/* A compiler barrier. gcc's tile intrinsics do not declare that they read and write memory. */
#define TILES_SETTLED() __asm__ volatile("" ::: "memory")

/* Configures the eight tiles: rows[i] rows of 16 units, or 0 if tile i is not used. */
INLINE_AMX void tiles_begin(const uint8_t rows[8]) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all = {.palette = 1};
    for (int i = 0; i < 8; i++) all.rows[i] = rows[i], all.row_bytes[i] = rows[i] ? 4 * TILE : 0;
    TILES_SETTLED();
    _tile_loadconfig(&all);
    TILES_SETTLED();
}

/* Configures all eight tiles with 16 rows. */
INLINE_AMX void tiles_begin_full(void) {
    tiles_begin((const uint8_t[8]){TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE});
}

/* Tiles 0 to 3 = the sums of 32 x 32 outputs, or zero unless add is set. Each tile is dense; tiles
 * 0 and 1 lie at c, 2 and 3 at `below`. */
INLINE_AMX void tiles_load_sums(bool add, const float *c, const float *below) {
    const int64_t row_bytes = TILE * (int64_t)sizeof *c;
    if (add) {
        _tile_loadd(0, c, row_bytes);
        _tile_loadd(1, c + TILE_UNITS, row_bytes);
        _tile_loadd(2, below, row_bytes);
        _tile_loadd(3, below + TILE_UNITS, row_bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
}

/* The reverse: stores tiles 0 to 3. */
INLINE_AMX void tiles_store_sums(float *c, float *below) {
    const int64_t row_bytes = TILE * (int64_t)sizeof *c;
    _tile_stored(0, c, row_bytes);
    _tile_stored(1, c + TILE_UNITS, row_bytes);
    _tile_stored(2, below, row_bytes);
    _tile_stored(3, below + TILE_UNITS, row_bytes);
}

#endif
