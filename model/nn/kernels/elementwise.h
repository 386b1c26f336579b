/* Elementwise loops over activations of either type. Private to model/nn. */
#ifndef CTAUG_MODEL_NN_KERNELS_ELEMENTWISE_H
#define CTAUG_MODEL_NN_KERNELS_ELEMENTWISE_H

#include "model/nn/tensor.h"

/* y = a + b, n values of one type; y may be a or b. In bf16 the sum is rounded once. */
void elementwise_add(tensor_type type, const void *a, const void *b, void *y, int64_t n);

/* y = keep ? factor * x : 0, n values; on the calling thread. */
void elementwise_mask(tensor_type type, const void *x, const uint8_t *keep, float factor, void *y,
                      int64_t n);

/* y = a + b + c + d, n values; y must not overlap them; on the calling thread. */
void elementwise_add_four(tensor_type type, const void *const from[4], void *y, int64_t n);

/* sum[i] += x[i], with x an activation; on the calling thread. */
void elementwise_accumulate(tensor_type type, const void *x, float *sum, int64_t n);

/* x[i] = value[i], with x an activation; on the calling thread. */
void elementwise_store(tensor_type type, const float *value, void *x, int64_t n);

#endif
