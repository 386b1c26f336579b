/* Access to single elements of activations and their gradients, which are f32 or bf16. */
#ifndef CTAUG_MODEL_NN_KERNELS_ACTIVATIONS_H
#define CTAUG_MODEL_NN_KERNELS_ACTIVATIONS_H

#include "model/nn/kernels/bf16.h"
#include "model/nn/tensor.h"

/* Element i as f32. */
static inline float activation_read(tensor_type type, const void *x, int64_t i) {
    return type == TYPE_BF16 ? bf16_to_f32(((const bf16 *)x)[i]) : ((const float *)x)[i];
}

/* Sets element i, rounded to the type. */
static inline void activation_write(tensor_type type, void *y, int64_t i, float value) {
    if (type == TYPE_BF16)
        ((bf16 *)y)[i] = bf16_from_f32(value);
    else
        ((float *)y)[i] = value;
}

/* Address of element i. Drops const: the caller must not write through it if x is const. */
static inline void *activation_at(tensor_type type, const void *x, int64_t i) {
    return (char *)x + i * tensor_element_bytes(type);
}

#endif
