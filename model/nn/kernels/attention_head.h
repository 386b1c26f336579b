/* Attention of one head of one sample: by the engine's matrix product (attention_plain.c), and with
 * bf16 instructions (attention_avx512.c). attention_fast.c distributes the heads over the threads.
 *
 * Both first gather the head into dense scratch. In the activation the rows of q, k and v are
 * 3 * channels elements apart, often a power of two, so that they would compete for few cache sets.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_ATTENTION_HEAD_H
#define CTAUG_MODEL_NN_KERNELS_ATTENTION_HEAD_H

#include "model/nn/kernels/attention.h"

typedef struct head {
    product multiply;
    tensor_type type;                /* of the activations */
    bool tiles;                      /* bf16 is multiplied with AMX tiles (amx.h) */
    int64_t tokens, width, channels; /* width: elements of a row of q, k or v */
    int64_t keys;                    /* of attention_plain.c; in self-attention `tokens` */
    float scale;                     /* 1 / sqrt(width) */
    void *scratch;                   /* of this thread */
} head;

/* The kernels of a head. q, y, dy and dq point at the head's first element of token 0. k and v
 * are at q + channels and q + 2 * channels, dk and dv likewise after dq; rows of all these are
 * 3 * channels elements apart, rows of y and dy channels elements. logsum [tokens]. */
typedef struct head_kernels {
    bool tiles; /* bf16 is multiplied with AMX tiles */
    int64_t (*scratch)(int64_t tokens, int64_t width, tensor_type type); /* bytes per thread */
    status (*forward)(const head *a, const void *q, void *y, float *logsum);
    status (*backward)(const head *a, const void *q, const void *y, const float *logsum,
                       const void *dy, void *dq);
} head_kernels;

extern const head_kernels head_plain, head_avx512, head_amx;

/* What attention_plain.c offers to attention_cross.c. Its scratch of a head holds these matrices in
 * f32, those of the queries [tokens, width], then those of the keys [keys, width]. */
typedef enum attention_parts {
    PART_Q,
    PART_Y,
    PART_DY,
    PART_DQ,
    PART_K,
    PART_V,
    PART_DK,
    PART_DV,
    PARTS
} attention_parts;

float *attention_part(const head *a, attention_parts which);
int64_t attention_parts_bytes(int64_t tokens, int64_t keys, int64_t width);

/* Y and logsum from Q, K and V; at least one key. */
status attention_tiles_forward(const head *a, float *logsum);
/* DQ, DK and DV from Q, K, V, Y and DY. */
status attention_tiles_backward(const head *a, const float *logsum);

/* Rows of an activation, `stride` elements apart, to dense rows, and back. */
void attention_gather(tensor_type type, const void *x, int64_t rows, int64_t width, int64_t stride,
                      float *out);
void attention_scatter(tensor_type type, const float *in, int64_t rows, int64_t width,
                       int64_t stride, void *x);

/* The first error of a parallel loop over heads. Messages are per thread: the one of the thread
 * that failed is copied for the calling thread. */
typedef struct head_fault {
    status code;
    char message[256];
} head_fault;

void head_fault_keep(head_fault *f, status st);
status head_fault_status(const head_fault *f);

#endif
