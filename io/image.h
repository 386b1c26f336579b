/* Pictures: grey and RGB rasters, contact sheets of CT slices, PNG files and PNG bytes. */
#ifndef CTAUG_IO_IMAGE_H
#define CTAUG_IO_IMAGE_H

#include "io/status.h"

#include <stdint.h>

/* 8-bit RGB, y x 3; owned. */
typedef struct image {
    int64_t height, width;
    uint8_t *rgb;
} image;

status image_create(int64_t height, int64_t width, const uint8_t rgb[3], image *out);
void image_free(image *im);

/* Draws a slice of HU (y x) windowed to [low, high], enlarged `scale` times (nearest), at (top,
 * left); where labels is not NULL its structures are tinted, one colour a label. Cut at the
 * borders. Local. */
void image_draw_slice(image *im, int64_t top, int64_t left, int64_t scale, const int16_t *hu,
                      const uint8_t *labels, int64_t height, int64_t width, double low,
                      double high);

/* Draws one polyline through n points (x ascending), scaled to the box; values not finite are
 * skipped. Local. */
void image_draw_curve(image *im, int64_t top, int64_t left, int64_t height, int64_t width,
                      const double *x, const double *y, int64_t n, double x_low, double x_high,
                      double y_low, double y_high, const uint8_t rgb[3]);

/* The tint of a label value. */
void image_label_colour(int label, uint8_t rgb[3]);

/* PNG bytes (free()), and a PNG file published atomically. Local. */
status image_encode(const image *im, uint8_t **png, int64_t *bytes);
status image_write(const image *im, const char *path);

#endif
