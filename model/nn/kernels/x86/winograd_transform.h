/* The transforms of Winograd's F(2x2, 3x3) on vectors of channels (winograd_kernels.h gives the
 * formulas), written once for winograd_avx2.c and winograd_avx512.c.
 *
 * The including file defines, before it includes this:
 *
 *   WINOGRAD_VECTOR   the type of a vector of f32, one channel in each lane
 *   WINOGRAD_INLINE   how inline functions on such vectors are declared
 *
 * Matrices are row-major: element (i, j) of a 4x4 matrix is [4 i + j].
 */
#ifndef CTAUG_MODEL_NN_KERNELS_X86_WINOGRAD_TRANSFORM_H
#define CTAUG_MODEL_NN_KERNELS_X86_WINOGRAD_TRANSFORM_H

#include "model/nn/kernels/winograd_kernels.h"

#ifndef WINOGRAD_VECTOR /* the header compiled alone */
#include "model/nn/kernels/x86/avx2.h"
#define WINOGRAD_VECTOR __m256
#define WINOGRAD_INLINE INLINE_AVX2
#endif

/* B^T applied to four elements `step` apart. */
WINOGRAD_INLINE void winograd_input_column(WINOGRAD_VECTOR *d, int step) {
    WINOGRAD_VECTOR a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    d[0] = a - c, d[step] = b + c, d[2 * step] = c - b, d[3 * step] = b - e;
}

/* d = B^T d B. */
WINOGRAD_INLINE void winograd_input(WINOGRAD_VECTOR d[WINOGRAD_POSITIONS]) {
    for (int i = 0; i < 4; i++) winograd_input_column(d + i, 4);
    for (int i = 0; i < 4; i++) winograd_input_column(d + 4 * i, 1);
}

/* A^T applied to four elements. */
WINOGRAD_INLINE void winograd_output_column(WINOGRAD_VECTOR a, WINOGRAD_VECTOR b, WINOGRAD_VECTOR c,
                                            WINOGRAD_VECTOR d, WINOGRAD_VECTOR out[2]) {
    out[0] = a + (b + c), out[1] = (b - c) - d;
}

/* y = A^T m A + bias. */
WINOGRAD_INLINE void winograd_output(const WINOGRAD_VECTOR m[WINOGRAD_POSITIONS],
                                     WINOGRAD_VECTOR bias, WINOGRAD_VECTOR y[4]) {
    WINOGRAD_VECTOR columns[4][2], pair[2];
    for (int j = 0; j < 4; j++)
        winograd_output_column(m[j], m[4 + j], m[8 + j], m[12 + j], columns[j]);
    for (int i = 0; i < 2; i++) {
        winograd_output_column(columns[0][i], columns[1][i], columns[2][i], columns[3][i], pair);
        y[2 * i] = bias + pair[0], y[2 * i + 1] = bias + pair[1];
    }
}

/* A applied to two elements. */
WINOGRAD_INLINE void winograd_gradient_column(WINOGRAD_VECTOR a, WINOGRAD_VECTOR b,
                                              WINOGRAD_VECTOR out[4]) {
    out[0] = a, out[1] = a + b, out[2] = a - b, out[3] = 0.0f - b;
}

enum { WINOGRAD_SUM_POSITION = 5 }; /* where D is the plain sum of the four pixels */

/* d = A dy A^T. */
WINOGRAD_INLINE void winograd_output_gradient(const WINOGRAD_VECTOR dy[4],
                                              WINOGRAD_VECTOR d[WINOGRAD_POSITIONS]) {
    WINOGRAD_VECTOR left[4], right[4];
    winograd_gradient_column(dy[0], dy[2], left);
    winograd_gradient_column(dy[1], dy[3], right);
    for (int i = 0; i < 4; i++) winograd_gradient_column(left[i], right[i], d + 4 * i);
}

/* G applied to three elements. */
WINOGRAD_INLINE void winograd_weight_column(WINOGRAD_VECTOR a, WINOGRAD_VECTOR b, WINOGRAD_VECTOR c,
                                            WINOGRAD_VECTOR out[4]) {
    WINOGRAD_VECTOR ends = 0.5f * (a + c), middle = 0.5f * b;
    out[0] = a, out[1] = ends + middle, out[2] = ends - middle, out[3] = c;
}

/* u = G g G^T. */
WINOGRAD_INLINE void winograd_weights(const WINOGRAD_VECTOR g[WINOGRAD_TAPS],
                                      WINOGRAD_VECTOR u[WINOGRAD_POSITIONS]) {
    WINOGRAD_VECTOR columns[3][4];
    for (int j = 0; j < 3; j++) winograd_weight_column(g[j], g[3 + j], g[6 + j], columns[j]);
    for (int i = 0; i < 4; i++)
        winograd_weight_column(columns[0][i], columns[1][i], columns[2][i], u + 4 * i);
}

/* The position of U that position p moves to when the kernel is flipped (rotated by 180 degrees):
 * the first and the last row and column are exchanged. */
static inline int winograd_flipped(int p) {
    static const int with[4] = {3, 1, 2, 0};
    return 4 * with[p / 4] + with[p % 4];
}

/* G^T applied to four elements. */
WINOGRAD_INLINE void winograd_tap_column(WINOGRAD_VECTOR a, WINOGRAD_VECTOR b, WINOGRAD_VECTOR c,
                                         WINOGRAD_VECTOR d, WINOGRAD_VECTOR out[3]) {
    WINOGRAD_VECTOR sum = 0.5f * (b + c), difference = 0.5f * (b - c);
    out[0] = a + sum, out[1] = difference, out[2] = sum + d;
}

/* g = G^T du G. */
WINOGRAD_INLINE void winograd_weight_gradient(const WINOGRAD_VECTOR du[WINOGRAD_POSITIONS],
                                              WINOGRAD_VECTOR g[WINOGRAD_TAPS]) {
    WINOGRAD_VECTOR columns[4][3];
    for (int j = 0; j < 4; j++)
        winograd_tap_column(du[j], du[4 + j], du[8 + j], du[12 + j], columns[j]);
    for (int i = 0; i < 3; i++)
        winograd_tap_column(columns[0][i], columns[1][i], columns[2][i], columns[3][i], g + 3 * i);
}

#endif
