/* RGB rasters: drawing CT slices with tinted structures and curves, writing PNG. */
#ifndef CTAUG_IO_IMAGE_H
#define CTAUG_IO_IMAGE_H

#include "io/status.h"

#include <stdint.h>

/* 8-bit RGB, height x width x 3; owned. */
typedef struct image {
    int64_t height, width;
    uint8_t *rgb;
} image;

/* A raster filled with one colour; image_free() frees it. Local. */
status image_create(int64_t height, int64_t width, const uint8_t rgb[3], image *out);
void image_free(image *im);

/* Draws a slice of HU (y x) with window [low, high], enlarged `scale` times (nearest neighbour), at
 * (top, left). If labels is not NULL its structures are tinted, each label with its colour. Clipped
 * to the raster. Local. */
void image_draw_slice(image *im, int64_t top, int64_t left, int64_t scale, const int16_t *hu,
                      const uint8_t *labels, int64_t height, int64_t width, double low,
                      double high);

/* Draws a polyline through n points (x ascending) in the box at (top, left), whose borders
 * are x_low, x_high, y_low and y_high. Points beyond are moved to the border; values that are not
 * finite are skipped. Local. */
void image_draw_curve(image *im, int64_t top, int64_t left, int64_t height, int64_t width,
                      const double *x, const double *y, int64_t n, double x_low, double x_high,
                      double y_low, double y_high, const uint8_t rgb[3]);

/* The tint of a label value 0 .. 255; black for 0. Local. */
void image_label_colour(int label, uint8_t rgb[3]);

/* The bytes of a PNG file (free()). Local. */
status image_encode(const image *im, uint8_t **png, int64_t *bytes);

/* A PNG file, published atomically. Local. */
status image_write(const image *im, const char *path);

#endif
