/* Warps of slices.
 *
 * The elastic part is a tensor product of cubic B-splines (Rueckert et al. 1999). z is constant in
 * a slice and y in a row, so the lattice is interpolated to a plane once a slice and to a line once
 * a row; a pixel then needs four lattice points only.
 *
 * WARP_GRID lattice points along an axis give WARP_GRID - 3 spans over [0, 1]. Every point has four
 * neighbours along the axis, so the weights add up to 1 and no displacement exceeds the largest one
 * of the lattice. Coordinates outside [0, 1] get the displacement of the border.
 */
#include "model/warp.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { TAPS = 4, SPANS = WARP_GRID - TAPS + 1 };

static const double RADIANS = 3.14159265358979323846 / 180;

typedef struct spline {
    int first; /* lattice point of the first weight */
    double weight[TAPS];
} spline;

typedef double plane[WARP_GRID][WARP_GRID][2]; /* y x */
typedef double line[WARP_GRID][2];             /* x */

void warp_identity(warp *w) { *w = (warp){.affine = {{1, 0, 0}, {0, 1, 0}}}; }

/* All numbers are drawn whether they are used or not, so that switching off one part does not
 * change the others. The affine part is the pull-back of "zoom, rotate, shift, mirror". */
void warp_draw(warp *w, rng_stream *r, double rotate, double zoom, double shift, int mirror,
               double elastic) {
    double angle = RADIANS * rng_between(r, -1, 1) * rotate;
    double scale = exp(-rng_between(r, -1, 1) * log1p(zoom));
    double down = rng_between(r, -1, 1) * shift, right = rng_between(r, -1, 1) * shift;
    double side = rng_uniform(r) < 0.5 && mirror ? -1 : 1;
    double c = scale * cos(angle), s = scale * sin(angle);
    *w = (warp){.affine = {{c, -s * side, down}, {s, c * side, right}}};
    float *at = &w->elastic[0][0][0][0];
    for (size_t i = 0; i < sizeof w->elastic / sizeof *at; i++)
        at[i] = (float)(rng_between(r, -1, 1) * elastic);
}

/* Uniform cubic B-spline at u in [0, 1] (Rueckert et al. 1999, eq. 3). */
static spline spline_at(double u) {
    double along = (u > 0 ? u < 1 ? u : 1 : 0) * SPANS;
    int span = along < SPANS ? (int)along : SPANS - 1;
    double t = along - span, s = 1 - t;
    return (spline){.first = span,
                    .weight = {s * s * s / 6, (3 * t * t * t - 6 * t * t + 4) / 6,
                               (3 * s * s * s - 6 * s * s + 4) / 6, t * t * t / 6}};
}

static void collapse_z(const warp *w, double z, plane out) {
    spline by = spline_at(z);
    memset(out, 0, sizeof(plane));
    for (int k = 0; k < TAPS; k++)
        for (int y = 0; y < WARP_GRID; y++)
            for (int x = 0; x < WARP_GRID; x++)
                for (int d = 0; d < 2; d++)
                    out[y][x][d] += by.weight[k] * w->elastic[by.first + k][y][x][d];
}

static void collapse_y(plane in, double y, line out) {
    spline by = spline_at(y);
    memset(out, 0, sizeof(line));
    for (int k = 0; k < TAPS; k++)
        for (int x = 0; x < WARP_GRID; x++)
            for (int d = 0; d < 2; d++) out[x][d] += by.weight[k] * in[by.first + k][x][d];
}

/* The input point of output point (y, x). `elastic`: the displacements along the row, or NULL. */
static void map_point(const warp *w, line elastic, double y, double x, double *from_y,
                      double *from_x) {
    double from[2];
    for (int d = 0; d < 2; d++)
        from[d] = w->affine[d][0] * (y - 0.5) + w->affine[d][1] * (x - 0.5) + 0.5 + w->affine[d][2];
    if (elastic) {
        spline by = spline_at(x);
        for (int d = 0; d < 2; d++)
            for (int k = 0; k < TAPS; k++) from[d] += by.weight[k] * elastic[by.first + k][d];
    }
    *from_y = from[0];
    *from_x = from[1];
}

/* Training slices are usually warped without an elastic part; skipping the spline then saves most
 * of the cost. */
static bool is_elastic(const warp *w) {
    const float *at = &w->elastic[0][0][0][0];
    for (size_t i = 0; i < sizeof w->elastic / sizeof *at; i++)
        if (at[i] != 0) return true;
    return false;
}

void warp_point(const warp *w, double z, double y, double x, double *from_y, double *from_x) {
    plane at_z;
    line at_y;
    collapse_z(w, z, at_z);
    collapse_y(at_z, y, at_y);
    map_point(w, at_y, y, x, from_y, from_x);
}

/* ---- interpolation ---- */

enum { LOBES = 3, LANCZOS = 2 * LOBES, PHASES = 2048 };

