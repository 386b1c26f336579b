/* The arena of a plan: blocks of memory with lifetimes, laid out so that blocks that are alive at
 * the same time do not overlap. For model/nn alone. */
#ifndef CTAUG_MODEL_NN_ARENA_H
#define CTAUG_MODEL_NN_ARENA_H

#include "io/status.h"

#include <stdint.h>

typedef struct arena_block {
    int64_t bytes;
    int32_t first, last; /* alive from the start of step `first` to the end of step `last` */
    int64_t offset;      /* set by arena_layout */
} arena_block;

/* Sets the offsets (multiples of 64) and *bytes, the size of the arena. Places the largest block
 * first, each at the lowest offset that is free during its lifetime (Pisarchyk & Lee 2020, "greedy
 * by size"). Local. */
status arena_layout(arena_block *blocks, int64_t count, int64_t *bytes);

#endif
