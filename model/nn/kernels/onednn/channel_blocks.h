/* Maps in blocks of channels: [batch, channels / width, pixels, width] instead of channels-last
 * [batch, pixels, channels]; a width of all channels leaves the order as it is. Blocks are f32. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_CHANNEL_BLOCKS_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_CHANNEL_BLOCKS_H

#include "model/nn/tensor.h"

#include <stdbool.h>

/* A map of f32 or bf16 numbers and how it is cut; width divides channels. */
typedef struct block_shape {
    tensor_type type;
    int64_t batch, pixels, channels, width;
} block_shape;

/* blocks = map; rounded: to the nearest bf16 number, whatever the map's type. Local. */
void blocks_gather(const block_shape *s, bool rounded, const void *map, float *blocks);

/* map = blocks, rounded to its type. Local. */
void blocks_scatter(const block_shape *s, const float *blocks, void *map);

#endif
