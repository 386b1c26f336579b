/* Attention of the engines: the backward function of the reference against finite differences of
 * its forward function, then the fast engines against the reference, in f32 and bf16, on shapes
 * that no vector or tile divides. Tolerances: see bound_head().
 */
#include "tests/attention_case.h"

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

/* The reference in bf16 is the reference in f32 with its activations rounded. */
static void test_reference_attention_bf16(void **state) {
    (void)state;
    compare_attentions(engine(ENGINE_REFERENCE), TYPE_BF16);
}

/* The training loop detects divergence by NaN, so every kernel must propagate it. */
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
