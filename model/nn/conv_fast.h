/* What the tables of the fast engines and their convolutions share. Private to model/nn. */
#ifndef CTAUG_MODEL_NN_CONV_FAST_H
#define CTAUG_MODEL_NN_CONV_FAST_H

#include "model/nn/kernels.h"

/* The convolutions of oneDNN: the functions of kernels.h, and its products alone. Opened for forward,
 * backward by data if asked, and by weights if asked besides. */
typedef struct dnnl_conv dnnl_conv;
status dnnl_conv_open(const conv_shape *shape, bool by_data, bool by_weights, dnnl_conv **out);
void dnnl_conv_close(dnnl_conv *c);
int64_t dnnl_conv_scratch(const dnnl_conv *c);
int64_t dnnl_conv_packed(const dnnl_conv *c);
status dnnl_conv_pack(dnnl_conv *c, const float *weight, void *packed, void *scratch);
status dnnl_conv_forward(dnnl_conv *c, const void *x, const float *bias, void *y, void *scratch);
status dnnl_conv_backward_data(dnnl_conv *c, const void *dy, void *dx, void *scratch);
status dnnl_conv_backward_weights(dnnl_conv *c, const void *x, const void *dy, float *dw, float *db,
                                  void *scratch);

status dnnl_conv_products(dnnl_conv *c, const void *x, const void *dy, void *y, void *dx,
                          void *scratch);

/* db [out] += column sums of dy [rows, out]. */
void bias_gradient_add(const float *dy, int64_t rows, int64_t out, float *db);

#endif
