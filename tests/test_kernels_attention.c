/* Attention of the engines: the reference's backward function against differences of its forward
 * one, then the fast ones against the reference, in f32 and bf16, on shapes that fill no vector and
 * no tile. Tolerances: see bound_head().
 */
#include "tests/kernel_case.h"

typedef struct attention_case {
    attention_shape s;
    int64_t ny;
    float *qkv, *y, *logsum, *dy, *dqkv;
} attention_case;

static attention_case attention_make(attention_shape s) {
    attention_case c = {.s = s, .ny = s.batch * s.tokens * s.channels};
    c.qkv = noise(3 * c.ny, 10), c.y = filled(c.ny, NAN);
    c.logsum = filled(s.batch * s.heads * s.tokens, NAN);
    c.dy = noise(c.ny, 11), c.dqkv = filled(3 * c.ny, NAN);
    map_round(s.type, c.qkv, 3 * c.ny), map_round(s.type, c.dy, c.ny);
    return c;
}

static void attention_free(attention_case *c) {
    free(c->qkv), free(c->y), free(c->logsum), free(c->dy), free(c->dqkv);
}

static void attention_run(const kernels *k, attention_case *c) {
    void *qkv = map_in(c->s.type, c->qkv, 3 * c->ny), *y = map_in(c->s.type, c->y, c->ny);
    int64_t bytes = k->attention_scratch(&c->s);
    void *scratch = guarded(bytes);
    ok(k->attention_forward(&c->s, qkv, y, c->logsum, scratch));
    guard_check(scratch, bytes);
    map_out(c->s.type, y, c->y, c->ny);
    free(qkv);
}

static void attention_run_back(const kernels *k, attention_case *c) {
    void *qkv = map_in(c->s.type, c->qkv, 3 * c->ny), *y = map_in(c->s.type, c->y, c->ny);
    void *dy = map_in(c->s.type, c->dy, c->ny), *dqkv = map_in(c->s.type, c->dqkv, 3 * c->ny);
    int64_t bytes = k->attention_scratch(&c->s);
    void *scratch = guarded(bytes);
    ok(k->attention_backward(&c->s, qkv, y, c->logsum, dy, dqkv, scratch));
    guard_check(scratch, bytes);
    map_out(c->s.type, dqkv, c->dqkv, 3 * c->ny);
    free(qkv), free(y), free(dy);
}

static double attention_objective(void *context) {
    attention_case *c = context;
    attention_run(engine(ENGINE_REFERENCE), c);
    return dot(c->y, c->dy, c->ny);
}

static void test_reference_attention(void **state) {
    (void)state;
    const attention_shape shapes[] = {
        {2, 5, 6, 2, TYPE_F32}, {1, 7, 4, 1, TYPE_F32}, {1, 1, 3, 3, TYPE_F32}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        attention_case c = attention_make(shapes[i]);
        attention_run(engine(ENGINE_REFERENCE), &c);
        attention_run_back(engine(ENGINE_REFERENCE), &c);
        check_gradient("attention dqkv", attention_objective, &c, c.qkv, 3 * c.ny, c.dqkv,
                       8 * sqrt((double)c.ny));
        attention_free(&c);
    }
}

/* By how much y, logsum, dqkv may be off, [same shapes] */
typedef struct attention_bounds {
    float *y, *logsum, *dqkv;
} attention_bounds;

static double size_of(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t e = 0; e < n; e++) sum += fabs((double)a[e] * b[e]);
    return sum;
}

/* Follows the errors through the formulas, for one head whose q, y, dy and logsum begin at these
 * numbers; r has been run. A sum of n terms is off by 8 sqrt(n + 1) u times their sizes; a score's
 * error is a relative one of its p. In bf16 p and the gradient ds of the score are rounded before
 * they are multiplied, and y, which the backward pass reads, has been: 2^-8 each. */
