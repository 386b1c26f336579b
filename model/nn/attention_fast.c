/* Self-attention without the score matrix: tiles of 64 queries against 256 keys, with the running
 * maximum and sum of Milakov & Gimelshein 2018 in the forward pass and probabilities computed anew
 * from the kept log-sums in the backward pass (Dao et al. 2022, algorithms 1 and 4). A tile lives
 * on the stack of its thread; the products are the engine's sgemm, single-threaded in here.
 *
 * Rows of q, k and v are 3 * channels floats apart, rows of y channels floats.
 */
#include "model/nn/kernels_fast.h"

#include <math.h>
#include <stdio.h>

enum { QUERIES = 64, KEYS = 256, LANES = 16 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The largest of row [n] and top. Lanes are spelled out, for a compiler that minds NaN does not
 * reorder a maximum by itself. */
static inline float row_most(const float *row, int64_t n, float top) {
    float lane[LANES];
    int64_t j = 0;
    for (int l = 0; l < LANES; l++) lane[l] = top;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = row[j + l] > lane[l] ? row[j + l] : lane[l];
    for (; j < n; j++) top = row[j] > top ? row[j] : top;
    for (int l = 0; l < LANES; l++) top = lane[l] > top ? lane[l] : top;
    return top;
}

/* Adds a tile of scores [rows, keys] to a softmax under way: scores become exp(score - most), most
 * and sum move on, and shrink is what the rows summed before have to be multiplied with. */
CLONES static void softmax_tile(float *score, int64_t rows, int64_t keys, float *most, float *sum,
                                float *shrink) {
    for (int64_t r = 0; r < rows; r++) {
        float *row = score + r * KEYS, top = row_most(row, keys, most[r]), total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t j = 0; j < keys; j++) {
            row[j] = fast_exp(row[j] - top);
            total += row[j];
        }
        shrink[r] = fast_exp(most[r] - top);
        sum[r] = sum[r] * shrink[r] + total;
        most[r] = top;
    }
}

CLONES static void scale_rows(float *y, int64_t rows, int64_t width, int64_t stride,
                              const float *factor) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < width; e++) y[r * stride + e] *= factor[r];
}

/* scores -> probabilities */
CLONES static void probability_tile(float *score, int64_t rows, int64_t keys, const float *logsum) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < keys; j++)
            score[r * KEYS + j] = fast_exp(score[r * KEYS + j] - logsum[r]);
}

/* dp -> ds = p (dp - inner) */
CLONES static void score_gradient_tile(const float *restrict p, int64_t rows, int64_t keys,
                                       const float *restrict inner, float *restrict dp) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < keys; j++)
            dp[r * KEYS + j] = p[r * KEYS + j] * (dp[r * KEYS + j] - inner[r]);
}

/* One head of one sample. */
typedef struct head {
    product multiply;
    int64_t tokens, width, channels;
    float scale; /* 1 / sqrt(width) */
} head;

static head head_of(product multiply, const attention_shape *s) {
    int64_t width = s->channels / s->heads;
    return (head){multiply, s->tokens, width, s->channels, (float)(1 / sqrt((double)width))};
}

/* y and logsum of queries [first, first + QUERIES); q, k, v, y, logsum point at token 0. */
static status tile_forward(const head *a, int64_t first, const float *q, const float *k,
                           const float *v, float *y, float *logsum) {
    status st = ST_OK;
    _Alignas(64) float score[QUERIES * KEYS];
    float most[QUERIES], sum[QUERIES] = {0}, shrink[QUERIES];
    int64_t rows = least(QUERIES, a->tokens - first), wide = 3 * a->channels;
    float *out = y + first * a->channels;
    for (int64_t r = 0; r < rows; r++) most[r] = -INFINITY;
    for (int64_t j = 0; j < a->tokens; j += KEYS) {
        int64_t keys = least(KEYS, a->tokens - j);
        TRY(a->multiply(false, true, rows, keys, a->width, a->scale, q + first * wide, wide,
                        k + j * wide, wide, 0, score, KEYS));
        softmax_tile(score, rows, keys, most, sum, shrink);
        if (j > 0) scale_rows(out, rows, a->width, a->channels, shrink);
        TRY(a->multiply(false, false, rows, a->width, keys, 1, score, KEYS, v + j * wide, wide,
                        j > 0, out, a->channels));
    }
    for (int64_t r = 0; r < rows; r++) {
        logsum[first + r] = most[r] + logf(sum[r]);
        sum[r] = 1 / sum[r];
    }
    scale_rows(out, rows, a->width, a->channels, sum);
done:
    return st;
}

