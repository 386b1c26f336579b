/* The feature vectors of tests/golden/features.py. */
#ifndef CTAUG_TESTS_FEATURE_CASE_H
#define CTAUG_TESTS_FEATURE_CASE_H

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* [n][dim], which the caller frees; NULL without memory. */
static inline float *features(int n, int dim, int which) {
    float *x = malloc((size_t)n * (size_t)dim * sizeof *x);
    if (!x) return NULL;
    for (int r = 0; r < n; r++)
        for (int i = 0; i < dim; i++)
            x[r * dim + i] = (float)(sin(1.3 * r * (i + 1) + which) +
                                     0.3 * cos(0.7 * r + i * i) * (1 + which) + 0.1 * i * which);
    return x;
}

#endif