static void bound_head(const attention_case *r, tensor_type type, int64_t q_at, int64_t y_at,
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

static void within(const char *what, tensor_type type, const float *got, const float *want,
                   const float *bound, int64_t n) {
    for (int64_t i = 0; i < n; i++) all_near_in(what, type, got + i, want + i, 1, bound[i] + 1e-37);
}

/* The reference runs in f32, the other in the shape's type. */
static void compare_attention(const kernels *k, attention_shape s, float spread) {
    attention_case f = attention_make(s), r = attention_make(s);
    const int64_t rows = s.batch * s.heads * s.tokens, d = s.channels / s.heads;
    attention_bounds bounds = {filled(f.ny, 0), filled(rows, 0), filled(3 * f.ny, 0)};
    for (int64_t j = 0; j < 3 * f.ny; j++) f.qkv[j] *= spread;
    map_round(s.type, f.qkv, 3 * f.ny);
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

/* Flat and peaked distributions over odd shapes. */
static void compare_attentions(const kernels *k, tensor_type type) {
    const attention_shape shapes[] = {
        {1, 1, 3, 3, type},    {2, 5, 6, 2, type},    {1, 64, 64, 2, type},
        {2, 65, 33, 3, type},  {1, 257, 32, 1, type}, {1, 300, 10, 2, type},
        {3, 63, 128, 4, type}, {1, 520, 16, 1, type}, {1, 70, 200, 2, type}};
    for (int i = 0; i < 9 * 2; i++) compare_attention(k, shapes[i / 2], i % 2 ? 12 : 1);
}

static void test_fast_attention(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++) {
        compare_attentions(engine(fast_engines[e]), TYPE_F32);
        compare_attentions(engine(fast_engines[e]), TYPE_BF16);
    }
}

/* The reference in bf16 is the reference in f32 with its maps rounded. */
static void test_reference_attention_bf16(void **state) {
    (void)state;
    compare_attentions(engine(ENGINE_REFERENCE), TYPE_BF16);
}

/* The guards of the training loop look for NaN: no kernel may lose one. */
static void test_nan_stays(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        const kernels *k = engine(fast_engines[i / 2]);
        const attention_shape s = {1, 70, 16, 2, i % 2 ? TYPE_BF16 : TYPE_F32};
        attention_case a = attention_make(s);
        a.qkv[16 + 3] = NAN; /* k of token 0, head 0: spoils every query of that head */
        attention_run(k, &a);
        attention_run_back(k, &a);
        for (int64_t t = 0; t < 70; t++) {
            assert_true(isnan(a.y[t * 16]) && !isnan(a.y[t * 16 + 8]));
            for (int64_t part = 0; part < 3; part++) {
                const float *row = a.dqkv + t * 48 + part * 16;
                assert_true(isnan(row[0]) && !isnan(row[8]));
            }
        }
        attention_free(&a);
    }
}

static void test_bits_of_threads_and_places(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    for (int i = 0; i < 4; i++) {
        const kernels *k = engine(fast_engines[i / 2]);
        const attention_shape s = {3, 100, 64, 2, i % 2 ? TYPE_BF16 : TYPE_F32};
        attention_case one = attention_make(s), two = attention_make(s);
        for (attention_case *c = &two; c; c = c == &two ? &one : NULL)
            repeat_first(c->qkv, 3, c->ny), repeat_first(c->dy, 3, c->ny / 3);
        omp_set_num_threads(1), attention_run(k, &one), attention_run_back(k, &one);
        omp_set_num_threads(SEVERAL), attention_run(k, &two), attention_run_back(k, &two);
        same_bits("attention, 1 and 2 threads", one.y, two.y, one.ny);
        same_bits("attention dqkv, 1 and 2 threads", one.dqkv, two.dqkv, 3 * one.ny);
        for (int b = 1; b < 3; b++) {
            same_bits("attention, place in the batch", two.y, two.y + b * two.ny / 3, two.ny / 3);
            same_bits("attention dqkv, place in the batch", two.dqkv, two.dqkv + b * two.ny,
                      two.ny);
        }
        attention_free(&one), attention_free(&two);
    }
    omp_set_num_threads(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_attention),
        cmocka_unit_test(test_reference_attention_bf16),
        cmocka_unit_test(test_fast_attention),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_bits_of_threads_and_places),
    };
    return RUN_AT_EACH_FEATURE_SET(tests);
}
