/* Smooth maps of space and resampling through them: augmentation of slices, deformation of label
 * volumes, resampling to the working size.
 *
 * Coordinates are relative: a slice spans [0, 1] along y and x, pixel i's centre at (i + 0.5) / n.
 * A warp maps output coordinates to input coordinates (pull-back).
 */
#ifndef CTAUG_MODEL_WARP_H
#define CTAUG_MODEL_WARP_H

#include "io/status.h"
#include "model/rng.h"

#include <stdint.h>

enum { WARP_GRID = 5 };

/* Affine about the centre plus a smooth elastic part: cubic B-spline over a WARP_GRID^3 lattice of
 * displacements (z y x of the volume; a 2-D warp is constant along z). */
typedef struct warp {
    double affine[2][3]; /* rows y, x: input = A (output - 0.5) + 0.5 + t */
    float elastic[WARP_GRID][WARP_GRID][WARP_GRID][2]; /* displacement y, x, relative units */
} warp;

void warp_identity(warp *w);

/* Draws rotation in [-rotate, rotate] degrees, zoom in [1/(1+zoom), 1+zoom], shift in [-shift,
 * shift] (share of the field of view), optional mirror along x (half of the time), and elastic
 * displacements in [-elastic, elastic]. `mirror` is a request. The elastic part alone never folds
 * below elastic = 1/8. Turns are meant for square slices: coordinates are relative. */
void warp_draw(warp *w, rng_stream *r, double rotate, double zoom, double shift, int mirror,
               double elastic);

/* Where output point (z, y, x) comes from. */
void warp_point(const warp *w, double z, double y, double x, double *from_y, double *from_x);

/* Slices y x. Intensities bilinear, outside = fill; labels nearest, outside = 0. z in [0, 1]. */
void warp_image(const warp *w, double z, const float *in, int64_t in_h, int64_t in_w, float fill,
                float *out, int64_t out_h, int64_t out_w);
void warp_labels(const warp *w, double z, const uint8_t *in, int64_t in_h, int64_t in_w,
                 uint8_t *out, int64_t out_h, int64_t out_w);

/* To the working size, without a warp: area average of HU (no aliasing), most frequent label of the
 * covered area (ties: the larger label, so that thin structures survive). A slice that is not
 * square is first centred in a square of `fill` (half the missing rows or columns before it,
 * rounded down) and of label 0. */
void resize_image(const int16_t *hu, int64_t in_h, int64_t in_w, float fill, float *out,
                  int64_t size);
void resize_labels(const uint8_t *in, int64_t in_h, int64_t in_w, uint8_t *out, int64_t size);

/* HU -> [-1, 1] (clamped) and back (rounded), linear in the window. */
float window_apply(float hu, double low, double high);
int16_t window_undo(float value, double low, double high);

#endif