/* What queries [first, first + QUERIES) send back: dq of these, and their share of all dk and dv,
 * which the first tile overwrites and the others add to. */
static status tile_backward(const head *a, int64_t first, const float *q, const float *k,
                            const float *v, const float *y, const float *logsum, const float *dy,
                            float *dq, float *dk, float *dv) {
    status st = ST_OK;
    _Alignas(64) float p[QUERIES * KEYS], ds[QUERIES * KEYS];
    float inner[QUERIES] = {0};
    int64_t rows = least(QUERIES, a->tokens - first), wide = 3 * a->channels;
    q += first * wide, dq += first * wide;
    y += first * a->channels, dy += first * a->channels;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < a->width; e++)
            inner[r] += dy[r * a->channels + e] * y[r * a->channels + e];
    for (int64_t j = 0; j < a->tokens; j += KEYS) {
        int64_t keys = least(KEYS, a->tokens - j), at = j * wide;
        TRY(a->multiply(false, true, rows, keys, a->width, a->scale, q, wide, k + at, wide, 0, p,
                        KEYS));
        probability_tile(p, rows, keys, logsum + first);
        TRY(a->multiply(true, false, keys, a->width, rows, 1, p, KEYS, dy, a->channels, first > 0,
                        dv + at, wide));
        TRY(a->multiply(false, true, rows, keys, a->width, 1, dy, a->channels, v + at, wide, 0, ds,
                        KEYS));
        score_gradient_tile(p, rows, keys, inner, ds);
        TRY(a->multiply(false, false, rows, a->width, keys, a->scale, ds, KEYS, k + at, wide, j > 0,
                        dq, wide));
        TRY(a->multiply(true, false, keys, a->width, rows, a->scale, ds, KEYS, q, wide, first > 0,
                        dk + at, wide));
    }
done:
    return st;
}

/* The first failure of a parallel loop, carried to the thread that called: messages are kept by
 * thread. */
typedef struct fault {
    status code;
    char message[256];
} fault;

static void fault_keep(fault *f, status st) {
    if (st == ST_OK) return;
#pragma omp critical(attention_fault)
    if (f->code == ST_OK) {
        f->code = st;
        snprintf(f->message, sizeof f->message, "%s", status_message());
    }
}

static status fault_status(const fault *f) {
    return f->code == ST_OK ? ST_OK : status_fail(f->code, "attention: %s", f->message);
}

int64_t attention_fast_scratch(const attention_shape *s) {
    (void)s;
    return 0;
}

status attention_fast_forward(product multiply, const attention_shape *s, const void *pqkv,
                              void *py, float *logsum, void *unused) {
    const float *qkv = pqkv;
    float *y = py;
    (void)unused;
    head a = head_of(multiply, s);
    fault f = {.code = ST_OK};
#pragma omp parallel for collapse(3) schedule(static)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t h = 0; h < s->heads; h++) {
            for (int64_t first = 0; first < s->tokens; first += QUERIES) {
                const float *q = qkv + b * s->tokens * 3 * s->channels + h * a.width;
                fault_keep(&f, tile_forward(&a, first, q, q + s->channels, q + 2 * s->channels,
                                            y + b * s->tokens * s->channels + h * a.width,
                                            logsum + (b * s->heads + h) * s->tokens));
            }
        }
    }
    return fault_status(&f);
}

status attention_fast_backward(product multiply, const attention_shape *s, const void *pqkv,
                               const void *py, const float *logsum, const void *pdy, void *pdqkv,
                               void *unused) {
    const float *qkv = pqkv, *y = py, *dy = pdy;
    float *dqkv = pdqkv;
    (void)unused;
    head a = head_of(multiply, s);
    fault f = {.code = ST_OK};
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t h = 0; h < s->heads; h++) {
            int64_t sample = b * s->tokens * s->channels, at = h * a.width;
            const float *q = qkv + 3 * sample + at;
            float *dq = dqkv + 3 * sample + at;
            for (int64_t first = 0; first < s->tokens; first += QUERIES)
                fault_keep(&f, tile_backward(
                                   &a, first, q, q + s->channels, q + 2 * s->channels,
                                   y + sample + at, logsum + (b * s->heads + h) * s->tokens,
                                   dy + sample + at, dq, dq + s->channels, dq + 2 * s->channels));
        }
    }
    return fault_status(&f);
}
