/* Group normalisation and SiLU, as kernels.h describes them: the implementation of the two fast
 * engines (norm_fast.c, norm_plain.c) and that of the reference engine (norm_ref.c). */
#ifndef CTAUG_MODEL_NN_KERNELS_NORM_H
#define CTAUG_MODEL_NN_KERNELS_NORM_H

#include "model/nn/kernels.h"

int64_t norm_fast_scratch(const norm_shape *s);
status norm_fast_forward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                         const float *scale_shift, float *mean, float *rstd, void *y,
                         void *scratch);
status norm_fast_backward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                          const float *scale_shift, const float *mean, const float *rstd,
                          const void *dy, bool add, void *dx, float *dgain, float *dbias,
                          float *dscale_shift, void *scratch);
void silu_fast_forward(const float *x, float *y, int64_t n);
void silu_fast_backward(const float *x, const float *dy, float *dx, int64_t n);

int64_t norm_ref_scratch(const norm_shape *s);
status norm_ref_forward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                        const float *scale_shift, float *mean, float *rstd, void *y, void *scratch);
status norm_ref_backward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                         const float *scale_shift, const float *mean, const float *rstd,
                         const void *dy, bool add, void *dx, float *dgain, float *dbias,
                         float *dscale_shift, void *scratch);
void silu_ref_forward(const float *x, float *y, int64_t n);
void silu_ref_backward(const float *x, const float *dy, float *dx, int64_t n);

#endif
