/* Measures noise inside structures and differences across their borders. */
#include "pipeline/data/texture.h"

#include <math.h>

/* The difference across the border between pixels a and b, counted for both structures. */
static void add_pair(texture_sums *sums, const float *image, const uint8_t *labels, int64_t a,
                     int64_t b, double scale) {
    const int k[2] = {labels[a], labels[b]};
    if (k[0] == k[1]) return;
    for (int i = 0; i < 2; i++)
        if (k[i] != 0) {
            sums[k[i]].edge += fabs((double)image[a] - (double)image[b]) * scale;
            sums[k[i]].edge_count++;
        }
}

void texture_add(texture_sums *sums, const float *image, const uint8_t *labels, int64_t size,
                 double range, double spacing) {
    const double hu = range / 2;
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++) {
            const int64_t p = y * size + x;
            const int k = labels[p];
            if (x + 1 < size) add_pair(sums, image, labels, p, p + 1, hu / spacing);
            if (y + 1 < size) add_pair(sums, image, labels, p, p + size, hu / spacing);
            if (k == 0 || x == 0 || y == 0 || x + 1 == size || y + 1 == size) continue;
            if (labels[p - 1] != k || labels[p + 1] != k || labels[p - size] != k ||
                labels[p + size] != k)
                continue;
            const double mean = ((double)image[p - 1] + (double)image[p + 1] +
                                 (double)image[p - size] + (double)image[p + size]) /
                                4;
            const double difference = ((double)image[p] - mean) * hu;
            /* Of white noise of variance v the difference has 1.25 v. */
            sums[k].noise += difference * difference / 1.25;
            sums[k].noise_count++;
        }
}

double texture_noise(const texture_sums *s) {
    return s->noise_count > 0 ? sqrt(s->noise / s->noise_count) : (double)NAN;
}

double texture_edge(const texture_sums *s) {
    return s->edge_count > 0 ? s->edge / s->edge_count : (double)NAN;
}
