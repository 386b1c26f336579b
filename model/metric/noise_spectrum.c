/* The transform of a patch, row by row and column by column, from its definition. */
#include "model/metric/noise_spectrum.h"

#include <complex.h>
#include <math.h>

enum { N = NOISE_PATCH };

/* out[k] = sum of in[m] exp(-2 pi i k m / n) over n elements that lie `step` apart. */
static void transform(double complex *at, int n, int64_t step) {
    double complex in[N];
    for (int m = 0; m < n; m++) in[m] = at[m * step];
    for (int k = 0; k < n; k++) {
        double complex sum = 0;
        for (int m = 0; m < n; m++) sum += in[m] * cexp(-2 * M_PI * I * (k * m % n) / n);
        at[k * step] = sum;
    }
}

/* Cycles a pixel of element k, -1/2 < f <= 1/2. */
static double frequency(int k) { return (double)(k <= N / 2 ? k : k - N) / N; }

void noise_spectrum_power(const float *image, int64_t size, int64_t y, int64_t x, int side,
                          double *power) {
    const int pixels = side * side;
    double complex patch[N * N];
    double mean = 0, squares = 0;
    for (int i = 0; i < pixels; i++)
        mean += (double)image[(y + i / side) * size + x + i % side] / pixels;
    for (int i = 0; i < pixels; i++) {
        const double window =
            pow(sin(M_PI * (i / side + 0.5) / side) * sin(M_PI * (i % side + 0.5) / side), 2);
        patch[i] = window * ((double)image[(y + i / side) * size + x + i % side] - mean);
        squares += window * window;
    }
    for (int row = 0; row < side; row++) transform(patch + row * side, side, 1);
    for (int column = 0; column < side; column++) transform(patch + column, side, side);
    for (int i = 0; i < pixels; i++) power[i] += pow(cabs(patch[i]), 2) / squares;
}

void noise_spectrum_add(const float *image, int64_t size, int64_t y, int64_t x, double *power) {
    double all[N * N] = {0}, sum[NOISE_BANDS] = {0};
    int count[NOISE_BANDS] = {0};
    noise_spectrum_power(image, size, y, x, N, all);
    for (int i = 1; i < N * N; i++) {
        const int band = (int)ceil(8 * hypot(frequency(i / N), frequency(i % N))) - 1;
        if (band >= NOISE_BANDS) continue;
        sum[band] += all[i];
        count[band]++;
    }
    for (int b = 0; b < NOISE_BANDS; b++) power[b] += sum[b] / count[b];
}

bool noise_spectrum_is_uniform(const uint8_t *labels, int64_t size, int64_t y, int64_t x) {
    const uint8_t label = labels[y * size + x];
    bool same = label != 0;
    for (int i = 0; same && i < N * N; i++) same = labels[(y + i / N) * size + x + i % N] == label;
    return same;
}
