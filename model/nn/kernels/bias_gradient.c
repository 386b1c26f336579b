/* The bias gradient of a convolution, for engines whose library does not return it. */
#include "model/nn/kernels/bias_gradient.h"

enum { ROWS = 1024 };

/* Sums are f32 within blocks of ROWS rows and f64 over the blocks. */
void bias_gradient_add(const float *dy, int64_t rows, int64_t out, float *db) {
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < out; first += 16) {
        double total[16] = {0};
        int64_t width = out - first < 16 ? out - first : 16;
        for (int64_t r = 0; r < rows; r += ROWS) {
            float sum[16] = {0};
            for (int64_t i = r; i < r + ROWS && i < rows; i++)
                for (int64_t o = 0; o < width; o++) sum[o] += dy[i * out + first + o];
            for (int64_t o = 0; o < width; o++) total[o] += sum[o];
        }
        for (int64_t o = 0; o < width; o++) db[first + o] += (float)total[o];
    }
}
