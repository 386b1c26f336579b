/* The kernels under Winograd's convolution (winograd.c): the transforms of one tile and of a block
 * of weights, and the micro-kernels (small matrix products), with one variant for each feature set.
 * Private to winograd*.c. Local.
 *
 * A tile is 2x2 pixels of the output, together with the 4x4 pixels of the input they depend on.
 * Transformed, both have 16 positions. At each position the channels are multiplied as matrices.
 * In the notation of Lavin & Gray 2016, section 4.1:
 *
 *   V = B^T d B    transformed input, d the 4x4 input pixels
 *   U = G g G^T    transformed weights, g the 3x3 kernel
 *   M              sum of U V over the input channels
 *   A^T M A        the 2x2 output pixels
 *
 * and for the weight gradient
 *
 *   D = A dy A^T   transformed output gradient
 *   dU             sum of V D over the tiles
 *   G^T dU G       the 3x3 gradient of the kernel
 *
 * Products and sums are f32, whatever the type of the activations. Numbers of channels are
 * multiples of 8. A panel is as many output channels as a micro-kernel has columns; missing
 * columns of the last panel are zero.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_WINOGRAD_KERNELS_H
#define CTAUG_MODEL_NN_KERNELS_WINOGRAD_KERNELS_H

#include "model/nn/tensor.h"

#include <stdbool.h>

enum {
    WINOGRAD_POSITIONS = 16,
    WINOGRAD_TAPS = 9,
    WINOGRAD_PANEL_MAX = 32,
    WINOGRAD_BLOCK_MAX = 16
};

/* How activations are read; rounded: f32 elements are rounded to bf16. */
typedef struct winograd_type {
    tensor_type type;
    bool rounded;
} winograd_type;

/* Compiles `body` for each winograd_type. */
#define WINOGRAD_OF_TYPE(body, of, ...)                                                            \
    ((of).type == TYPE_BF16 ? body(TYPE_BF16, false, __VA_ARGS__)                                  \
     : (of).rounded         ? body(TYPE_F32, true, __VA_ARGS__)                                    \
                            : body(TYPE_F32, false, __VA_ARGS__))

typedef struct winograd_kernels {
    int64_t rows;  /* of a micro-kernel (ROWS below): tiles, or input channels */
    int64_t panel; /* its columns (PANEL below): output channels */
    int64_t block; /* channels of either side that weight transforms process at once */

    /* v[p * position + c] = V at position p of the tile with the input pixels pixel[16]. */
    void (*input)(winograd_type of, const void *const pixel[], int64_t channels, float *v,
                  int64_t position);

    /* Channels [first, first + count) of the output pixels pixel[4] = A^T M A + bias, from
     * m[p * position + c] and bias[c], c counted from `first`. */
    void (*output)(tensor_type type, const float *m, int64_t position, const float *bias,
                   int64_t first, int64_t count, void *const pixel[4]);

    /* D of the tile with the pixels pixel[4] of dy: channel n at d[p * position + n / PANEL * panel
     * + n % PANEL]. sum[n] = the sum of its four pixels. */
    void (*gradient_output)(winograd_type of, const void *const pixel[], int64_t channels, float *d,
                            int64_t position, int64_t panel, float *sum);

    /* c [ROWS, PANEL] = sum over k of a[r * row + k] b[k * PANEL + n]. */
    void (*multiply)(const float *a, int64_t row, const float *b, int64_t count, float *c);

    /* c [ROWS, PANEL] = or (if add) += sum over t of a[t * row + r] b[t * PANEL + n]. */
    void (*correlate)(const float *a, int64_t row, const float *b, int64_t count, bool add,
                      float *c);

    /* U at u[p * position + k * PANEL + n] from weight [n][k][9], whose outputs n are `row`
     * elements apart, for at most a block of input channels k and a panel of output channels n. */
    void (*weights)(bool rounded, const float *weight, int64_t row, int64_t inputs, int64_t outputs,
                    float *u, int64_t position);

    /* A block of U, at most block x block channels, to that of the flipped kernel with inputs and
     * outputs exchanged. */
    void (*flip)(const float *u, int64_t position, int64_t inputs, int64_t outputs, float *flipped,
                 int64_t flipped_position);

    /* dw [n][k][9] += G^T dU G, with the layout and extent of `weights`, from
     * du[p * position + k * PANEL + n]. */
    void (*gradient)(const float *du, int64_t position, int64_t row, int64_t inputs,
                     int64_t outputs, float *dw);
} winograd_kernels;

extern const winograd_kernels winograd_avx2;   /* AVX2 and FMA */
extern const winograd_kernels winograd_avx512; /* the feature set of avx512.h */

#endif
