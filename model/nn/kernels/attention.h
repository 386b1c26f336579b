/* Attention, as kernels.h describes it: the implementation of the two fast engines
 * (attention_fast.c, attention_cross.c), which calls the engine's matrix product, and that of the
 * reference engine (attention_ref.c, attention_cross_ref.c). */
#ifndef CTAUG_MODEL_NN_KERNELS_ATTENTION_H
#define CTAUG_MODEL_NN_KERNELS_ATTENTION_H

#include "model/nn/kernels.h"

/* A matrix product with strides (sgemm, row-major): c [m,n] = alpha op(a) op(b) + beta c. Runs on
 * one thread when called from inside a parallel region. */
typedef status (*product)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                          float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                          float beta, float *c, int64_t ldc);

int64_t attention_fast_scratch(const attention_shape *s);
status attention_fast_forward(product multiply, const attention_shape *s, const void *qkv, void *y,
                              float *logsum, void *scratch);
status attention_fast_backward(product multiply, const attention_shape *s, const void *qkv,
                               const void *y, const float *logsum, const void *dy, void *dqkv,
                               void *scratch);

int64_t attention_ref_scratch(const attention_shape *s);
status attention_ref_forward(const attention_shape *s, const void *qkv, void *y, float *logsum,
                             void *scratch);
status attention_ref_backward(const attention_shape *s, const void *qkv, const void *y,
                              const float *logsum, const void *dy, void *dqkv, void *scratch);

int64_t cross_fast_scratch(const cross_shape *s);
status cross_fast_forward(product multiply, const cross_shape *s, const void *q, const void *kv,
                          const float *mask, void *y, float *logsum, void *scratch);
status cross_fast_backward(product multiply, const cross_shape *s, const void *q, const void *kv,
                           const float *mask, const void *y, const float *logsum, const void *dy,
                           void *dq, void *dkv, void *scratch);

int64_t cross_ref_scratch(const cross_shape *s);
status cross_ref_forward(const cross_shape *s, const void *q, const void *kv, const float *mask,
                         void *y, float *logsum, void *scratch);
status cross_ref_backward(const cross_shape *s, const void *q, const void *kv, const float *mask,
                          const void *y, const float *logsum, const void *dy, void *dq, void *dkv,
                          void *scratch);

#endif
