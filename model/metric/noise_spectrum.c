/* The transform of a patch, row by row and column by column, from its definition. */
#include "model/metric/noise_spectrum.h"

#include <complex.h>
#include <math.h>

enum { N = NOISE_PATCH };

/* out[k] = sum of in[n] exp(-2 pi i k n / N) over elements that lie `step` apart. */
static void transform(double complex *at, int64_t step) {
    double complex in[N];
    for (int n = 0; n < N; n++) in[n] = at[n * step];
    for (int k = 0; k < N; k++) {
        double complex sum = 0;
        for (int n = 0; n < N; n++) sum += in[n] * cexp(-2 * M_PI * I * (k * n % N) / N);
        at[k * step] = sum;
    }
}

/* Cycles a pixel of element k, -1/2 < f <= 1/2. */
static double frequency(int k) { return (double)(k <= N / 2 ? k : k - N) / N; }

void noise_spectrum_add(const float *image, int64_t size, int64_t y, int64_t x, double *power) {
    double complex patch[N * N];
    double mean = 0, squares = 0, sum[NOISE_BANDS] = {0};
    int count[NOISE_BANDS] = {0};
    for (int i = 0; i < N * N; i++) mean += (double)image[(y + i / N) * size + x + i % N];
    mean /= N * N;
    for (int i = 0; i < N * N; i++) {
        const double window = pow(sin(M_PI * (i / N + 0.5) / N) * sin(M_PI * (i % N + 0.5) / N), 2);
        patch[i] = window * ((double)image[(y + i / N) * size + x + i % N] - mean);
        squares += window * window;
    }
    for (int row = 0; row < N; row++) transform(patch + row * N, 1);
    for (int column = 0; column < N; column++) transform(patch + column, N);
    for (int i = 1; i < N * N; i++) {
        const int band = (int)ceil(8 * hypot(frequency(i / N), frequency(i % N))) - 1;
        if (band >= NOISE_BANDS) continue;
        sum[band] += pow(cabs(patch[i]), 2) / squares;
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
