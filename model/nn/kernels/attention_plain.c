/* Attention of a head by the engine's sgemm, in f32 for either type of activations.
 *
 * Scores are computed in tiles of 64 queries and 256 keys, so that the whole score matrix is never
 * held. Forward keeps the running maximum and sum of Milakov & Gimelshein 2018; backward recomputes
 * the probabilities from the saved log-sums (Dao et al. 2022, algorithms 1 and 4).
 */
#include "model/nn/kernels/attention_head.h"

#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/cloned.h"
#include "model/nn/kernels/vector_math.h"
#include "model/nn/int_math.h"

#include <math.h>

enum { QUERIES = 64, KEYS = 256, LANES = 16 };

/* The maximum of row [n] and top. Lanes are written out because a compiler that respects NaN does
 * not vectorise a maximum. */
static inline float row_max(const float *row, int64_t n, float top) {
    float lane[LANES];
    int64_t j = 0;
    for (int l = 0; l < LANES; l++) lane[l] = top;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = row[j + l] > lane[l] ? row[j + l] : lane[l];
    for (; j < n; j++) top = row[j] > top ? row[j] : top;
    for (int l = 0; l < LANES; l++) top = lane[l] > top ? lane[l] : top;
    return top;
}

/* Adds a tile of scores [rows, keys] to a running softmax: scores become exp(score - max), max and
 * sum are updated, and rescale [rows] is the factor for the rows of y summed so far. */
CLONED(void, softmax_tile,
       (float *score, int64_t rows, int64_t keys, float *max, float *sum, float *rescale),
       (score, rows, keys, max, sum, rescale)) {
    for (int64_t r = 0; r < rows; r++) {
        float *row = score + r * KEYS, top = row_max(row, keys, max[r]), total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t j = 0; j < keys; j++) {
            row[j] = fast_exp(row[j] - top);
            total += row[j];
        }
        rescale[r] = fast_exp(max[r] - top);
        sum[r] = sum[r] * rescale[r] + total;
        max[r] = top;
    }
}

CLONED(void, scale_rows, (float *y, int64_t rows, int64_t width, const float *factor),
       (y, rows, width, factor)) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < width; e++) y[r * width + e] *= factor[r];
}

/* Scores become probabilities. */
CLONED(void, probability_tile, (float *score, int64_t rows, int64_t keys, const float *logsum),
       (score, rows, keys, logsum)) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < keys; j++)
            score[r * KEYS + j] = fast_exp(score[r * KEYS + j] - logsum[r]);
}

/* dp becomes ds = p (dp - inner), with inner = sum over keys of p dp, per row. */
CLONED(void, score_gradient_tile,
       (const float *restrict p, int64_t rows, int64_t keys, const float *restrict inner,
        float *restrict dp),
       (p, rows, keys, inner, dp)) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < keys; j++)
            dp[r * KEYS + j] = p[r * KEYS + j] * (dp[r * KEYS + j] - inner[r]);
}

/* out [tokens, width] = rows of an activation that are `stride` elements apart. */
CLONED(void, gather,
       (tensor_type type, const void *x, int64_t tokens, int64_t width, int64_t stride,
        float *restrict out),
       (type, x, tokens, width, stride, out)) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t e = 0; e < width; e++)
            out[t * width + e] = activation_read(type, x, t * stride + e);
}

/* The reverse of gather. */
CLONED(void, scatter,
       (tensor_type type, const float *restrict in, int64_t tokens, int64_t width, int64_t stride,
        void *x),
       (type, in, tokens, width, stride, x)) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t e = 0; e < width; e++)
            activation_write(type, x, t * stride + e, in[t * width + e]);
}

/* Scratch holds these, each [tokens, width], and two tiles [QUERIES, KEYS]. */
enum { Q, K, V, Y, DY, DQ, DK, DV, PARTS };

static float *part(const head *a, int which) {
    return (float *)a->scratch + which * a->tokens * a->width;
}

static float *tile(const head *a, int which) { return part(a, PARTS) + which * QUERIES * KEYS; }

static int64_t plain_scratch(int64_t tokens, int64_t width, tensor_type type) {
    (void)type;
    return (PARTS * tokens * width + 2 * QUERIES * KEYS) * (int64_t)sizeof(float);
}

