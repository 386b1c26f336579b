/* Group normalisation and SiLU of the engines: the backward functions of the reference against
 * finite differences of its forward functions, then the fast engines against the reference, in f32
 * and bf16, on shapes that no vector or block divides. Tolerances: see compare_norm().
 */
#include "model/nn/kernels/vector_math.h"
#include "tests/norm_case.h"

static double norm_objective(void *context) {
    norm_case *c = context;
    norm_run(engine(ENGINE_REFERENCE), c);
    return dot(c->y, c->dy, c->nx);
}

static void test_reference_norm(void **state) {
    (void)state;
    const norm_shape shapes[] = {{2, 7, 6, 3, 0, true, TYPE_F32, false},
                                 {1, 9, 4, 1, 0, false, TYPE_F32, false},
                                 {2, 16, 3, 3, 0, true, TYPE_F32, false}};
    for (int i = 0; i < 6; i++) {
        norm_case c = norm_make(shapes[i / 2], i % 2 == 0, i % 2 == 0);
        float *before = noise(c.nx, 13);
        norm_run(engine(ENGINE_REFERENCE), &c);
        norm_run_back(engine(ENGINE_REFERENCE), &c);
        for (int64_t j = 0; c.add && j < c.nx; j++) c.dx[j] -= before[j];
        for (int64_t j = 0; j < c.s.channels; j++) c.dgain[j] -= 0.5f, c.dbias[j] -= 0.25f;
        double rounding = 8 * sqrt((double)c.nx);
        check_gradient("norm dx", norm_objective, &c, c.x, c.nx, c.dx, rounding);
        check_gradient("norm dgain", norm_objective, &c, c.gain, c.s.channels, c.dgain, rounding);
        check_gradient("norm dbias", norm_objective, &c, c.bias, c.s.channels, c.dbias, rounding);
        if (c.modulation)
            check_gradient("norm dscale_shift", norm_objective, &c, c.modulation,
                           c.s.batch * 2 * c.s.channels, c.dmodulation, rounding);
        free(before);
        norm_free(&c);
    }
}

static const norm_shape odd_shapes[] = {
    {1, 1, 4, 1, 0, false, TYPE_F32, false},     {1, 5, 3, 3, 0, false, TYPE_F32, false},
    {2, 63, 5, 1, 0, false, TYPE_F32, false},    {3, 64, 16, 8, 0, false, TYPE_F32, false},
    {2, 81, 33, 11, 0, false, TYPE_F32, false},  {1, 1089, 64, 8, 0, false, TYPE_F32, false},
    {1, 70000, 1, 1, 0, false, TYPE_F32, false}, {2, 10, 320, 32, 0, false, TYPE_F32, false},
    {5, 257, 7, 7, 0, false, TYPE_F32, false}};

/* Every odd shape with and without SiLU, modulation, add. */
static void compare_norms(const kernels *k, tensor_type type) {
    for (int i = 0; i < 9 * 8; i++) {
        norm_shape s = odd_shapes[i / 8];
        s.silu = i % 2, s.type = type;
        compare_norm(k, s, i / 2 % 2, i / 4 % 2, 0.25f, 1);
    }
}

static void test_fast_norm(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++) {
        compare_norms(engine(fast_engines[e]), TYPE_F32);
        compare_norms(engine(fast_engines[e]), TYPE_BF16);
    }
}

/* The reference in bf16 is the reference in f32 with its activations rounded. */
static void test_reference_norm_bf16(void **state) {
    (void)state;
    compare_norms(engine(ENGINE_REFERENCE), TYPE_BF16);
}

/* A large constant must not cancel the variance (air in HU windows, dead channels): xhat is as
 * accurate as the mean in f32, and rstd is exact to rounding. */
static void test_norm_large_mean(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        const norm_shape s = {2, 2000, 16, 4, 0, false, i % 2 ? TYPE_BF16 : TYPE_F32, false};
        compare_norm(engine(ENGINE_ONEDNN), s, false, i / 2, 1000, i % 2 ? 32 : 1);
        compare_norm(engine(ENGINE_ONEDNN), s, false, i / 2, -30000, i % 2 ? 1024 : 8);
    }
}

/* A result that is subnormal may become zero when it is rounded to bf16, but nothing else. In f32
 * it is kept. */
static void test_subnormal_results(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        const tensor_type type = i % 2 ? TYPE_BF16 : TYPE_F32;
        norm_case f = norm_make((norm_shape){1, 64, 16, 4, 0, false, type, false}, false, false);
        norm_case r = norm_make((norm_shape){1, 64, 16, 4, 0, false, type, false}, false, false);
        for (int c = 0; c < 16; c++) f.gain[c] *= 0x1p-127f, f.bias[c] = 0;
        memcpy(r.gain, f.gain, 16 * sizeof(float)), memcpy(r.bias, f.bias, 16 * sizeof(float));
        r.s.type = TYPE_F32;
        norm_run(engine(fast_engines[i / 2]), &f);
        norm_run(engine(ENGINE_REFERENCE), &r);
        all_near_in("small norm y", type, f.y, r.y, f.nx, type == TYPE_BF16 ? 0x1p-126 : 0x1p-147);
        norm_free(&f), norm_free(&r);
    }
}

