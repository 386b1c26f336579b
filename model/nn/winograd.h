/* 3x3 convolutions with stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin & Gray 2016,
 * section 4.1): 16 products instead of 36 for each 2x2 pixels of the output and pair of channels,
 * in all three directions. Private to the oneDNN engine (kernels_dnnl.c).
 *
 * Functions have no state but what is handed in; maps and shapes are those of kernels.h. Weight
 * gradients are summed in an order that follows from the shape and the number of threads. Local.
 */
#ifndef CTAUG_MODEL_NN_WINOGRAD_H
#define CTAUG_MODEL_NN_WINOGRAD_H

#include "model/nn/kernels.h"

/* Whether this is the way for the convolution on this processor. */
bool winograd_takes(const conv_shape *s);

/* Bytes; scratch for as many threads as there are now. */
int64_t winograd_packed(const conv_shape *s);
int64_t winograd_scratch(const conv_shape *s, bool training);

/* packed lies at a multiple of 64 bytes, here and below. */
void winograd_pack(const conv_shape *s, const float *weight, void *packed);

/* y = x * w + bias (may be NULL). */
void winograd_forward(const conv_shape *s, const void *packed, const void *x, const float *bias,
                      void *y, void *scratch);

/* dx = what dy sends back. The weights are turned anew each time: it takes little, and packed twice
 * they would take much memory. */
void winograd_backward_data(const conv_shape *s, const void *packed, const void *dy, void *dx,
                            void *scratch);

/* dw and db (may be NULL) are added to. */
void winograd_backward_weights(const conv_shape *s, const void *x, const void *dy, float *dw,
                               float *db, void *scratch);

#endif
