/* What the tables of the fast engines and their convolutions share. Private to model/nn. */
#ifndef CTAUG_MODEL_NN_CONV_FAST_H
#define CTAUG_MODEL_NN_CONV_FAST_H

#include "model/nn/kernels.h"

/* The convolutions of oneDNN, as in kernels.h. */
status dnnl_conv_open(const conv_shape *shape, bool training, conv **out);
void dnnl_conv_close(conv *c);
int64_t dnnl_conv_scratch(const conv *c);
int64_t dnnl_conv_packed(const conv *c);
status dnnl_conv_pack(conv *c, const float *weight, void *packed, void *scratch);
status dnnl_conv_forward(conv *c, const void *x, const float *bias, void *y, void *scratch);
status dnnl_conv_backward_data(conv *c, const void *dy, void *dx, void *scratch);
status dnnl_conv_backward_weights(conv *c, const void *x, const void *dy, float *dw, float *db,
                                  void *scratch);

status dnnl_conv_products(conv *c, const void *x, const void *dy, void *y, void *dx, void *scratch);

/* db [out] += column sums of dy [rows, out]. */
void bias_gradient_add(const float *dy, int64_t rows, int64_t out, float *db);

#endif
