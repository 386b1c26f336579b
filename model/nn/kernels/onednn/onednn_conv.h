/* Convolutions by oneDNN: the functions of kernels.h, and its products alone for the benchmark. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_H

#include "model/nn/kernels.h"

/* Opened for forward, for backward by data if by_data, and for backward by weights if by_weights
 * besides. */
typedef struct onednn_conv onednn_conv;
status onednn_conv_open(const conv_shape *shape, bool by_data, bool by_weights, onednn_conv **out);
void onednn_conv_close(onednn_conv *c);
int64_t onednn_conv_scratch(const onednn_conv *c);
int64_t onednn_conv_packed(const onednn_conv *c);
status onednn_conv_pack(onednn_conv *c, const float *weight, void *packed, void *scratch);
status onednn_conv_forward(onednn_conv *c, const void *x, const float *bias, void *y,
                           void *scratch);
status onednn_conv_backward_data(onednn_conv *c, const void *dy, void *dx, void *scratch);
status onednn_conv_backward_weights(onednn_conv *c, const void *x, const void *dy, float *dw,
                                    float *db, void *scratch);

status onednn_conv_products(onednn_conv *c, const void *x, const void *dy, void *y, void *dx,
                            void *scratch);

#endif
