/* Draws without replacement, for metrics that are computed on parts of a set. */
#ifndef CTAUG_MODEL_METRIC_SUBSET_H
#define CTAUG_MODEL_METRIC_SUBSET_H

#include <stdint.h>

/* items[0..count): `count` of the numbers 0..n-1 in random order, each subset equally likely. items
 * has room for n numbers; 0 <= count <= n. The stream is (seed, RNG_SUBSET, index, step). Local. */
void subset_draw(uint64_t seed, uint64_t index, uint32_t step, int64_t n, int64_t count,
                 int64_t *items);

/* out[count][dim]: the rows `items` of x[n][dim]. Local. */
void subset_rows(const float *x, const int64_t *items, int64_t count, int64_t dim, float *out);

#endif
