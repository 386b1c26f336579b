/* Copies of maps between the caller's layout and a product's. */
#include "model/nn/kernels/onednn/conv_staging.h"

#include "model/nn/kernels/bf16.h"

static int64_t count_of(const staging *s) {
    return s->shape.batch * s->shape.pixels * s->shape.channels;
}

int64_t staging_bytes(const staging *s) {
    const int64_t unit[] = {0, sizeof(bf16), sizeof(float)};
    return count_of(s) * unit[s->kind];
}

const void *staging_in(const staging *s, const void *map, void *scratch) {
    void *copy = (char *)scratch + s->at;
    if (s->kind == STAGING_NONE) return map;
    if (s->kind == STAGING_NARROW)
        bf16_round(map, copy, count_of(s));
    else
        blocks_gather(&s->shape, s->rounded, map, copy);
    return copy;
}

void *staging_out(const staging *s, void *map, void *scratch) {
    return s->kind == STAGING_NONE ? map : (char *)scratch + s->at;
}

void staging_deliver(const staging *s, void *map, const void *scratch) {
    if (s->kind != STAGING_NONE)
        blocks_scatter(&s->shape, (const float *)(const void *)((const char *)scratch + s->at),
                       map);
}
