/* Convolutions by oneDNN: the functions of kernels.h, and its products alone for the benchmark. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_H

#include "model/nn/kernels.h"

/* Opened for forward, for backward by data if by_data, and for backward by weights if by_weights
 * besides. */
typedef struct onednnl_conv onednnl_conv;
status onednnl_conv_open(const conv_shape *shape, bool by_data, bool by_weights,
                         onednnl_conv **out);
void onednnl_conv_close(onednnl_conv *c);
int64_t onednnl_conv_scratch(const onednnl_conv *c);
int64_t onednnl_conv_packed(const onednnl_conv *c);
status onednnl_conv_pack(onednnl_conv *c, const float *weight, void *packed, void *scratch);
status onednnl_conv_forward(onednnl_conv *c, const void *x, const float *bias, void *y,
                            void *scratch);
status onednnl_conv_backward_data(onednnl_conv *c, const void *dy, void *dx, void *scratch);
status onednnl_conv_backward_weights(onednnl_conv *c, const void *x, const void *dy, float *dw,
                                     float *db, void *scratch);

status onednnl_conv_products(onednnl_conv *c, const void *x, const void *dy, void *y, void *dx,
                             void *scratch);

#endif
