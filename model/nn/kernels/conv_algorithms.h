/* Our own convolution algorithms, which the oneDNN engine (engine_onednn.c) uses instead of the
 * library where they are faster. Private to that engine.
 *
 * Functions have no state except their arguments. Activations and shapes are those of kernels.h.
 * Packed weights and scratch are 64-byte aligned. Scratch is sized for the number of OpenMP threads
 * at the time of the query. The order of the sums of forward and backward_data depends on the shape
 * alone, that of weight gradients on the shape and the number of threads. Local.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_CONV_ALGORITHMS_H
#define CTAUG_MODEL_NN_KERNELS_CONV_ALGORITHMS_H

#include "model/nn/kernels.h"

/* Forward and backward by data. */
typedef struct conv_algorithm {
    /* Whether the algorithm can run this convolution on this processor. */
    bool (*supports)(const conv_shape *s);
    /* Bytes of packed weights and of scratch; training: scratch also suffices for backward_data. */
    int64_t (*packed)(const conv_shape *s);
    int64_t (*scratch)(const conv_shape *s, bool training);
    /* Lays out weight [out, in, k, k] for forward. */
    void (*pack)(const conv_shape *s, const float *weight, void *packed);
    /* y = x * w + bias (may be NULL). */
    void (*forward)(const conv_shape *s, const void *packed, const void *x, const float *bias,
                    void *y, void *scratch);
    /* dx from dy (overwrites): the convolution of dy with the flipped kernel, input and output
     * channels exchanged. The flipped kernel is repacked into scratch on each call, which takes
     * little time; keeping a second packed copy would take much memory. */
    void (*backward_data)(const conv_shape *s, const float *weight, const void *dy, void *dx,
                          void *scratch);
} conv_algorithm;

/* 3x3 with stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin & Gray 2016, section 4.1):
 * 16 instead of 36 multiplications per 2x2 output pixels and pair of channels; winograd.c. */
extern const conv_algorithm conv_winograd;
/* Stride 1, bf16 activations, with AMX tiles; conv_amx.c. */
extern const conv_algorithm conv_amx;

/* Backward by weights. */
typedef struct weight_gradient_algorithm {
    /* Whether the algorithm can run this convolution on this processor. */
    bool (*supports)(const conv_shape *s);
    /* Bytes. */
    int64_t (*scratch)(const conv_shape *s);
    /* dw [out, in, k, k] and db [out] (may be NULL) are added to. */
    void (*add)(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                void *scratch);
} weight_gradient_algorithm;

extern const weight_gradient_algorithm weight_gradient_winograd; /* as conv_winograd */
/* Stride 1, bf16 activations. Sums are f32; those of dy (for db) are f32 within a chunk of pixels
 * and f64 across chunks. */
extern const weight_gradient_algorithm weight_gradient_amx;    /* AMX tiles; gradient_amx.c */
extern const weight_gradient_algorithm weight_gradient_avx512; /* 3x3; gradient_avx512.c */

#endif
