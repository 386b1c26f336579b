/* The leaves of Winograd's convolution (winograd.c): what happens to one tile, to one small product
 * and to a block of weights, by the kind of processor. Private to winograd*.c. Local.
 *
 * A tile is 2x2 pixels of the output and the 4x4 of the input it is made of; both become 16
 * positions, and at each position the channels are multiplied like a matrix. In the names of Lavin
 * & Gray 2016, section 4.1: V = B^T d B of the input, U = G g G^T of the weights, M = sum of U V
 * over the channels, and A^T M A the output. For the weight gradient D = A dy A^T.
 *
 * Products and sums are f32, whatever the maps are. Channels are a multiple of 8. A panel is so
 * many channels of the output as a small product has columns; what a last panel has too many is
 * zero.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_WINOGRAD_KERNELS_H
#define CTAUG_MODEL_NN_KERNELS_WINOGRAD_KERNELS_H

#include "model/nn/tensor.h"

#include <stdbool.h>

enum {
    WINOGRAD_POSITIONS = 16,
    WINOGRAD_TAPS = 9,
    WINOGRAD_MAX_PANEL = 32,
    WINOGRAD_MAX_BLOCK = 16
};

/* How the numbers of a map are read; rounded: f32 numbers to bf16. */
typedef struct winograd_type {
    tensor_type type;
    bool rounded;
} winograd_type;

/* Compiles `body` for each kind of number. */
#define WINOGRAD_OF_TYPE(body, of, ...)                                                            \
    ((of).type == TYPE_BF16 ? body(TYPE_BF16, false, __VA_ARGS__)                                  \
     : (of).rounded         ? body(TYPE_F32, true, __VA_ARGS__)                                    \
                            : body(TYPE_F32, false, __VA_ARGS__))

typedef struct winograd_kernels {
    int64_t rows;  /* of a small product: tiles, or input channels */
    int64_t panel; /* its columns: channels of the output */
    int64_t block; /* channels of either side that weights are taken by; some may be missing */

    /* v[p * position + c] = position p of the tile at pixel[16]. */
    void (*input)(winograd_type of, const void *const pixel[], int64_t channels, float *v,
                  int64_t position);

    /* pixel[4], channels [first, first + count) = the output of m[p * position + c] plus bias. */
    void (*output)(tensor_type type, const float *m, int64_t position, const float *bias,
                   int64_t first, int64_t count, void *const pixel[4]);

    /* D of the tile at pixel[4]: d[p * position + n / PANEL * panel + n % PANEL], and sum[n], what
     * its pixels add up to. */
    void (*gradient_output)(winograd_type of, const void *const pixel[], int64_t channels, float *d,
                            int64_t position, int64_t panel, float *sum);

    /* c [ROWS, PANEL] = sum over k of a[r * row + k] b[k * PANEL + n]. */
    void (*multiply)(const float *a, int64_t row, const float *b, int64_t count, float *c);

    /* c [ROWS, PANEL] = or += sum over t of a[t * row + r] b[t * PANEL + n]. */
    void (*correlate)(const float *a, int64_t row, const float *b, int64_t count, bool add,
                      float *c);

    /* u[p * position + k * PANEL + n] of weights [o, k, 9] with `row` numbers from one o to
     * the next, for a block of input channels and a panel of outputs. */
    void (*weights)(bool rounded, const float *weight, int64_t row, int64_t inputs, int64_t outputs,
                    float *u, int64_t position);

    /* A block of U to that of the turned kernel with inputs and outputs exchanged. */
    void (*turn)(const float *u, int64_t position, int64_t inputs, int64_t outputs, float *turned,
                 int64_t turned_position);

    /* dw [o, k, 9] += G^T du G, laid out and taken as in weights; du[p * position + k * PANEL + n].
     */
    void (*gradient)(const float *du, int64_t position, int64_t row, int64_t inputs,
                     int64_t outputs, float *dw);
} winograd_kernels;

extern const winograd_kernels winograd_avx2;   /* AVX2 and FMA */
extern const winograd_kernels winograd_avx512; /* what avx512.h needs */

#endif
