/* A raster and what is drawn on it: windowed CT slices with tinted structures, curves.
 *
 * Every pixel is clipped by itself: coordinates may lie far outside of the raster.
 */
#include "io/image.h"

#include "io/file.h"
#include "io/png.h"
#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double TINT = 0.4; /* weight of the tint in a pixel */

status image_create(int64_t height, int64_t width, const uint8_t rgb[3], image *out) {
    enum { SIDE_MAX = 65535 };
    int64_t bytes;
    *out = (image){0};
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX)
        return status_fail(ST_INTERNAL, "a picture of %" PRId64 " x %" PRId64 " pixels", height,
                           width);
    bytes = height * width * 3;
    status st = array_alloc(&out->rgb, bytes, 1, "a picture");
    if (st != ST_OK) return st;
    out->height = height;
    out->width = width;
    for (int64_t i = 0; i < bytes; i++) out->rgb[i] = rgb[i % 3];
    return ST_OK;
}

void image_free(image *im) {
    free(im->rgb);
    *im = (image){0};
}

/* Labels 1 to 8 have the colours of Okabe & Ito ("Color Universal Design", 2008), which
 * colour-blind readers can tell apart; their black, which does not show on CT, is replaced by the
 * wine of Tol's muted scheme. Labels 9 to 32 repeat them, darker each time. */
static void palette_colour(int label, uint8_t rgb[3]) {
    static const uint8_t tints[][3] = {
        {230, 159, 0}, {86, 180, 233}, {0, 158, 115},   {240, 228, 66},
        {0, 114, 178}, {213, 94, 0},   {204, 121, 167}, {136, 34, 85},
    };
    enum { TINTS = sizeof tints / sizeof *tints };
    double light = pow(0.75, (label - 1) / TINTS);
    for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)lround(light * tints[(label - 1) % TINTS][i]);
}

/* Labels beyond 32: an additive recurrence modulo 1 with the powers of 1/g, g^4 = g + 1 (Roberts,
 * "The unreasonable effectiveness of quasirandom sequences", 2018). It spreads any number of points
 * evenly over a cube, here that of the colours without the darkest. */
static void spread_colour(int index, uint8_t rgb[3]) {
    static const double step[3] = {0.8191725133961645, 0.6710436067037893, 0.5497004779019703};
    static const double darkest = 48, start = 0.31; /* keeps away from the palette */
    for (int i = 0; i < 3; i++) {
        double t = start + index * step[i];
        rgb[i] = (uint8_t)lround(darkest + (255 - darkest) * (t - floor(t)));
    }
}

void image_label_colour(int label, uint8_t rgb[3]) {
    enum { PALETTE_LABELS = 32 };
    memset(rgb, 0, 3);
    if (label > PALETTE_LABELS)
        spread_colour(label - PALETTE_LABELS, rgb);
    else if (label > 0)
        palette_colour(label, rgb);
}

static void put(image *im, int64_t y, int64_t x, const uint8_t rgb[3]) {
    if (y < 0 || x < 0 || y >= im->height || x >= im->width) return;
    memcpy(im->rgb + (y * im->width + x) * 3, rgb, 3);
}

static void shade(int16_t hu, int label, double low, double high, uint8_t rgb[3]) {
    uint8_t tint[3];
    double t = (hu - low) / (high - low);
    double grey = 255 * (t > 0 ? (t < 1 ? t : 1) : 0);
    image_label_colour(label, tint);
    double share = label > 0 ? TINT : 0;
    for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)lround((1 - share) * grey + share * tint[i]);
}

void image_draw_slice(image *im, int64_t top, int64_t left, int64_t scale, const int16_t *hu,
                      const uint8_t *labels, int64_t height, int64_t width, double low,
                      double high) {
    uint8_t rgb[3];
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            int64_t i = y * width + x;
            shade(hu[i], labels ? labels[i] : 0, low, high, rgb);
            for (int64_t dy = 0; dy < scale; dy++)
                for (int64_t dx = 0; dx < scale; dx++)
                    put(im, top + y * scale + dy, left + x * scale + dx, rgb);
        }
}

/* One pixel per step along the longer side, which leaves no gaps. Both ends lie in the box. */
static void draw_line(image *im, double y0, double x0, double y1, double x1, const uint8_t rgb[3]) {
    double steps = ceil(fmax(fabs(y1 - y0), fabs(x1 - x0)));
    for (double k = 0; k <= steps; k++) {
        double t = steps > 0 ? k / steps : 0;
        put(im, llround(y0 + t * (y1 - y0)), llround(x0 + t * (x1 - x0)), rgb);
    }
}

static double clamp01(double t) { return t < 0 ? 0 : t > 1 ? 1 : t; }

void image_draw_curve(image *im, int64_t top, int64_t left, int64_t height, int64_t width,
                      const double *x, const double *y, int64_t n, double x_low, double x_high,
                      double y_low, double y_high, const uint8_t rgb[3]) {
    double last_y = 0, last_x = 0;
    bool started = false;
    if (!(x_high > x_low) || !(y_high > y_low) || height < 1 || width < 1) return;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i])) continue;
        double column =
            (double)left + clamp01((x[i] - x_low) / (x_high - x_low)) * (double)(width - 1);
        double row =
            (double)top + clamp01((y_high - y[i]) / (y_high - y_low)) * (double)(height - 1);
        if (!started) last_y = row, last_x = column;
        draw_line(im, last_y, last_x, row, column, rgb);
        last_y = row;
        last_x = column;
        started = true;
    }
}

status image_encode(const image *im, uint8_t **png, int64_t *bytes) {
    return png_encode(im->rgb, im->height, im->width, png, bytes);
}

status image_write(const image *im, const char *path) {
    status st = ST_OK;
    uint8_t *png = NULL;
    int64_t bytes = 0;
    TRY(image_encode(im, &png, &bytes));
    TRY(file_write_atomic(path, png, bytes));
done:
    free(png);
    return st;
}
