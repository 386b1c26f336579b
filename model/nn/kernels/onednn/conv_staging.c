/* Copies of maps between the caller's layout and a product's. */
#include "model/nn/kernels/onednn/conv_staging.h"

#include "model/nn/kernels/bf16.h"

static int64_t count_of(const stage *s) {
    return s->shape.batch * s->shape.pixels * s->shape.channels;
}

int64_t stage_bytes(const stage *s) {
    const int64_t unit[] = {0, sizeof(bf16), sizeof(float)};
    return count_of(s) * unit[s->kind];
}

const void *stage_in(const stage *s, const void *map, void *scratch) {
    void *copy = (char *)scratch + s->at;
    if (s->kind == STAGE_NONE) return map;
    if (s->kind == STAGE_NARROW)
        bf16_round(map, copy, count_of(s));
    else
        blocks_gather(&s->shape, s->rounded, map, copy);
    return copy;
}

void *stage_out(const stage *s, void *map, void *scratch) {
    return s->kind == STAGE_NONE ? map : (char *)scratch + s->at;
}

void stage_deliver(const stage *s, void *map, const void *scratch) {
    if (s->kind != STAGE_NONE)
        blocks_scatter(&s->shape, (const float *)(const void *)((const char *)scratch + s->at),
                       map);
}