static void gather_head(const head *a, const void *q) {
    for (int i = 0; i < 3; i++)
        gather(a->type, activation_at(a->type, q, i * a->channels), a->tokens, a->width,
               3 * a->channels, part(a, Q + i));
}

/* Computes y and logsum of queries [first, first + QUERIES). */
static status tile_forward(const head *a, int64_t first, float *logsum) {
    status st = ST_OK;
    const int64_t d = a->width;
    float max[QUERIES], sum[QUERIES] = {0}, rescale[QUERIES];
    float *score = tile(a, 0), *out = part(a, Y) + first * d;
    int64_t rows = min_i64(QUERIES, a->tokens - first);
    for (int64_t r = 0; r < rows; r++) max[r] = -INFINITY;
    for (int64_t j = 0; j < a->tokens; j += KEYS) {
        int64_t keys = min_i64(KEYS, a->tokens - j);
        TRY(a->multiply(false, true, rows, keys, d, a->scale, part(a, Q) + first * d, d,
                        part(a, K) + j * d, d, 0, score, KEYS));
        softmax_tile(score, rows, keys, max, sum, rescale);
        if (j > 0) scale_rows(out, rows, d, rescale);
        TRY(a->multiply(false, false, rows, d, keys, 1, score, KEYS, part(a, V) + j * d, d, j > 0,
                        out, d));
    }
    for (int64_t r = 0; r < rows; r++) {
        logsum[first + r] = max[r] + logf(sum[r]);
        sum[r] = 1 / sum[r];
    }
    scale_rows(out, rows, d, sum);
done:
    return st;
}

static status plain_forward(const head *a, const void *q, void *y, float *logsum) {
    status st = ST_OK;
    gather_head(a, q);
    for (int64_t first = 0; first < a->tokens; first += QUERIES)
        TRY(tile_forward(a, first, logsum));
    scatter(a->type, part(a, Y), a->tokens, a->width, a->channels, y);
done:
    return st;
}

/* Computes dq of queries [first, first + QUERIES), and their contribution to dk and dv, which the
 * first tile of queries overwrites and the others add to. */
static status tile_backward(const head *a, int64_t first, const float *logsum) {
    status st = ST_OK;
    const int64_t d = a->width;
    float *p = tile(a, 0), *ds = tile(a, 1), inner[QUERIES] = {0};
    int64_t rows = min_i64(QUERIES, a->tokens - first);
    const float *q = part(a, Q) + first * d, *y = part(a, Y) + first * d;
    const float *dy = part(a, DY) + first * d;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < d; e++) inner[r] += dy[r * d + e] * y[r * d + e];
    for (int64_t j = 0; j < a->tokens; j += KEYS) {
        int64_t keys = min_i64(KEYS, a->tokens - j), at = j * d;
        TRY(a->multiply(false, true, rows, keys, d, a->scale, q, d, part(a, K) + at, d, 0, p,
                        KEYS));
        probability_tile(p, rows, keys, logsum + first);
        TRY(a->multiply(true, false, keys, d, rows, 1, p, KEYS, dy, d, first > 0, part(a, DV) + at,
                        d));
        TRY(a->multiply(false, true, rows, keys, d, 1, dy, d, part(a, V) + at, d, 0, ds, KEYS));
        score_gradient_tile(p, rows, keys, inner, ds);
        TRY(a->multiply(false, false, rows, d, keys, a->scale, ds, KEYS, part(a, K) + at, d, j > 0,
                        part(a, DQ) + first * d, d));
        TRY(a->multiply(true, false, keys, d, rows, a->scale, ds, KEYS, q, d, first > 0,
                        part(a, DK) + at, d));
    }
done:
    return st;
}

static status plain_backward(const head *a, const void *q, const void *y, const float *logsum,
                             const void *dy, void *dq) {
    status st = ST_OK;
    gather_head(a, q);
    gather(a->type, y, a->tokens, a->width, a->channels, part(a, Y));
    gather(a->type, dy, a->tokens, a->width, a->channels, part(a, DY));
    for (int64_t first = 0; first < a->tokens; first += QUERIES)
        TRY(tile_backward(a, first, logsum));
    for (int i = 0; i < 3; i++)
        scatter(a->type, part(a, DQ + i), a->tokens, a->width, 3 * a->channels,
                activation_at(a->type, dq, i * a->channels));
done:
    return st;
}

const head_kernels head_plain = {false, plain_scratch, plain_forward, plain_backward};
