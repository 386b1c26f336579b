/* Cross-attention of the engines: the reference against finite differences and, where all keys
 * exist, against its self-attention; the fast engines against the reference; keys that do not exist
 * are neither read nor given a gradient. */
#include "tests/kernel_case.h"

typedef struct cross_case {
    cross_shape s;
    int64_t nq, nkv, rows; /* values of q and kv, values of logsum */
    float *q, *kv, *mask, *y, *logsum, *dy, *dq, *dkv;
} cross_case;

/* Sample 0 has all keys, sample 1 every other one, sample 2 none. */
static cross_case make(cross_shape s, float spread) {
    cross_case c = {.s = s,
                    .nq = s.batch * s.queries * s.channels,
                    .nkv = 2 * s.batch * s.keys * s.channels,
                    .rows = s.batch * s.heads * s.queries};
    c.q = noise(c.nq, 1), c.kv = noise(c.nkv, 2), c.dy = noise(c.nq, 3);
    c.mask = filled(s.batch * s.keys, 0);
    c.y = filled(c.nq, NAN), c.logsum = filled(c.rows, NAN);
    c.dq = filled(c.nq, NAN), c.dkv = filled(c.nkv, NAN);
    for (int64_t i = 0; i < c.nq; i++) c.q[i] *= spread;
    for (int64_t i = 0; i < s.batch * s.keys; i++)
        c.mask[i] = (float)(i < s.keys || (i < 2 * s.keys && i % 2 == 0));
    round_to_type(s.type, c.q, c.nq), round_to_type(s.type, c.dy, c.nq);
    round_to_type(s.kv_type, c.kv, c.nkv);
    return c;
}

static void release(cross_case *c) {
    free(c->q), free(c->kv), free(c->mask), free(c->y), free(c->logsum), free(c->dy);
    free(c->dq), free(c->dkv);
}

static void run(const kernels *k, cross_case *c) {
    const cross_shape *s = &c->s;
    void *q = activations_in(s->type, c->q, c->nq), *kv = activations_in(s->kv_type, c->kv, c->nkv);
    void *y = activations_in(s->type, c->y, c->nq);
    const int64_t bytes = k->cross_scratch(s);
    void *scratch = guarded(bytes);
    ok(k->cross_forward(s, q, kv, c->mask, y, c->logsum, scratch));
    guard_check(scratch, bytes);
    activations_out(s->type, y, c->y, c->nq);
    free(q), free(kv);
}

static void run_back(const kernels *k, cross_case *c) {
    const cross_shape *s = &c->s;
    void *q = activations_in(s->type, c->q, c->nq), *kv = activations_in(s->kv_type, c->kv, c->nkv);
    void *y = activations_in(s->type, c->y, c->nq), *dy = activations_in(s->type, c->dy, c->nq);
    void *dq = activations_in(s->type, c->dq, c->nq);
    void *dkv = activations_in(s->kv_type, c->dkv, c->nkv);
    const int64_t bytes = k->cross_scratch(s);
    void *scratch = guarded(bytes);
    ok(k->cross_backward(s, q, kv, c->mask, y, c->logsum, dy, dq, dkv, scratch));
    guard_check(scratch, bytes);
    activations_out(s->type, dq, c->dq, c->nq), activations_out(s->kv_type, dkv, c->dkv, c->nkv);
    free(q), free(kv), free(y), free(dy);
}

static double value(void *context) {
    cross_case *c = context;
    run(engine(ENGINE_REFERENCE), c);
    return dot(c->y, c->dy, c->nq);
}

static void reference_gradients_are_finite_differences(void **state) {
    (void)state;
    const cross_shape shapes[] = {{3, 4, 5, 6, 2, TYPE_F32, TYPE_F32},
                                  {2, 5, 3, 4, 1, TYPE_F32, TYPE_F32},
                                  {1, 1, 1, 3, 3, TYPE_F32, TYPE_F32}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        cross_case c = make(shapes[i], 1);
        const double rounding = 8 * sqrt((double)c.nq);
        run(engine(ENGINE_REFERENCE), &c);
        run_back(engine(ENGINE_REFERENCE), &c);
        check_gradient("cross dq", value, &c, c.q, c.nq, c.dq, rounding);
        check_gradient("cross dkv", value, &c, c.kv, c.nkv, c.dkv, rounding);
        release(&c);
    }
}

/* Queries, keys and values of one sequence: as self-attention in one activation. */
static void a_sequence_attends_to_itself(void **state) {
    (void)state;
    enum { T = 7, C = 12, HEADS = 3 };
    const kernels *k = engine(ENGINE_REFERENCE);
    const attention_shape self = {1, T, C, HEADS, TYPE_F32};
    cross_case c = make((cross_shape){1, T, T, C, HEADS, TYPE_F32, TYPE_F32}, 1);
    float qkv[3 * T * C], dqkv[3 * T * C], y[T * C], logsum[HEADS * T];
    for (int t = 0; t < T; t++) {
        memcpy(qkv + 3 * t * C, c.q + t * C, C * sizeof(float));
        memcpy(qkv + 3 * t * C + C, c.kv + 2 * t * C, 2 * C * sizeof(float));
    }
    run(k, &c), run_back(k, &c);
    ok(k->attention_forward(&self, qkv, y, logsum, NULL));
    ok(k->attention_backward(&self, qkv, y, logsum, c.dy, dqkv, NULL));
    same_bits("y", c.y, y, T * C);
    for (int t = 0; t < T; t++) {
        same_bits("dq", c.dq + t * C, dqkv + 3 * t * C, C);
        same_bits("dkv", c.dkv + 2 * t * C, dqkv + 3 * t * C + C, 2 * C);
    }
    release(&c);
}

