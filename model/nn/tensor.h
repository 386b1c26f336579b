/* A tensor: shape, type and a pointer to memory that it does not own.
 *
 * Activations have four axes, batch, height, width and channels, with channels contiguous
 * ("channels-last"): 1x1 convolutions, attention and normalisation then work on plain row-major
 * matrices. A vector per sample is [B,1,1,C], a number per sample [B,1,1,1].
 */
#ifndef CTAUG_MODEL_NN_TENSOR_H
#define CTAUG_MODEL_NN_TENSOR_H

#include <stdint.h>

typedef enum tensor_type { TYPE_F32, TYPE_BF16, TYPE_U8 } tensor_type;

typedef struct tensor {
    tensor_type type;
    int64_t shape[4]; /* batch, height, width, channels */
    void *at;
} tensor;

static inline int64_t tensor_count(const tensor *t) {
    return t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
}

/* Bytes of one element. */
static inline int64_t tensor_element_bytes(tensor_type type) {
    return type == TYPE_F32 ? 4 : type == TYPE_BF16 ? 2 : 1;
}

static inline int64_t tensor_bytes(const tensor *t) {
    return tensor_count(t) * tensor_element_bytes(t->type);
}

/* Elements of one sample, and its bytes. */
static inline int64_t tensor_sample(const tensor *t) {
    return t->shape[1] * t->shape[2] * t->shape[3];
}

static inline int64_t tensor_sample_bytes(const tensor *t) {
    return tensor_sample(t) * tensor_element_bytes(t->type);
}

#endif
