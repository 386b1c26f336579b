/* Counts grey values and finds medians. */
#include "pipeline/common/grey_histogram.h"

#include <math.h>
#include <stdbool.h>

static void count_value(grey_histogram *h, float grey) {
    float at = (grey + 1) * (GREY_BINS / 2);
    int bin = at > 0 ? at < GREY_BINS ? (int)at : GREY_BINS - 1 : 0;
    h->count[bin]++;
    h->total++;
}

void grey_add(grey_structure *s, const uint8_t *labels, const float *image, int64_t size) {
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++) {
            const uint8_t *at = &labels[y * size + x];
            bool inside = y > 0 && y + 1 < size && x > 0 && x + 1 < size && at[-size] == *at &&
                          at[size] == *at && at[-1] == *at && at[1] == *at;
            count_value(&s[*at].all, image[y * size + x]);
            if (inside) count_value(&s[*at].inside, image[y * size + x]);
        }
}

double grey_value(const grey_structure *s) {
    const bool enough = s->inside.total >= 4 && 4 * s->inside.total >= s->all.total;
    const grey_histogram *h = enough ? &s->inside : &s->all;
    double left = (double)h->total / 2;
    for (int bin = 0; bin < GREY_BINS && h->total > 0; bin++) {
        double count = (double)h->count[bin];
        if (left <= count) return (bin + left / count) * 2 / GREY_BINS - 1;
        left -= count;
    }
    return NAN;
}
