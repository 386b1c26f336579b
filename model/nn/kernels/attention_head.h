/* Attention of one head of one sample, by the engine's products (attention_plain.c) and on
 * processors that multiply bf16 (attention_avx512.c). attention_fast.c shares the heads among the
 * threads.
 *
 * Both gather the head from the map into dense scratch first: rows of q, k and v lie 3 * channels
 * numbers apart there, often a power of two, and would fall on a few lines of the cache.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_ATTENTION_HEAD_H
#define CTAUG_MODEL_NN_KERNELS_ATTENTION_HEAD_H

#include "model/nn/kernels/attention.h"

typedef struct head {
    product multiply;
    tensor_type type;                /* of the maps */
    bool tiles;                      /* bf16 is multiplied in tiles (amx.h) */
    int64_t tokens, width, channels; /* width: numbers of a row of q, k or v */
    float scale;                     /* 1 / sqrt(width) */
    void *scratch;                   /* of this thread */
} head;

/* How a head is computed. q, y, dy and dq point at the head's numbers of token 0, k and v (dk and
 * dv) lie `channels` and 2 * `channels` numbers behind q (dq); rows of y and dy are `channels`
 * apart. logsum [tokens]. */
typedef struct head_kernels {
    bool tiles; /* bf16 is multiplied in tiles */
    int64_t (*scratch)(int64_t tokens, int64_t width, tensor_type type); /* bytes a thread */
    status (*forward)(const head *a, const void *q, void *y, float *logsum);
    status (*backward)(const head *a, const void *q, const void *y, const float *logsum,
                       const void *dy, void *dq);
} head_kernels;

extern const head_kernels head_plain, head_avx512, head_amx;

#endif
