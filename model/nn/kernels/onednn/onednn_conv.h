/* Convolutions by oneDNN: the functions of struct kernels. Private to the oneDNN engine. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_H

#include "model/nn/kernels.h"

typedef struct onednn_conv onednn_conv;

/* Opens for forward; with data_gradient also for backward by data, and with weight_gradient, which
 * needs data_gradient, also for backward by weights. */
status onednn_conv_open(const conv_shape *shape, bool data_gradient, bool weight_gradient,
                        onednn_conv **out);
void onednn_conv_close(onednn_conv *c);
int64_t onednn_conv_scratch(const onednn_conv *c);
int64_t onednn_conv_packed(const onednn_conv *c);
status onednn_conv_pack(onednn_conv *c, const float *weight, void *packed, void *scratch);
status onednn_conv_forward(onednn_conv *c, const void *x, const float *bias, void *y,
                           void *scratch);
status onednn_conv_backward_data(onednn_conv *c, const void *dy, void *dx, void *scratch);
status onednn_conv_backward_weights(onednn_conv *c, const void *x, const void *dy, float *dw,
                                    float *db, void *scratch);

/* kernels.conv_products; needs both gradients. */
status onednn_conv_products(onednn_conv *c, const void *x, const void *dy, void *y, void *dx,
                            void *scratch);

#endif
