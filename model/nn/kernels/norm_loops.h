/* The leaf loops of group normalisation, in plain C (norm_plain.c) and for processors that know
 * bf16 (norm_avx512.c); norm_fast.c cuts the work up and puts the results together.
 *
 * Each walks a block: n numbers of whole pixels. Several pixels make a "run" of `width` numbers,
 * and position i of a run has coefficient, or sum, [i]: per-channel rows repeated over the pixels
 * of the run, so that any channel count fills the vectors. A block may end inside a run.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_NORM_LOOPS_H
#define CTAUG_MODEL_NN_KERNELS_NORM_LOOPS_H

#include "model/nn/kernels.h"

/* Coefficients [width]: u = (x - mean) slope + offset, y = silu(u) or u; du = dy silu'(u) or dy,
 * dx = slope du - same - (x - mean) spread. */
typedef struct norm_rows {
    tensor_type type; /* of the maps */
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
    /* Bytes a number, in f32 and in bf16, that gradients() keeps for finish() if there is SiLU, so
     * that its slope need not be computed again. */
    int kept[2];
    /* sum += du, sum_x += du (x - mean) */
    void (*gradients)(const norm_rows *r, const void *x, const void *dy, int64_t n, float *sum,
                      float *sum_x, void *kept);
    /* dx, added to if told; may be dy */
    void (*finish)(const norm_rows *r, bool add, const void *x, const void *dy, const void *kept,
                   int64_t n, void *dx);
} norm_loops;

extern const norm_loops norm_loops_plain, norm_loops_avx512;

#endif
