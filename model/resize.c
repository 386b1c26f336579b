/* Resampling of slices to the working size by area averages (HU) and votes (labels), and the HU
 * window.
 *
 * Overlaps of pixels are computed in integers: in units of 1 / size of an input pixel, output pixel
 * o covers [o side, (o + 1) side) and input pixel i covers [i size, (i + 1) size). Sums are
 * therefore exact, and the mean of a slice is preserved up to the final rounding to float.
 *
 * The input rows under an output row are first reduced along y, column by column, in loops that
 * vectorise; an output pixel then reduces a short range of columns.
 */
#include "model/warp.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* A slice centred in a square: pixel (y, x) of the square is (y - top, x - left) of the slice. */
typedef struct frame {
    int64_t height, width, side, top, left, size;
} frame;

static frame frame_of(int64_t height, int64_t width, int64_t size) {
    int64_t side = height > width ? height : width;
    return (frame){height, width, side, (side - height) / 2, (side - width) / 2, size};
}

/* Input pixels [from, to) along an axis of the square. */
typedef struct range {
    int64_t from, to;
} range;

/* The input pixels that output pixel o overlaps. */
static range under(const frame *f, int64_t o) {
    return (range){o * f->side / f->size, ((o + 1) * f->side + f->size - 1) / f->size};
}

/* The part of r inside the slice, which begins at `start` and is `length` pixels long. */
static range inside(range r, int64_t start, int64_t length) {
    if (r.from < start) r.from = start;
    if (r.to > start + length) r.to = start + length;
    return r;
}

/* Overlap of output pixel o and input pixel i, in units of 1 / size. */
static int64_t overlap(const frame *f, int64_t o, int64_t i) {
    int64_t from = o * f->side, to = from + f->side;
    int64_t begin = i * f->size, end = begin + f->size;
    return (to < end ? to : end) - (from > begin ? from : begin);
}

/* The sum of overlaps with the input pixels of r. */
static int64_t overlaps(const frame *f, int64_t o, range r) {
    int64_t sum = 0;
    for (int64_t i = r.from; i < r.to; i++) sum += overlap(f, o, i);
    return sum;
}

/* Up to STRIP columns of the square, reduced along y over the input rows under an output row. */
enum { STRIP = 512 };

typedef struct strip {
    range columns;
    union {
        double sum[STRIP]; /* weighted HU: integers, exact below 2^53 */
        struct {
            uint8_t min[STRIP], max[STRIP];
        } label;
    };
} strip;

/* Sets the columns of the strip (from x on, inside the slice) and returns their number. */
static int64_t begin_strip(const frame *f, strip *s, int64_t x) {
    s->columns = inside((range){x, x + STRIP}, f->left, f->width);
    return s->columns.to - x;
}

static void sum_rows(const frame *f, const int16_t *hu, int64_t oy, range rows, strip *s,
                     int64_t x) {
    int64_t n = begin_strip(f, s, x);
    memset(s->sum, 0, sizeof s->sum);
    for (int64_t y = rows.from; y < rows.to; y++) {
        const int16_t *row = hu + (y - f->top) * f->width + x - f->left;
        double weight = (double)overlap(f, oy, y);
        for (int64_t k = 0; k < n; k++) s->sum[k] += weight * row[k];
    }
}

void resize_image(const int16_t *hu, int64_t in_h, int64_t in_w, float fill, float *out,
                  int64_t size) {
    frame f = frame_of(in_h, in_w, size);
    strip s;
    double area = (double)f.side * (double)f.side;
    for (int64_t oy = 0; oy < size; oy++) {
        range rows = inside(under(&f, oy), f.top, in_h);
        int64_t height = overlaps(&f, oy, rows);
        s.columns = (range){0, 0};
        for (int64_t ox = 0; ox < size; ox++) {
            range columns = inside(under(&f, ox), f.left, in_w);
            double sum = 0;
            for (int64_t x = columns.from; x < columns.to; x++) {
                if (x >= s.columns.to) sum_rows(&f, hu, oy, rows, &s, x);
                sum += (double)overlap(&f, ox, x) * s.sum[x - s.columns.from];
            }
            int64_t empty = f.side * f.side - height * overlaps(&f, ox, columns);
            out[oy * size + ox] = (float)((sum + (double)fill * (double)empty) / area);
        }
    }
}

