/* The weight gradient of a 3x3 convolution with stride 1 as nine products of OpenBLAS, one for each
 * tap of the kernel: dw[tap] = dy^T x, x moved by the tap. Private to conv_dnnl*.c. */
#ifndef CTAUG_MODEL_NN_TAPS_H
#define CTAUG_MODEL_NN_TAPS_H

#include "model/nn/kernels.h"

/* Bytes, on as many threads as there are now; -1 where the sizes do not fit OpenBLAS. Local. */
int64_t taps_scratch(const conv_shape *s);

/* dw [out, in, 3, 3] += from x [B, H, W, in] and dy [B, H, W, out]. Local. */
void taps_gradient(const conv_shape *s, const float *x, const float *dy, float *dw, void *scratch);

#endif
