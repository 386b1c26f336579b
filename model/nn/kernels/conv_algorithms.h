/* Ways of our own to convolve, beside the library's. Private to the oneDNN engine (kernels_dnnl.c).
 *
 * Functions have no state but what is handed in; maps and shapes are those of kernels.h, packed and
 * scratch lie at multiples of 64 bytes, scratch is for as many threads as there are at the time of
 * asking. Sums of forward and backward by data have an order that follows from the shape, those of
 * weight gradients one that follows from the shape and the number of threads. Local.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_CONV_ALGORITHMS_H
#define CTAUG_MODEL_NN_KERNELS_CONV_ALGORITHMS_H

#include "model/nn/kernels.h"

/* Forward and backward by data. */
typedef struct conv_algorithm {
    /* Whether it can be gone for this convolution on this processor. */
    bool (*takes)(const conv_shape *s);
    /* Bytes. */
    int64_t (*packed)(const conv_shape *s);
    int64_t (*scratch)(const conv_shape *s, bool training);
    void (*pack)(const conv_shape *s, const float *weight, void *packed);
    /* y = x * w + bias (may be NULL). */
    void (*forward)(const conv_shape *s, const void *packed, const void *x, const float *bias,
                    void *y, void *scratch);
    /* dx = what dy sends back. The kernel is turned and packed anew each time: it takes little, and
     * packed twice weights would take much memory. */
    void (*backward_data)(const conv_shape *s, const float *weight, const void *dy, void *dx,
                          void *scratch);
} conv_algorithm;

/* 3x3 with stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin & Gray 2016, section 4.1):
 * 16 products instead of 36 for each 2x2 pixels of the output and pair of channels; winograd.c. */
extern const conv_algorithm conv_winograd;
extern const conv_algorithm conv_amx; /* with stride 1 between bf16 maps, AMX; conv_amx.c */

/* Backward by weights. */
typedef struct weight_gradient_algorithm {
    bool (*takes)(const conv_shape *s);
    int64_t (*scratch)(const conv_shape *s);
    /* dw [out, in, k, k] and db [out] (may be NULL) are added to. */
    void (*add)(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                void *scratch);
} weight_gradient_algorithm;

extern const weight_gradient_algorithm weight_gradient_winograd; /* as conv_winograd */
/* With stride 1 between bf16 maps; sums are f32, those of stretches of dy f64. */
extern const weight_gradient_algorithm weight_gradient_amx;    /* AMX; gradient_amx.c */
extern const weight_gradient_algorithm weight_gradient_avx512; /* gradient_avx512.c */

#endif