/* Bounds of errors. A score has that of a sum of d products, a probability relatively twice as much
 * and that of a sum over the keys; it is multiplied with at most these values: v, dy in (-1, 1) and
 * k / sqrt(d), of which gradients of scores have 2 d. In bf16 backward reads y rounded by 2^-9. */
static void compare(const kernels *k, cross_shape s, float spread) {
    cross_case f = make(s, spread), r = make(s, spread);
    const double d = (double)(s.channels / s.heads);
    const double score = 8 * sqrt(d + 1) * U * sqrt(d) * (double)spread;
    const double of_p = 2 * score + 8 * sqrt((double)s.keys + 1) * U + 16 * U;
    const double of_ds = 2 * d * (of_p + (s.type == TYPE_BF16 ? 0x1p-9 : 0)) / sqrt(d);
    r.s.type = r.s.kv_type = TYPE_F32;
    run(k, &f), run_back(k, &f);
    run(engine(ENGINE_REFERENCE), &r), run_back(engine(ENGINE_REFERENCE), &r);
    all_near("cross logsum", f.logsum, r.logsum, f.rows,
             of_p + 8 * U * (1 + sqrt(d) * (double)spread));
    all_near_in("cross y", s.type, f.y, r.y, f.nq, of_p);
    all_near_in("cross dq", s.type, f.dq, r.dq, f.nq, of_ds);
    const double queries = (double)s.queries;
    all_near_in("cross dkv", s.kv_type, f.dkv, r.dkv, f.nkv,
                queries * fmax(of_p, of_ds * (double)spread));
    release(&f), release(&r);
}

static void fast_engines_agree_with_the_reference(void **state) {
    (void)state;
    static const int64_t shapes[][5] = {{3, 5, 3, 6, 2},    {1, 1, 1, 3, 3},    {2, 64, 64, 64, 2},
                                        {3, 65, 77, 33, 3}, {2, 130, 9, 32, 1}, {2, 7, 300, 40, 4},
                                        {3, 96, 64, 64, 2}};
    for (int e = 0; e < 2; e++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int types = 0; types < 4; types++) {
                const int64_t *n = shapes[i];
                const cross_shape s = {n[0],
                                       n[1],
                                       n[2],
                                       n[3],
                                       n[4],
                                       types & 1 ? TYPE_BF16 : TYPE_F32,
                                       types & 2 ? TYPE_BF16 : TYPE_F32};
                compare(engine(fast_engines[e]), s, 1);
                compare(engine(fast_engines[e]), s, 6);
            }
}

/* NaN in the keys and values that do not exist changes no bit; their gradient is 0, and a sample
 * without keys has y = 0 and dq = 0. Either gradient may be left out. */
static void keys_that_do_not_exist_are_not_read(void **state) {
    (void)state;
    const engine_kind engines[] = {ENGINE_REFERENCE, ENGINE_ONEDNN, ENGINE_OPENBLAS};
    const cross_shape s = {3, 70, 21, 24, 3, TYPE_F32, TYPE_F32};
    for (int e = 0; e < 3; e++) {
        const kernels *k = engine(engines[e]);
        cross_case a = make(s, 1), b = make(s, 1);
        for (int64_t i = 0; i < s.batch * s.keys; i++)
            for (int64_t c = 0; b.mask[i] == 0 && c < 2 * s.channels; c++)
                b.kv[2 * i * s.channels + c] = NAN;
        run(k, &a), run_back(k, &a), run(k, &b), run_back(k, &b);
        same_bits("y", a.y, b.y, a.nq);
        same_bits("dq", a.dq, b.dq, a.nq);
        same_bits("dkv", a.dkv, b.dkv, a.nkv);
        for (int64_t i = 0; i < s.batch * s.keys; i++)
            for (int64_t c = 0; b.mask[i] == 0 && c < 2 * s.channels; c++)
                assert_true(b.dkv[2 * i * s.channels + c] == 0);
        for (int64_t i = 2 * s.queries * s.channels; i < a.nq; i++)
            assert_true(a.y[i] == 0 && a.dq[i] == 0);
        void *scratch = scratch_of(k->cross_scratch(&s));
        for (int64_t i = 0; i < a.nq; i++) b.dq[i] = NAN;
        ok(k->cross_backward(&s, a.q, a.kv, a.mask, a.y, a.logsum, a.dy, b.dq, NULL, scratch));
        same_bits("dq alone", a.dq, b.dq, a.nq);
        for (int64_t i = 0; i < a.nkv; i++) b.dkv[i] = NAN;
        ok(k->cross_backward(&s, a.q, a.kv, a.mask, a.y, a.logsum, a.dy, NULL, b.dkv, scratch));
        same_bits("dkv alone", a.dkv, b.dkv, a.nkv);
        free(scratch);
        release(&a), release(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_gradients_are_finite_differences),
        cmocka_unit_test(a_sequence_attends_to_itself),
        cmocka_unit_test(fast_engines_agree_with_the_reference),
        cmocka_unit_test(keys_that_do_not_exist_are_not_read),
    };
    return RUN_AT_EACH_FEATURE_SET(tests);
}
