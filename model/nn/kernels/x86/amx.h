/* Products of bf16 in tiles (AMX: Sapphire Rapids and later), for conv_amx.c, gradient_amx.c and
 * attention_avx512.c: what their functions are marked with, and how tiles are opened.
 *
 * Everything here runs only where cpu_has(CPU_AMX). A thread opens tiles, uses them and releases
 * them (_tile_release()) before anybody else multiplies on it.
 *
 * A tile should be stored at least every hundred products, wanted or not. Measured on a Granite
 * Rapids with four loads and four products a step: after 28 steps without a store the next one
 * takes 1,000 cycles instead of 20, as long as 16 steps. Sums of 36 steps were made at 2.6 TFLOP/s
 * a core, and at 3.6 with a store thrown in.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_AMX_H
#define CTAUG_MODEL_NN_KERNELS_X86_AMX_H

#include "model/nn/kernels/x86/avx512.h"

#define TILED                                                                                      \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,"  \
                          "fma")))

enum { TILE = 16 }; /* units of 32 bits in a row of a tile, and its most rows */

/* gcc's intrinsics for tiles do not say that they read and write memory. */
#define TILES_SETTLED() __asm__ volatile("" ::: "memory")

/* Eight tiles with so many rows of 16 units; zero: none. */
TILED static inline void tiles_begin(const uint8_t rows[8]) {
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

#endif
