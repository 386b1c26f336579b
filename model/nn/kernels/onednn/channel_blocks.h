/* Activations in blocks of channels: [batch, channels / width, pixels, width] in f32, instead of
 * channels-last [batch, pixels, channels] in f32 or bf16. With width = channels the order is the
 * same. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_CHANNEL_BLOCKS_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_CHANNEL_BLOCKS_H

#include "model/nn/tensor.h"

#include <stdbool.h>

/* A channels-last activation of type f32 or bf16, and the width of its blocks, which divides
 * channels. */
typedef struct block_shape {
    tensor_type type;
    int64_t batch, pixels, channels, width;
} block_shape;

/* blocks = x. rounded: to the nearest bf16 number, for either type of x. Local. */
void blocks_gather(const block_shape *s, bool rounded, const void *x, float *blocks);

/* x = blocks, rounded to its type. Local. */
void blocks_scatter(const block_shape *s, const float *blocks, void *x);

#endif
