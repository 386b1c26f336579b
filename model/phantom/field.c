/* Creation of a smooth random field: white noise, filtered by a periodic separable Gaussian that is
 * normalised to variance 1. (The variance of filtered white noise is the filter's squared norm.) */
#include "model/phantom/field.h"
#include "io/alloc.h"

#include <math.h>
#include <string.h>

enum { REACH_MAX = 24 };

/* Filters one line of n points, `stride` apart, starting at `base`. `line` holds n points. */
static void blur_line(vec4 *base, int64_t stride, int n, const float *taps, int reach, vec4 *line) {
    for (int i = 0; i < n; i++) line[i] = base[i * stride];
    for (int i = 0; i < n; i++) {
        vec4 sum = taps[0] * line[i];
        for (int k = 1; k <= reach; k++)
            sum += taps[k] * (line[(i + k) & (n - 1)] + line[(i - k) & (n - 1)]);
        base[i * stride] = sum;
    }
}

/* Taps of a Gaussian with unit squared norm; returns the largest offset. */
static int gaussian_taps(float blur, float taps[REACH_MAX + 1]) {
    int reach = (int)ceilf(3.0f * blur);
    if (reach > REACH_MAX) reach = REACH_MAX;
    float square = 0;
    for (int k = 0; k <= reach; k++) {
        taps[k] = expf(-0.5f * (float)(k * k) / (blur * blur));
        square += (k ? 2.0f : 1.0f) * taps[k] * taps[k];
    }
    for (int k = 0; k <= reach; k++) taps[k] /= sqrtf(square);
    return reach;
}

status field_create(rng_stream *r, int n, float cell, float blur, field *out) {
    status st = ST_OK;
    vec4 *line = NULL;
    const int64_t points = (int64_t)n * n * n;
    memset(out, 0, sizeof *out);
    TRY(array_alloc(&out->at, points, sizeof(vec4), "a random field"));
    TRY(array_alloc(&line, n, sizeof(vec4), "a line of a random field"));
    out->n = n;
    out->cell = cell;
    rng_fill_normal(r, (float *)out->at, 4 * points);
    float taps[REACH_MAX + 1];
    const int reach = gaussian_taps(blur, taps);
    for (int64_t i = 0; i < (int64_t)n * n; i++) {
        blur_line(out->at + i * n, 1, n, taps, reach, line);
    }
    for (int64_t i = 0; i < (int64_t)n * n; i++) {
        blur_line(out->at + i / n * n * n + i % n, n, n, taps, reach, line);
    }
    for (int64_t i = 0; i < (int64_t)n * n; i++) {
        blur_line(out->at + i, (int64_t)n * n, n, taps, reach, line);
    }
done:
    free(line);
    if (st != ST_OK) field_free(out);
    return st;
}

void field_free(field *f) {
    free(f->at);
    f->at = NULL;
}
