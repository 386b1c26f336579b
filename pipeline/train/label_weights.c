/* Counts pixels, divided over the ranks; whole numbers, whose sums are exact. */
#include "pipeline/train/label_weights.h"

#include "io/activity.h"
#include "io/alloc.h"

#include <math.h>

enum { SLICES_MAX = 4096 };

/* Adds the pixels of this rank's slices to pixels[labels]. Local. */
static status count_pixels(const comm *c, slices *from, int64_t size, int64_t labels,
                           int64_t *pixels) {
    status st = ST_OK;
    const int64_t all = slices_count(from), count = all < SLICES_MAX ? all : SLICES_MAX;
    slice_sample one = {0};
    TRY(array_alloc(&one.image, size * size, sizeof *one.image, "a slice"));
    TRY(array_alloc(&one.labels, size * size, 1, "a label map"));
    for (int64_t k = comm_rank(c); k < count; k += comm_size(c)) {
        TRY(slices_get(from, k * all / count, &one));
        for (int64_t i = 0; i < size * size; i++)
            pixels[one.labels[i] < labels ? one.labels[i] : 0]++;
        activity_progress();
    }
done:
    free(one.image);
    free(one.labels);
    return st;
}

status label_weights_measure(const comm *c, slices *from, int64_t size, int64_t labels, double most,
                             double *weight) {
    status st = ST_OK;
    int64_t *pixels = NULL, largest = 0;
    double total = 0, sum = 0;
    st = array_alloc(&pixels, labels, sizeof *pixels, "pixels of labels");
    if (st == ST_OK) st = count_pixels(c, from, size, labels, pixels);
    TRY(comm_agree(c, st));
    TRY(comm_sum_i64(c, pixels, labels));
    for (int64_t k = 0; k < labels; k++) largest = pixels[k] > largest ? pixels[k] : largest;
    for (int64_t k = 0; k < labels; k++) {
        weight[k] = pixels[k] > 0 ? fmin(most, (double)largest / (double)pixels[k]) : most;
        total += (double)pixels[k];
        sum += (double)pixels[k] * weight[k];
    }
    for (int64_t k = 0; k < labels; k++) weight[k] *= total / sum;
done:
    free(pixels);
    return st;
}
