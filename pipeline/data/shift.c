/* Field of view, dose and kernel of the shifted test set. */
#include "pipeline/data/shift.h"

#include "io/alloc.h"

#include <math.h>

enum { RADIUS = 3 }; /* of the kernel, pixels */

static const double FIELD = 1.15; /* of the field of view, relative to the stored one */
static const float NOISE = 60;    /* HU, before the kernel */
static const double BLUR = 0.7;   /* standard deviation of the Gaussian kernel, pixels */

const char *shift_description(void) {
    return "field of view 1.15 times as large, white noise of 60 HU, then a Gaussian kernel of 0.7 "
           "pixels (at most twice the working resolution)";
}

double shift_field(void) { return FIELD; }

void shift_warp(warp *w) {
    warp_identity(w);
    w->affine[0][0] = FIELD;
    w->affine[1][1] = FIELD;
}

/* The weights of offsets -RADIUS..RADIUS; they sum to 1. */
static void kernel(float weight[2 * RADIUS + 1]) {
    double sum = 0;
    for (int i = -RADIUS; i <= RADIUS; i++) sum += exp(-0.5 * i * i / (BLUR * BLUR));
    for (int i = -RADIUS; i <= RADIUS; i++)
        weight[i + RADIUS] = (float)(exp(-0.5 * i * i / (BLUR * BLUR)) / sum);
}

static int64_t clamp_index(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* Filters lines of n values that are `next` apart; the lines start `line` apart. The edge values
 * are repeated outside. */
static void filter(const float *in, float *out, int64_t n, int64_t next, int64_t line,
                   const float weight[2 * RADIUS + 1]) {
    for (int64_t l = 0; l < n; l++)
        for (int64_t i = 0; i < n; i++) {
            float sum = 0;
            for (int k = -RADIUS; k <= RADIUS; k++)
                sum += weight[k + RADIUS] * in[l * line + clamp_index(i + k, n) * next];
            out[l * line + i * next] = sum;
        }
}

status shift_scan(int16_t *hu, int64_t side, rng_stream *r) {
    status st = ST_OK;
    const int64_t pixels = side * side;
    float *noisy = NULL, *half = NULL, weight[2 * RADIUS + 1];
    kernel(weight);
    TRY(array_alloc(&noisy, pixels, sizeof *noisy, "a slice"));
    TRY(array_alloc(&half, pixels, sizeof *half, "a slice"));
    rng_fill_normal(r, noisy, pixels);
    for (int64_t p = 0; p < pixels; p++) noisy[p] = (float)hu[p] + NOISE * noisy[p];
    filter(noisy, half, side, 1, side, weight);
    filter(half, noisy, side, side, 1, weight);
    for (int64_t p = 0; p < pixels; p++)
        hu[p] = (int16_t)lrintf(fminf(fmaxf(noisy[p], INT16_MIN), INT16_MAX));
done:
    free(noisy);
    free(half);
    return st;
}
