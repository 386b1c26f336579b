/* The layout of an arena, greedy by size. */
#include "model/nn/arena.h"

#include "io/alloc.h"
#include "model/nn/int_math.h"

#include <stdlib.h>

static int larger_first(const void *a, const void *b) {
    const arena_block *x = *(arena_block *const *)a, *y = *(arena_block *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x > y) - (x < y); /* equal sizes: by index */
}

static int lower_first(const void *a, const void *b) {
    const arena_block *x = *(arena_block *const *)a, *y = *(arena_block *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

status arena_layout(arena_block *blocks, int64_t count, int64_t *bytes) {
    status st = ST_OK;
    arena_block **order = NULL, **alive = NULL; /* alive: during the lifetime of a block */
    *bytes = 0;
    TRY(array_alloc(&order, count, sizeof(arena_block *), "the arena"));
    TRY(array_alloc(&alive, count, sizeof(arena_block *), "the arena"));
    for (int64_t i = 0; i < count; i++) order[i] = &blocks[i];
    qsort(order, (size_t)count, sizeof(arena_block *), larger_first);
    for (int64_t i = 0; i < count; i++) {
        arena_block *b = order[i];
        int64_t size = round_up_to_cache_line(b->bytes), neighbours = 0, offset = 0;
        for (int64_t k = 0; k < i; k++)
            if (order[k]->first <= b->last && b->first <= order[k]->last)
                alive[neighbours++] = order[k];
        qsort(alive, (size_t)neighbours, sizeof(arena_block *), lower_first);
        for (int64_t k = 0; k < neighbours && alive[k]->offset < offset + size; k++) {
            int64_t end = alive[k]->offset + round_up_to_cache_line(alive[k]->bytes);
            if (end > offset) offset = end;
        }
        b->offset = offset;
        if (offset + size > *bytes) *bytes = offset + size;
    }
done:
    free(order);
    free(alive);
    return st;
}
