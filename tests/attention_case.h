/* One self-attention, run by an engine in both directions and compared with the reference, whose
 * errors bound_head() bounds. Included by one C file of a program.
 */
#ifndef CTAUG_TESTS_ATTENTION_CASE_H
#define CTAUG_TESTS_ATTENTION_CASE_H

#include "tests/kernel_case.h"

typedef struct attention_case {
    attention_shape s;
    int64_t ny;
    float *qkv, *y, *logsum, *dy, *dqkv;
} attention_case;

static inline attention_case attention_make(attention_shape s) {
    attention_case c = {.s = s, .ny = s.batch * s.tokens * s.channels};
    c.qkv = noise(3 * c.ny, 10), c.y = filled(c.ny, NAN);
    c.logsum = filled(s.batch * s.heads * s.tokens, NAN);
    c.dy = noise(c.ny, 11), c.dqkv = filled(3 * c.ny, NAN);
    round_to_type(s.type, c.qkv, 3 * c.ny), round_to_type(s.type, c.dy, c.ny);
    return c;
}

static inline void attention_free(attention_case *c) {
    free(c->qkv), free(c->y), free(c->logsum), free(c->dy), free(c->dqkv);
}

static inline void attention_run(const kernels *k, attention_case *c) {
    void *qkv = activations_in(c->s.type, c->qkv, 3 * c->ny),
         *y = activations_in(c->s.type, c->y, c->ny);
    int64_t bytes = k->attention_scratch(&c->s);
    void *scratch = guarded(bytes);
    ok(k->attention_forward(&c->s, qkv, y, c->logsum, scratch));
    guard_check(scratch, bytes);
    activations_out(c->s.type, y, c->y, c->ny);
    free(qkv);
}

static inline void attention_run_back(const kernels *k, attention_case *c) {
    void *qkv = activations_in(c->s.type, c->qkv, 3 * c->ny),
         *y = activations_in(c->s.type, c->y, c->ny);
    void *dy = activations_in(c->s.type, c->dy, c->ny),
         *dqkv = activations_in(c->s.type, c->dqkv, 3 * c->ny);
    int64_t bytes = k->attention_scratch(&c->s);
    void *scratch = guarded(bytes);
    ok(k->attention_backward(&c->s, qkv, y, c->logsum, dy, dqkv, scratch));
    guard_check(scratch, bytes);
    activations_out(c->s.type, dqkv, c->dqkv, 3 * c->ny);
    free(qkv), free(y), free(dy);
}

/* Tolerances of y, logsum and dqkv, element by element. */
typedef struct attention_bounds {
    float *y, *logsum, *dqkv;
} attention_bounds;

static inline double size_of(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t e = 0; e < n; e++) sum += fabs((double)a[e] * b[e]);
    return sum;
}

/* Propagates rounding errors through the formulas, for one head whose q, y, dy and logsum begin at
 * these elements. r holds the results of both directions. The error of a sum of n terms is
 * 8 sqrt(n + 1) u times their absolute sum; the absolute error of a score is the relative error of
 * its probability p. In bf16 three values are rounded, by 2^-8 each: p and the gradient ds of the
 * score before their products, and y, which the backward pass reads. */
static inline void bound_head(const attention_case *r, tensor_type type, int64_t q_at, int64_t y_at,
                              int64_t logsum_at, attention_bounds *bounds) {
    const int64_t tokens = r->s.tokens, c = r->s.channels, d = c / r->s.heads;
    const double width = 8 * sqrt((double)d + 1) * U, all = 8 * sqrt((double)tokens + 1) * U;
    const double rounding = type == TYPE_BF16 ? 0x1p-8 : 0, scale = 1 / sqrt((double)d);
    const float *q = r->qkv + q_at, *k = q + c, *v = q + 2 * c;
    for (int64_t i = 0; i < tokens; i++) {
        const float *dy = r->dy + y_at + i * c, *y = r->y + y_at + i * c, *qi = q + i * 3 * c;
        float *dq = bounds->dqkv + q_at + i * 3 * c;
        double worst = 0, inner = size_of(dy, y, d);
        for (int64_t j = 0; j < tokens; j++)
            worst = fmax(worst, width * scale * size_of(qi, k + j * 3 * c, d));
        double p_error = 2 * worst + 4 * U * (2 + fabs(r->logsum[logsum_at + i])) + 8 * U;
        bounds->logsum[logsum_at + i] = (float)(p_error + all);
        for (int64_t j = 0; j < tokens; j++) {
            const float *kj = k + j * 3 * c, *vj = v + j * 3 * c;
            float *dk = bounds->dqkv + q_at + c + j * 3 * c, *dv = dk + c;
            double score = 0, dp = size_of(dy, vj, d);
            for (int64_t e = 0; e < d; e++) score += scale * qi[e] * kj[e];
            double p = exp(score - r->logsum[logsum_at + i]);
            double of_p = p_error + all + rounding;
            double of_ds = p * (dp + inner) * (of_p + width + rounding);
            for (int64_t e = 0; e < d; e++) {
                bounds->y[y_at + i * c + e] += (float)(p * fabs(vj[e]) * (of_p + p_error));
                dv[e] += (float)(p * fabs(dy[e]) * of_p);
                dq[e] += (float)(scale * of_ds * fabs(kj[e]));
                dk[e] += (float)(scale * of_ds * fabs(qi[e]));
            }
        }
    }
}

static inline void within(const char *what, tensor_type type, const float *got, const float *want,
                          const float *bound, int64_t n) {
    for (int64_t i = 0; i < n; i++) all_near_in(what, type, got + i, want + i, 1, bound[i] + 1e-37);
}

/* The reference runs in f32, the engine k in the shape's type. */
static inline void compare_attention(const kernels *k, attention_shape s, float spread) {
    attention_case f = attention_make(s), r = attention_make(s);
    const int64_t rows = s.batch * s.heads * s.tokens, d = s.channels / s.heads;
    attention_bounds bounds = {filled(f.ny, 0), filled(rows, 0), filled(3 * f.ny, 0)};
    for (int64_t j = 0; j < 3 * f.ny; j++) f.qkv[j] *= spread;
    round_to_type(s.type, f.qkv, 3 * f.ny);
    memcpy(r.qkv, f.qkv, (size_t)(3 * f.ny) * sizeof(float));
    r.s.type = TYPE_F32;
    attention_run(k, &f), attention_run_back(k, &f);
    attention_run(engine(ENGINE_REFERENCE), &r), attention_run_back(engine(ENGINE_REFERENCE), &r);
    for (int64_t i = 0; i < s.batch * s.heads; i++) {
        int64_t b = i / s.heads, y_at = b * s.tokens * s.channels + i % s.heads * d;
        bound_head(&r, s.type, y_at + 2 * b * s.tokens * s.channels, y_at, i * s.tokens, &bounds);
    }
    within("attention logsum", TYPE_F32, f.logsum, r.logsum, bounds.logsum, rows);
    within("attention y", s.type, f.y, r.y, bounds.y, f.ny);
    within("attention dqkv", s.type, f.dqkv, r.dqkv, bounds.dqkv, 3 * f.ny);
    free(bounds.y), free(bounds.logsum), free(bounds.dqkv);
    attention_free(&f), attention_free(&r);
}

#endif
