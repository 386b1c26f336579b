/* The inner loops of group normalisation, in plain C (norm_plain.c) and for processors with bf16
 * instructions (norm_avx512.c). norm_fast.c partitions the work and combines the results.
 *
 * Each loop processes a block: n elements of whole pixels. A block consists of rows of `width`
 * elements, which are one or more pixels; the last row may be incomplete. Element i of every row
 * has coefficient [i], or adds to sum [i]. Coefficients are those of the channels, repeated for
 * every pixel of a row, so that any number of channels fills the vectors.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_NORM_LOOPS_H
#define CTAUG_MODEL_NN_KERNELS_NORM_LOOPS_H

#include "model/nn/kernels.h"

/* Coefficients [width]:
 *
 *     u = (x - mean) slope + offset,  y = silu(u) or u
 *     du = dy silu'(u) or dy,  dx = slope du - same - (x - mean) spread */
typedef struct norm_rows {
    tensor_type type; /* of the activations */
    bool silu;
    int64_t width;
    const float *mean, *slope, *offset, *same, *spread;
} norm_rows;

typedef struct norm_loops {
    /* sum += x - pivot, squares += (x - pivot)^2 */
    void (*deviations)(tensor_type type, const void *x, int64_t n, int64_t width,
                       const float *pivot, float *sum, float *squares);
    /* y from x */
    void (*apply)(const norm_rows *r, const void *x, int64_t n, void *y);
    /* Bytes per element, for f32 and for bf16 activations, that gradients() keeps for finish() if
     * there is SiLU, so that its derivative is not recomputed. */
    int kept[2];
    /* sum += du, sum_x += du (x - mean) */
    void (*gradients)(const norm_rows *r, const void *x, const void *dy, int64_t n, float *sum,
                      float *sum_x, void *kept);
    /* dx, added to if add is set; dx may be dy */
    void (*finish)(const norm_rows *r, bool add, const void *x, const void *dy, const void *kept,
                   int64_t n, void *dx);
} norm_loops;

extern const norm_loops norm_loops_plain, norm_loops_avx512;

#endif
