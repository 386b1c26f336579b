/* Area averages and votes, in whole numbers: in units of 1 / size of an input pixel, output pixel o
 * covers [o side, (o + 1) side) and input pixel i covers [i size, (i + 1) size). Overlaps are
 * therefore integers, sums are exact, and the mean of a slice is kept to the last float rounding.
 */
#include "model/warp.h"

#include <math.h>

/* A slice centred in a square: pixel (y, x) of the square is (y - top, x - left) of the slice. */
typedef struct frame {
    int64_t height, width, side, top, left, size;
} frame;

static frame frame_of(int64_t height, int64_t width, int64_t size) {
    int64_t side = height > width ? height : width;
    return (frame){height, width, side, (side - height) / 2, (side - width) / 2, size};
}

/* Input pixels [first, last) of the square that output pixel o touches. */
static int64_t first_of(const frame *f, int64_t o) { return o * f->side / f->size; }
static int64_t last_of(const frame *f, int64_t o) {
    return ((o + 1) * f->side + f->size - 1) / f->size;
}

static int64_t overlap(const frame *f, int64_t o, int64_t i) {
    int64_t from = o * f->side, to = from + f->side;
    int64_t begin = i * f->size, end = begin + f->size;
    return (to < end ? to : end) - (from > begin ? from : begin);
}

/* Index into the slice, or -1 in the frame around it. */
static int64_t source(const frame *f, int64_t y, int64_t x) {
    int64_t row = y - f->top, column = x - f->left;
    int inside = row >= 0 && row < f->height && column >= 0 && column < f->width;
    return inside ? row * f->width + column : -1;
}

static float average(const frame *f, const int16_t *hu, float fill, int64_t oy, int64_t ox) {
    int64_t sum = 0, empty = 0;
    for (int64_t y = first_of(f, oy); y < last_of(f, oy); y++) {
        int64_t weight_y = overlap(f, oy, y);
        for (int64_t x = first_of(f, ox); x < last_of(f, ox); x++) {
            int64_t weight = weight_y * overlap(f, ox, x), at = source(f, y, x);
            if (at >= 0)
                sum += weight * hu[at];
            else
                empty += weight;
        }
    }
    double area = (double)f->side * (double)f->side;
    return (float)(((double)sum + (double)fill * (double)empty) / area);
}

void resize_image(const int16_t *hu, int64_t in_h, int64_t in_w, float fill, float *out,
                  int64_t size) {
    frame f = frame_of(in_h, in_w, size);
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++) out[y * size + x] = average(&f, hu, fill, y, x);
}

/* Only the votes up to the largest label seen are looked at: most slices have few. */
static uint8_t vote(const frame *f, const uint8_t *labels, int64_t oy, int64_t ox) {
    int64_t votes[UINT8_MAX + 1];
    int most = -1, best = 0;
    for (int64_t y = first_of(f, oy); y < last_of(f, oy); y++) {
        int64_t weight_y = overlap(f, oy, y);
        for (int64_t x = first_of(f, ox); x < last_of(f, ox); x++) {
            int64_t at = source(f, y, x);
            int label = at >= 0 ? labels[at] : 0;
            while (most < label) votes[++most] = 0;
            votes[label] += weight_y * overlap(f, ox, x);
        }
    }
    for (int label = 1; label <= most; label++)
        if (votes[label] >= votes[best]) best = label;
    return (uint8_t)best;
}

void resize_labels(const uint8_t *in, int64_t in_h, int64_t in_w, uint8_t *out, int64_t size) {
    frame f = frame_of(in_h, in_w, size);
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++) out[y * size + x] = vote(&f, in, y, x);
}

float window_apply(float hu, double low, double high) {
    double value = 2 * (hu - low) / (high - low) - 1;
    return (float)fmin(1, fmax(-1, value));
}

int16_t window_undo(float value, double low, double high) {
    double inside = fmin(1, fmax(-1, (double)value));
    double hu = low + (inside + 1) / 2 * (high - low);
    return (int16_t)lround(fmin(INT16_MAX, fmax(INT16_MIN, hu)));
}
