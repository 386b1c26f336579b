/* Copies of activations between the type and layout of the caller and those of a product. */
#include "model/nn/kernels/onednn/conv_staging.h"

#include "model/nn/kernels/bf16.h"

static int64_t count_of(const staging *s) {
    return s->shape.batch * s->shape.pixels * s->shape.channels;
}

int64_t staging_bytes(const staging *s) {
    const int64_t element[] = {[STAGING_BF16] = sizeof(bf16), [STAGING_BLOCKS] = sizeof(float)};
    return count_of(s) * element[s->kind];
}

const void *staging_in(const staging *s, const void *x, void *scratch) {
    void *copy = (char *)scratch + s->at;
    if (s->kind == STAGING_NONE) return x;
    if (s->kind == STAGING_BF16)
        bf16_round(x, copy, count_of(s));
    else
        blocks_gather(&s->shape, s->rounded, x, copy);
    return copy;
}

void *staging_out(const staging *s, void *x, void *scratch) {
    return s->kind == STAGING_NONE ? x : (char *)scratch + s->at;
}

void staging_copy_out(const staging *s, void *x, const void *scratch) {
    if (s->kind != STAGING_NONE)
        blocks_scatter(&s->shape, (const float *)(const void *)((const char *)scratch + s->at), x);
}
