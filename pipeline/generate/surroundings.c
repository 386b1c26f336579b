/* The distance to the nearest changed pixel, up to the width of the border. */
#include "pipeline/generate/surroundings.h"

#include <math.h>

enum { MARGIN = 1, REACH = 4 }; /* pixels: where real pixels begin to count, and are all */

/* Lowers the kept part of the pixels around a changed one at y, x. */
static void lower_around(float *keep, int64_t size, int64_t y, int64_t x) {
    for (int64_t v = -REACH; v <= REACH; v++)
        for (int64_t u = -REACH; u <= REACH; u++) {
            if (y + v < 0 || y + v >= size || x + u < 0 || x + u >= size) continue;
            const double distance = sqrt((double)(u * u + v * v));
            const float part = (float)fmax(0, (distance - MARGIN) / (REACH - MARGIN));
            float *at = &keep[(y + v) * size + x + u];
            *at = fminf(*at, part);
        }
}

bool surroundings_keep(const uint8_t *source, const uint8_t *labels, int64_t size, float *keep) {
    bool any = false;
    for (int64_t i = 0; i < size * size; i++) keep[i] = 1;
    for (int64_t i = 0; i < size * size; i++) {
        if (source[i] == labels[i]) continue;
        lower_around(keep, size, i / size, i % size);
        any = true;
    }
    return any;
}
