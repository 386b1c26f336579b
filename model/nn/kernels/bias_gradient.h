/* The bias gradient of a convolution, for engines whose library does not return it. */
#ifndef CTAUG_MODEL_NN_KERNELS_BIAS_GRADIENT_H
#define CTAUG_MODEL_NN_KERNELS_BIAS_GRADIENT_H

#include <stdint.h>

/* db [out] += column sums of dy [rows, out]. */
void bias_gradient_add(const float *dy, int64_t rows, int64_t out, float *db);

#endif