static void test_reference_silu(void **state) {
    (void)state;
    const kernels *k = engine(ENGINE_REFERENCE);
    const float x[] = {-3, -0.5f, 0, 1, 20}, ones[] = {1, 1, 1, 1, 1};
    float y[5], dx[5];
    k->silu_forward(x, y, 5);
    k->silu_backward(x, ones, dx, 5);
    for (int i = 0; i < 5; i++) {
        double e = exp(-x[i]), h = 1e-4;
        double up = (x[i] + h) / (1 + exp(-x[i] - h)), down = (x[i] - h) / (1 + exp(-x[i] + h));
        near("silu", y[i], x[i] / (1 + e), 20 * U);
        near("silu slope", dx[i], (up - down) / (2 * h), h * h + 4 * U);
    }
}

static void test_fast_silu(void **state) {
    (void)state;
    const int64_t n = 100003;
    for (int e = 0; e < 2; e++) {
        const kernels *fast = engine(fast_engines[e]), *ref = engine(ENGINE_REFERENCE);
        float *x = noise(n, 1), *dy = noise(n, 2), *got = filled(n, NAN), *want = filled(n, NAN);
        for (int64_t i = 0; i < n; i++) x[i] *= i % 2 ? 100 : 6;
        x[0] = 1e30f, x[1] = -1e30f, x[2] = 0;
        fast->silu_forward(x, got, n);
        ref->silu_forward(x, want, n);
        for (int64_t i = 0; i < n; i++) /* below -87 the fast sigmoid stays at e^-87 */
            near("silu", got[i], want[i], 8 * U * fabs(want[i]) + fabs(x[i]) * 2e-38);
        fast->silu_backward(x, dy, got, n);
        ref->silu_backward(x, dy, want, n);
        for (int64_t i = 0; i < n; i++)
            near("dsilu", got[i], want[i], 8 * U * fmin(1 + fabs(x[i]), 4) + fabs(x[i]) * 2e-38);
        free(x), free(dy), free(got), free(want);
    }
}

/* The guards of the training loop look for NaN: no kernel may lose one. */
static void test_nan_stays(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        const kernels *k = engine(fast_engines[i / 2]);
        float x[40], y[40];
        for (int j = 0; j < 40; j++) x[j] = j == 17 ? NAN : 1;
        k->silu_forward(x, y, 40);
        assert_true(isnan(y[17]) && !isnan(y[16]));
        const norm_shape s = {1, 50, 8, 2, 0, true, i % 2 ? TYPE_BF16 : TYPE_F32, false};
        norm_case n = norm_make(s, false, false);
        n.x[8 * 20 + 5] = NAN;
        norm_run(k, &n);
        assert_true(isnan(n.y[5]) && isnan(n.rstd[1]) && !isnan(n.rstd[0]));
        norm_run_back(k, &n);
        for (int j = 0; j < 8; j++) assert_int_equal(isnan(n.dx[j]) != 0, j >= 4);
        norm_free(&n);
        n = norm_make(s, false, true);
        n.dy[8 * 20 + 5] = NAN, n.dx[1] = NAN;
        norm_run(k, &n);
        norm_run_back(k, &n);
        for (int j = 0; j < 8; j++) assert_int_equal(isnan(n.dx[j]) != 0, j >= 4 || j == 1);
        assert_true(isnan(n.dgain[5]) && isnan(n.dbias[5]) && !isnan(n.dgain[4]));
        norm_free(&n);
    }
}

/* The sample of a batch of one is the sample of a batch of five, whoever works on it. */
static void test_bits_of_threads_and_places(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    for (int i = 0; i < 8; i++) {
        const kernels *k = engine(fast_engines[i / 4]);
        const norm_shape s = {5, 3000, 48, 8, 0, true, i % 2 ? TYPE_BF16 : TYPE_F32, false};
        const bool add = i / 2 % 2;
        norm_case one = norm_make(s, false, add), two = norm_make(s, false, add);
        norm_shape single = s;
        single.batch = 1;
        norm_case alone = norm_make(single, false, add);
        for (norm_case *c = &two; c; c = c == &two ? &one : NULL)
            repeat_first(c->x, 5, alone.nx), repeat_first(c->dy, 5, alone.nx),
                repeat_first(c->dx, 5, alone.nx);
        omp_set_num_threads(1), norm_run(k, &one), norm_run_back(k, &one);
        omp_set_num_threads(SEVERAL), norm_run(k, &two), norm_run_back(k, &two);
        same_bits("norm, 1 and 2 threads", one.y, two.y, one.nx);
        same_bits("norm dx, 1 and 2 threads", one.dx, two.dx, one.nx);
        same_bits("norm dgain, 1 and 2 threads", one.dgain, two.dgain, s.channels);
        norm_run(k, &alone), norm_run_back(k, &alone); /* its threads share one sample */
        for (int b = 0; b < 5; b++) {
            same_bits("norm, place in the batch", two.y + b * alone.nx, alone.y, alone.nx);
            same_bits("norm dx, place in the batch", two.dx + b * alone.nx, alone.dx, alone.nx);
        }
        norm_free(&one), norm_free(&two), norm_free(&alone);
    }
    omp_set_num_threads(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_norm),
        cmocka_unit_test(test_reference_norm_bf16),
        cmocka_unit_test(test_fast_norm),
        cmocka_unit_test(test_norm_large_mean),
        cmocka_unit_test(test_subnormal_results),
        cmocka_unit_test(test_reference_silu),
        cmocka_unit_test(test_fast_silu),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_bits_of_threads_and_places),
    };
    return RUN_AT_EACH_FEATURE_SET(tests);
}
