/* The leaves of Winograd's convolution (winograd.c): what happens to one tile, to one small product
 * and to eight by sixteen weights. Private to winograd*.c; wants AVX2. Local.
 *
 * A tile is 2x2 pixels of the output and the 4x4 of the input it is made of; both become 16
 * positions, and at each position the channels are multiplied like a matrix. In the names of Lavin
 * & Gray 2016, section 4.1: V = B^T d B of the input, U = G g G^T of the weights, M = sum of U V
 * over the channels, and A^T M A the output. For the weight gradient D = A dy A^T.
 */
#ifndef CTAUG_MODEL_NN_WINOGRAD_AVX2_H
#define CTAUG_MODEL_NN_WINOGRAD_AVX2_H

#include "model/nn/tensor.h"

#include <stdbool.h>

enum {
    WINO_POSITIONS = 16,
    WINO_ROWS = 6,   /* rows of a small product: tiles, or input channels */
    WINO_PANEL = 16, /* its columns: channels of the output */
    WINO_TAPS = 9
};

/* How the numbers of a map are read; rounded: f32 numbers to bf16. */
typedef struct wino_type {
    tensor_type type;
    bool rounded;
} wino_type;

/* v[p * position + c] = position p of the tile at pixel[16], channels a multiple of 8. */
void wino_input(wino_type of, const void *const pixel[16], int64_t channels, float *v,
                int64_t position);

/* pixel[4], channels [first, first + count) = the output of m[p * position + c] plus bias; count is
 * 8 or 16. */
void wino_output(tensor_type type, const float *m, int64_t position, const float *bias,
                 int64_t first, int64_t count, void *const pixel[4]);

/* D of the tile at pixel[4]: d[p * position + n / 16 * panel + n % 16], channels a multiple of 8;
 * the half of a last panel that has none is zero. */
void wino_spread(wino_type of, const void *const pixel[4], int64_t channels, float *d,
                 int64_t position, int64_t panel);

/* c [6, 16] = sum over k of a[r * row + k] b[k * 16 + n]. */
void wino_multiply(const float *a, int64_t row, const float *b, int64_t count, float *c);

/* c [6, 16] = or += sum over t of a[t * row + r] b[t * 16 + n]. */
void wino_correlate(const float *a, int64_t row, const float *b, int64_t count, bool add, float *c);

/* u[p * position + k * 16 + n] of weights [o, k, 9] with `row` numbers from one o to the next, for
 * 8 input channels k and `outputs` (8 or 16) o; the other columns are zero. */
void wino_weights(bool rounded, const float *weight, int64_t row, int64_t outputs, float *u,
                  int64_t position);

/* The 8x8 weights u (rows 16 apart) of each position to those of the turned kernel with rows and
 * columns exchanged. */
void wino_turn(const float *u, int64_t position, float *turned, int64_t turned_position);

/* dw [o, k, 9] += G^T du G, laid out as in wino_weights. */
void wino_gradient(const float *du, int64_t position, int64_t row, int64_t outputs, float *dw);

#endif
