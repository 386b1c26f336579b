/* Weight gradients of convolutions with stride 1 between bf16 maps, our own ways. Private to the oneDNN
 * engine (kernels_dnnl.c).
 *
 * Functions have no state but what is handed in; maps and shapes are those of kernels.h. Sums are
 * f32, those of stretches of dy f64; their order follows from the shape and the number of threads. Local.
 */
#ifndef CTAUG_MODEL_NN_GRADIENT_H
#define CTAUG_MODEL_NN_GRADIENT_H

#include "model/nn/kernels.h"

typedef struct gradient_way {
    /* Whether it can be gone for this convolution on this processor. */
    bool (*takes)(const conv_shape *s);
    /* Bytes, for as many threads as there are now. */
    int64_t (*scratch)(const conv_shape *s);
    /* dw [out, in, k, k] and db [out] (may be NULL) are added to. */
    void (*add)(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                void *scratch);
} gradient_way;

extern const gradient_way gradient_tiles;   /* AMX; gradient_amx.c */
extern const gradient_way gradient_vectors; /* gradient_avx512.c */

#endif