/* lanczos[p]: weights of the LANCZOS pixels around a point that lies p / PHASES pixels behind the
 * third of them; they add up to 1. */
static float lanczos[PHASES + 1][LANCZOS];

static double sinc(double x) {
    const double pi = 3.14159265358979323846;
    return fabs(x) < 1e-12 ? 1 : sin(pi * x) / (pi * x);
}

static void fill_lanczos(void) {
    for (int p = 0; p <= PHASES; p++) {
        double weight[LANCZOS], sum = 0;
        for (int k = 0; k < LANCZOS; k++) {
            double x = (double)p / PHASES + LOBES - 1 - k;
            weight[k] = fabs(x) < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
            sum += weight[k];
        }
        for (int k = 0; k < LANCZOS; k++) lanczos[p][k] = (float)(weight[k] / sum);
    }
}

/* A position along an axis, in pixels: the first of the pixels around it, and their weights. */
typedef struct taps {
    int64_t first;
    const float *weight;
} taps;

static taps taps_at(double x) {
    double whole = floor(x);
    return (taps){(int64_t)whole - LOBES + 1, lanczos[(int)((x - whole) * PHASES + 0.5)]};
}

/* The value at (y, x), in pixels; pixels outside the slice have the value `fill`. */
static float interpolate(const int16_t *in, int64_t h, int64_t w, int16_t fill, double y,
                         double x) {
    if (!(y > -LOBES && y < (double)(h - 1 + LOBES) && x > -LOBES && x < (double)(w - 1 + LOBES)))
        return fill;
    taps down = taps_at(y), across = taps_at(x);
    const bool inside = across.first >= 0 && across.first + LANCZOS <= w;
    float sum = 0;
    for (int k = 0; k < LANCZOS; k++) {
        const int64_t row = down.first + k;
        float line = 0;
        for (int i = 0; i < LANCZOS; i++) {
            const int64_t column = across.first + i;
            const bool known = row >= 0 && row < h && (inside || (column >= 0 && column < w));
            line += across.weight[i] * (float)(known ? in[row * w + column] : fill);
        }
        sum += down.weight[k] * line;
    }
    return sum;
}

/* A walk over the pixels of an output slice, row by row. */
typedef struct slice_walk {
    const warp *warp;
    bool elastic;
    int64_t height, width;          /* of the output */
    int64_t remaining, row, column; /* pixels to come; the next pixel */
    plane at_z;
    double y; /* of the current row */
    line at_y;
} slice_walk;

static void walk_slice(slice_walk *s, const warp *w, double z, int64_t height, int64_t width) {
    s->warp = w;
    s->elastic = is_elastic(w);
    s->height = height;
    s->width = width;
    s->remaining = height * width;
    s->row = -1;
    s->column = width;
    collapse_z(w, z, s->at_z);
}

static void begin_row(slice_walk *s) {
    s->row++;
    s->column = 0;
    s->y = ((double)s->row + 0.5) / (double)s->height;
    if (s->elastic) collapse_y(s->at_z, s->y, s->at_y);
}

/* The input point of the next pixel; false after the last one. */
static bool next_pixel(slice_walk *s, double *from_y, double *from_x) {
    if (s->remaining == 0) return false;
    s->remaining--;
    if (s->column == s->width) begin_row(s);
    double x = ((double)s->column++ + 0.5) / (double)s->width;
    map_point(s->warp, s->elastic ? s->at_y : NULL, s->y, x, from_y, from_x);
    return true;
}

static int16_t to_hu(float value) {
    return (int16_t)lrintf(fminf(INT16_MAX, fmaxf(INT16_MIN, value)));
}

void warp_image(const warp *w, double z, const int16_t *in, int64_t in_h, int64_t in_w,
                int16_t fill, int16_t *out, int64_t out_h, int64_t out_w) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    slice_walk pixels;
    double y, x;
    pthread_once(&once, fill_lanczos);
    walk_slice(&pixels, w, z, out_h, out_w);
    while (next_pixel(&pixels, &y, &x))
        *out++ = to_hu(
            interpolate(in, in_h, in_w, fill, y * (double)in_h - 0.5, x * (double)in_w - 0.5));
}

void warp_labels(const warp *w, double z, const uint8_t *in, int64_t in_h, int64_t in_w,
                 uint8_t *out, int64_t out_h, int64_t out_w) {
    slice_walk pixels;
    double y, x;
    walk_slice(&pixels, w, z, out_h, out_w);
    while (next_pixel(&pixels, &y, &x)) {
        bool inside = y >= 0 && y < 1 && x >= 0 && x < 1;
        int64_t row = inside ? (int64_t)(y * (double)in_h) : 0;
        int64_t column = inside ? (int64_t)(x * (double)in_w) : 0;
        *out++ = inside ? in[row * in_w + column] : 0;
    }
}
