/* A map on its way into or out of a product that wants it otherwise than the caller has it: rounded
 * to bf16, widened to f32, or in blocks of channels. It then has a copy in scratch. Local. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_CONV_STAGING_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_CONV_STAGING_H

#include "model/nn/kernels/onednn/channel_blocks.h"

typedef enum staging_kind {
    STAGING_NONE,   /* the caller's array will do */
    STAGING_NARROW, /* f32 rounded to bf16 */
    STAGING_BLOCKS  /* f32 in blocks of shape.width channels */
} staging_kind;

typedef struct staging {
    staging_kind kind;
    block_shape shape;
    bool rounded; /* STAGING_BLOCKS: to numbers that bf16 can say */
    int64_t at;   /* the copy's place in scratch, bytes */
} staging;

int64_t staging_bytes(const staging *s); /* of the copy */

/* What a product reads for the map. */
const void *staging_in(const staging *s, const void *map, void *scratch);

/* Where a product writes, and from there, afterwards, to the map. */
void *staging_out(const staging *s, void *map, void *scratch);
void staging_deliver(const staging *s, void *map, const void *scratch);

#endif
