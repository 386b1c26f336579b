/* Smooth spatial transformations (warps) and resampling: augmentation of training slices, label
 * deformation, resampling to the working size, and the HU window.
 *
 * Coordinates are relative: a slice spans [0, 1] along y and x; the centre of pixel i of n is at
 * (i + 0.5) / n. A warp maps output coordinates to input coordinates (pull-back).
 */
#ifndef CTAUG_MODEL_WARP_H
#define CTAUG_MODEL_WARP_H

#include "io/status.h"
#include "model/rng.h"

#include <stdint.h>

enum { WARP_GRID = 5 };

/* An affine transformation about the centre plus a smooth elastic part: a cubic B-spline over a
 * WARP_GRID^3 lattice of displacements (z y x of the volume; a 2-D warp is constant along z). */
typedef struct warp {
    double affine[2][3]; /* rows y, x: input = A (output - 0.5) + 0.5 + t */
    float elastic[WARP_GRID][WARP_GRID][WARP_GRID][2]; /* displacement y, x, relative units */
} warp;

/* Sets the identity. Local. */
void warp_identity(warp *w);

/* Draws a warp: rotation in [-rotate, rotate] degrees, zoom in [1/(1+zoom), 1+zoom], shift in
 * [-shift, shift] (fraction of the field of view), if `mirror` is set a mirror along x with
 * probability 1/2, and elastic displacements in [-elastic, elastic]. The elastic part alone does
 * not fold for elastic < 1/8. Rotations are meant for square slices because coordinates are
 * relative. Local. */
void warp_draw(warp *w, rng_stream *r, double rotate, double zoom, double shift, int mirror,
               double elastic);

/* The input point that output point (z, y, x) is taken from. Local. */
void warp_point(const warp *w, double z, double y, double x, double *from_y, double *from_x);

/* Resample a slice (y x) at height z in [0, 1] of the volume: HU by Lanczos interpolation with
 * three lobes (Duchon 1979), which keeps noise and edges where bilinear interpolation blurs them,
 * `fill` outside the input; labels by nearest neighbour, 0 outside. Local. */
void warp_image(const warp *w, double z, const int16_t *in, int64_t in_h, int64_t in_w,
                int16_t fill, int16_t *out, int64_t out_h, int64_t out_w);
void warp_labels(const warp *w, double z, const uint8_t *in, int64_t in_h, int64_t in_w,
                 uint8_t *out, int64_t out_h, int64_t out_w);

/* Resample to the working size (size x size) without a warp: area average of HU (no aliasing); most
 * frequent label of the covered area (ties: the larger label, so that thin structures survive). A
 * slice that is not square is first centred in a square filled with `fill` or label 0; half of the
 * missing rows or columns, rounded down, come before it. Local. */
void resize_image(const int16_t *hu, int64_t in_h, int64_t in_w, float fill, float *out,
                  int64_t size);
void resize_labels(const uint8_t *in, int64_t in_h, int64_t in_w, uint8_t *out, int64_t size);

/* HU window: [low, high] is mapped linearly to [-1, 1] (clamped; NaN becomes -1) and back (rounded
 * to whole HU). Local. */
float window_apply(float hu, double low, double high);
int16_t window_invert(float value, double low, double high);

#endif
