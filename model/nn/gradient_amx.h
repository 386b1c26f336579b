/* Weight gradients of convolutions with stride 1 between bf16 maps, multiplied in tiles (AMX).
 * Private to the oneDNN engine (kernels_dnnl.c).
 *
 * Functions have no state but what is handed in; maps and shapes are those of kernels.h. Sums are
 * f32, those of stretches of dy f64; their order follows from the shape and the number of threads. Local.
 */
#ifndef CTAUG_MODEL_NN_GRADIENT_AMX_H
#define CTAUG_MODEL_NN_GRADIENT_AMX_H

#include "model/nn/kernels.h"

/* Whether this is the way for the convolution on this processor. */
bool gradient_amx_takes(const conv_shape *s);

/* Bytes, for as many threads as there are now. */
int64_t gradient_amx_scratch(const conv_shape *s);

/* dw [out, in, k, k] and db [out] (may be NULL) are added to. */
void gradient_amx(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                  void *scratch);

#endif
