/* Filters white noise with the root of a power spectrum. */
#include "model/residual_noise.h"

#include <math.h>
#include <string.h>

enum { N = RESIDUAL_PATCH, SIDE = RESIDUAL_SIDE, REACH = SIDE / 2 };

void residual_kernel(const double *power, float *kernel) {
    double value[SIDE * SIDE], squares = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int y = i / SIDE - REACH, x = i % SIDE - REACH;
        value[i] = 0;
        for (int k = 0; k < N * N; k++) /* a real image's power is even: the sum is real */
            value[i] += sqrt(power[k]) * cos(2 * M_PI * (k / N * y + k % N * x) / N);
        squares += value[i] * value[i];
    }
    for (int i = 0; i < SIDE * SIDE; i++)
        kernel[i] = squares > 0 ? (float)(value[i] / sqrt(squares)) : 0;
}

int64_t residual_scratch(int64_t size) { return (size + SIDE - 1) * (size + SIDE - 1); }

void residual_field(const residual_noise *n, rng_stream *r, int64_t size, float *scratch,
                    float *out) {
    const int64_t width = size + SIDE - 1;
    rng_fill_normal(r, scratch, width * width);
    memset(out, 0, (size_t)(size * size) * sizeof *out);
    for (int64_t y = 0; y < size; y++)
        for (int k = 0; k < SIDE * SIDE; k++) {
            const float weight = n->kernel[k], *from = scratch + (y + k / SIDE) * width + k % SIDE;
            for (int64_t x = 0; x < size; x++) out[y * size + x] += weight * from[x];
        }
}

double residual_level(const residual_noise *n, double u) {
    const double at = fmin(fmax(u * RESIDUAL_LEVELS - 0.5, 0), RESIDUAL_LEVELS - 1);
    const int below = (int)at < RESIDUAL_LEVELS - 1 ? (int)at : RESIDUAL_LEVELS - 2;
    const double part = at - below;
    return (1 - part) * (double)n->level[below] + part * (double)n->level[below + 1];
}
