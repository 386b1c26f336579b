/* The first steps of a Fisher-Yates shuffle. */
#include "model/metric/subset.h"
#include "model/rng.h"

#include <string.h>

void subset_draw(uint64_t seed, uint64_t index, uint32_t step, int64_t n, int64_t count,
                 int64_t *items) {
    rng_stream r = rng_open(seed, RNG_SUBSET, index, step);
    for (int64_t i = 0; i < n; i++) items[i] = i;
    for (int64_t i = 0; i < count; i++) {
        int64_t other = i + (int64_t)rng_below(&r, (uint64_t)(n - i));
        int64_t item = items[other];
        items[other] = items[i];
        items[i] = item;
    }
}

void subset_rows(const float *x, const int64_t *items, int64_t count, int64_t dim, float *out) {
    for (int64_t i = 0; i < count; i++)
        memcpy(out + i * dim, x + items[i] * dim, (size_t)dim * sizeof *x);
}
