/* A map on its way into or out of a product that wants it otherwise than the caller has it: rounded
 * to bf16, widened to f32, or in blocks of channels. It then has a copy in scratch. Local. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_CONV_STAGING_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_CONV_STAGING_H

#include "model/nn/kernels/onednn/channel_blocks.h"

typedef enum stage_kind {
    STAGE_NONE,   /* the caller's array will do */
    STAGE_NARROW, /* f32 rounded to bf16 */
    STAGE_BLOCKS  /* f32 in blocks of shape.width channels */
} stage_kind;

typedef struct stage {
    stage_kind kind;
    block_shape shape;
    bool rounded; /* STAGE_BLOCKS: to numbers that bf16 can say */
    int64_t at;   /* the copy's place in scratch, bytes */
} stage;

int64_t stage_bytes(const stage *s); /* of the copy */

/* What a product reads for the map. */
const void *stage_in(const stage *s, const void *map, void *scratch);

/* Where a product writes, and from there, afterwards, to the map. */
void *stage_out(const stage *s, void *map, void *scratch);
void stage_deliver(const stage *s, void *map, const void *scratch);

#endif