/* The most frequent label of the area of an output pixel. Votes are initialised and compared only
 * up to the largest label seen, because most slices have few labels. */
static uint8_t vote(const frame *f, const uint8_t *labels, int64_t oy, int64_t ox) {
    int64_t votes[UINT8_MAX + 1];
    range rows = inside(under(f, oy), f->top, f->height);
    range columns = inside(under(f, ox), f->left, f->width);
    int largest = 0, best = 0;
    votes[0] = f->side * f->side - overlaps(f, oy, rows) * overlaps(f, ox, columns);
    for (int64_t y = rows.from; y < rows.to; y++) {
        const uint8_t *row = labels + (y - f->top) * f->width;
        int64_t weight = overlap(f, oy, y);
        for (int64_t x = columns.from; x < columns.to; x++) {
            int label = row[x - f->left];
            while (largest < label) votes[++largest] = 0;
            votes[label] += weight * overlap(f, ox, x);
        }
    }
    for (int label = 1; label <= largest; label++)
        if (votes[label] >= votes[best]) best = label;
    return (uint8_t)best;
}

/* The smallest and the largest label of every column of the strip. */
static void bound_rows(const frame *f, const uint8_t *labels, range rows, strip *s, int64_t x) {
    int64_t n = begin_strip(f, s, x);
    memset(s->label.min, UINT8_MAX, sizeof s->label.min);
    memset(s->label.max, 0, sizeof s->label.max);
    for (int64_t y = rows.from; y < rows.to; y++) {
        const uint8_t *row = labels + (y - f->top) * f->width + x - f->left;
        for (int64_t k = 0; k < n; k++) {
            uint8_t min = s->label.min[k], max = s->label.max[k];
            s->label.min[k] = row[k] < min ? row[k] : min;
            s->label.max[k] = row[k] > max ? row[k] : max;
        }
    }
}

static bool same(range a, range b) { return a.from == b.from && a.to == b.to; }

/* Most areas lie inside the slice and hold one label only; they need no vote. */
void resize_labels(const uint8_t *in, int64_t in_h, int64_t in_w, uint8_t *out, int64_t size) {
    frame f = frame_of(in_h, in_w, size);
    strip s;
    for (int64_t oy = 0; oy < size; oy++) {
        range rows = inside(under(&f, oy), f.top, in_h);
        bool whole = same(rows, under(&f, oy));
        s.columns = (range){0, 0};
        for (int64_t ox = 0; ox < size; ox++) {
            range columns = inside(under(&f, ox), f.left, in_w);
            uint8_t min = UINT8_MAX, max = 0;
            for (int64_t x = columns.from; x < columns.to; x++) {
                if (x >= s.columns.to) bound_rows(&f, in, rows, &s, x);
                uint8_t low = s.label.min[x - s.columns.from];
                uint8_t high = s.label.max[x - s.columns.from];
                if (low < min) min = low;
                if (high > max) max = high;
            }
            bool one = whole && same(columns, under(&f, ox)) && min == max;
            out[oy * size + ox] = one ? max : vote(&f, in, oy, ox);
        }
    }
}

/* The comparisons are written so that NaN becomes -1. */
float window_apply(float hu, double low, double high) {
    double value = 2 * (hu - low) / (high - low) - 1;
    value = value > -1 ? value : -1;
    return (float)(value < 1 ? value : 1);
}

int16_t window_invert(float value, double low, double high) {
    double inside = fmin(1, fmax(-1, (double)value));
    double hu = low + (inside + 1) / 2 * (high - low);
    return (int16_t)lround(fmin(INT16_MAX, fmax(INT16_MIN, hu)));
}
