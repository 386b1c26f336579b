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
CLONED(void, gather_rows,
       (tensor_type type, const void *x, int64_t tokens, int64_t width, int64_t stride,
        float *restrict out),
       (type, x, tokens, width, stride, out)) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t e = 0; e < width; e++)
            out[t * width + e] = activation_read(type, x, t * stride + e);
}

/* The reverse of gather_rows. */
CLONED(void, scatter_rows,
       (tensor_type type, const float *restrict in, int64_t tokens, int64_t width, int64_t stride,
        void *x),
       (type, in, tokens, width, stride, x)) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t e = 0; e < width; e++)
            activation_write(type, x, t * stride + e, in[t * width + e]);
}

float *attention_part(const head *a, attention_parts which) {
    const int64_t rows =
        which < PART_K ? which * a->tokens : PART_K * a->tokens + (which - PART_K) * a->keys;
    return (float *)a->scratch + rows * a->width;
}

static float *tile(const head *a, int which) {
    return attention_part(a, PARTS) + which * QUERIES * KEYS;
}

int64_t attention_parts_bytes(int64_t tokens, int64_t keys, int64_t width) {
    const int64_t floats = PART_K * tokens * width + (PARTS - PART_K) * keys * width;
    return (floats + 2 * QUERIES * KEYS) * (int64_t)sizeof(float);
}

void attention_gather(tensor_type type, const void *x, int64_t rows, int64_t width, int64_t stride,
                      float *out) {
    gather_rows(type, x, rows, width, stride, out);
}

void attention_scatter(tensor_type type, const float *in, int64_t rows, int64_t width,
                       int64_t stride, void *x) {
    scatter_rows(type, in, rows, width, stride, x);
}

/* Computes y and logsum of queries [first, first + QUERIES). */
static status tile_forward(const head *a, int64_t first, float *logsum) {
    status st = ST_OK;
    const int64_t d = a->width;
    float max[QUERIES], sum[QUERIES] = {0}, rescale[QUERIES];
    float *score = tile(a, 0), *out = attention_part(a, PART_Y) + first * d;
    int64_t rows = min_i64(QUERIES, a->tokens - first);
    for (int64_t r = 0; r < rows; r++) max[r] = -INFINITY;
    for (int64_t j = 0; j < a->keys; j += KEYS) {
        int64_t keys = min_i64(KEYS, a->keys - j);
        TRY(a->multiply(false, true, rows, keys, d, a->scale, attention_part(a, PART_Q) + first * d,
                        d, attention_part(a, PART_K) + j * d, d, 0, score, KEYS));
        softmax_tile(score, rows, keys, max, sum, rescale);
        if (j > 0) scale_rows(out, rows, d, rescale);
        TRY(a->multiply(false, false, rows, d, keys, 1, score, KEYS,
                        attention_part(a, PART_V) + j * d, d, j > 0, out, d));
    }
    for (int64_t r = 0; r < rows; r++) {
        logsum[first + r] = max[r] + logf(sum[r]);
        sum[r] = 1 / sum[r];
    }
    scale_rows(out, rows, d, sum);
done:
    return st;
}

status attention_tiles_forward(const head *a, float *logsum) {
    status st = ST_OK;
    for (int64_t first = 0; first < a->tokens; first += QUERIES)
        TRY(tile_forward(a, first, logsum));
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
    const float *q = attention_part(a, PART_Q) + first * d,
                *y = attention_part(a, PART_Y) + first * d;
    const float *dy = attention_part(a, PART_DY) + first * d;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < d; e++) inner[r] += dy[r * d + e] * y[r * d + e];
    for (int64_t j = 0; j < a->keys; j += KEYS) {
        int64_t keys = min_i64(KEYS, a->keys - j), at = j * d;
        TRY(a->multiply(false, true, rows, keys, d, a->scale, q, d, attention_part(a, PART_K) + at,
                        d, 0, p, KEYS));
        probability_tile(p, rows, keys, logsum + first);
        TRY(a->multiply(true, false, keys, d, rows, 1, p, KEYS, dy, d, first > 0,
                        attention_part(a, PART_DV) + at, d));
        TRY(a->multiply(false, true, rows, keys, d, 1, dy, d, attention_part(a, PART_V) + at, d, 0,
                        ds, KEYS));
        score_gradient_tile(p, rows, keys, inner, ds);
        TRY(a->multiply(false, false, rows, d, keys, a->scale, ds, KEYS,
                        attention_part(a, PART_K) + at, d, j > 0,
                        attention_part(a, PART_DQ) + first * d, d));
        TRY(a->multiply(true, false, keys, d, rows, a->scale, ds, KEYS, q, d, first > 0,
                        attention_part(a, PART_DK) + at, d));
    }
done:
    return st;
}

status attention_tiles_backward(const head *a, const float *logsum) {
    status st = ST_OK;
    for (int64_t first = 0; first < a->tokens; first += QUERIES)
        TRY(tile_backward(a, first, logsum));
done:
    return st;
}

/* ---- self-attention: queries, keys and values are interleaved in one activation ---- */

static int64_t plain_scratch(int64_t tokens, int64_t width, tensor_type type) {
    (void)type;
    return attention_parts_bytes(tokens, tokens, width);
}

static const attention_parts inputs[] = {PART_Q, PART_K, PART_V};
static const attention_parts gradients[] = {PART_DQ, PART_DK, PART_DV};

static void gather_head(const head *a, const void *q) {
    for (int i = 0; i < 3; i++)
        gather_rows(a->type, activation_at(a->type, q, i * a->channels), a->tokens, a->width,
                    3 * a->channels, attention_part(a, inputs[i]));
}

static status plain_forward(const head *a, const void *q, void *y, float *logsum) {
    gather_head(a, q);
    status st = attention_tiles_forward(a, logsum);
    if (st == ST_OK)
        scatter_rows(a->type, attention_part(a, PART_Y), a->tokens, a->width, a->channels, y);
    return st;
}

static status plain_backward(const head *a, const void *q, const void *y, const float *logsum,
                             const void *dy, void *dq) {
    gather_head(a, q);
    gather_rows(a->type, y, a->tokens, a->width, a->channels, attention_part(a, PART_Y));
    gather_rows(a->type, dy, a->tokens, a->width, a->channels, attention_part(a, PART_DY));
    status st = attention_tiles_backward(a, logsum);
    for (int i = 0; st == ST_OK && i < 3; i++)
        scatter_rows(a->type, attention_part(a, gradients[i]), a->tokens, a->width, 3 * a->channels,
                     activation_at(a->type, dq, i * a->channels));
    return st;
}

const head_kernels head_plain = {false, plain_scratch, plain_forward, plain_backward};
