/* AdamW and RAdam against values of PyTorch (golden/optim.h), the learning rate at its turning
 * points, the sum of squares on several numbers of threads. */
#include "model/optim.h"
#include "tests/golden/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <omp.h>

static double gradient(int step, int i) { return sin(1.7 * i + 0.9 * step) * pow(10.0, i % 4 - 3); }

/* Even elements are decayed, odd ones are not, as in tests/golden/optim.py. The gradient is passed
 * divided by 100 and scaled back, to test the factor that clipping uses. */
static void adamw_equals_pytorch(void **state) {
    (void)state;
    float value[GOLDEN_N], grad[GOLDEN_N], m[GOLDEN_N] = {0}, v[GOLDEN_N] = {0};
    uint8_t decay[GOLDEN_N];
    for (int i = 0; i < GOLDEN_N; i++) {
        value[i] = (float)cos(i);
        decay[i] = i % 2 == 0;
    }
    for (int step = 1; step <= GOLDEN_STEPS; step++) {
        adamw a = {.lr = 3e-3,
                   .beta1 = 0.9,
                   .beta2 = 0.99,
                   .eps = 1e-8,
                   .weight_decay = 0.1,
                   .step = step,
                   .scale = 100};
        for (int i = 0; i < GOLDEN_N; i++) grad[i] = (float)(gradient(step, i) / 100);
        adamw_update(&a, value, grad, m, v, decay, NULL, 0, GOLDEN_N);
        for (int i = 0; i < GOLDEN_N; i++)
            assert_true(fabs(value[i] - golden_adamw[step - 1][i]) < 5e-7);
    }
}

/* The first steps have too few degrees of freedom for the second moment. */
static void radam_equals_pytorch(void **state) {
    (void)state;
    float value[GOLDEN_N], grad[GOLDEN_N], m[GOLDEN_N] = {0}, v[GOLDEN_N] = {0};
    for (int i = 0; i < GOLDEN_N; i++) value[i] = (float)cos(i);
    for (int step = 1; step <= GOLDEN_RADAM_STEPS; step++) {
        const adamw a = {.lr = 3e-3,
                         .beta1 = 0.9,
                         .beta2 = 0.99,
                         .eps = 1e-8,
                         .step = step,
                         .scale = 100,
                         .rectified = true};
        for (int i = 0; i < GOLDEN_N; i++) grad[i] = (float)(gradient(step, i) / 100);
        adamw_update(&a, value, grad, m, v, NULL, NULL, 0, GOLDEN_N);
        for (int i = 0; i < GOLDEN_N; i++)
            assert_true(fabs(value[i] - golden_radam[step - 1][i]) < 5e-7);
    }
}

/* No decay mask equals a mask of zeros; without decay and gradient values do not change. */
static void adamw_without_decay(void **state) {
    (void)state;
    enum { N = 37 };
    float a[N], b[N], grad[N], ma[N] = {0}, mb[N] = {0}, va[N] = {0}, vb[N] = {0};
    uint8_t none[N] = {0};
    for (int i = 0; i < N; i++) a[i] = b[i] = (float)i, grad[i] = (float)sin(i);
    adamw how = {.lr = 0.1,
                 .beta1 = 0.9,
                 .beta2 = 0.999,
                 .eps = 1e-8,
                 .weight_decay = 0.5,
                 .step = 1,
                 .scale = 1};
    adamw_update(&how, a, grad, ma, va, NULL, NULL, 0, N);
    adamw_update(&how, b, grad, mb, vb, none, NULL, 0, N);
    assert_memory_equal(a, b, sizeof a);
    /* The first step is lr * sign(gradient), whatever its size. */
    for (int i = 1; i < N; i++) assert_true(fabs(i - a[i] - copysign(0.1, grad[i])) < 1e-5);
    assert_true(a[0] == 0);
}

/* Ranks and threads share the work in pieces of any length. */
static void pieces_give_the_bits_of_the_whole(void **state) {
    (void)state;
    enum { N = 9001 };
    static float value[2][N], grad[N], m[2][N], v[2][N], ema[2][N];
    static uint8_t decay[N];
    for (int i = 0; i < N; i++) {
        value[0][i] = value[1][i] = sinf((float)i);
        m[0][i] = m[1][i] = sinf(2 * (float)i);
        v[0][i] = v[1][i] = fabsf(sinf(5 * (float)i));
        grad[i] = cosf(3 * (float)i) * expf(sinf((float)i));
        decay[i] = i % 3 != 0;
    }
    const adamw a = {.lr = 1e-2,
                     .beta1 = 0.9,
                     .beta2 = 0.999,
                     .eps = 1e-8,
                     .weight_decay = 0.1,
                     .step = 3,
                     .scale = 0.3337};
    adamw_update(&a, value[0], grad, m[0], v[0], decay, ema[0], 0.9, N);
    for (int at = 0, n = 1; at < N; at += n, n = n * 5 % 97 + 1) {
        if (n > N - at) n = N - at;
        adamw_update(&a, value[1] + at, grad + at, m[1] + at, v[1] + at, decay + at, ema[1] + at,
                     0.9, n);
    }
    assert_memory_equal(value[0], value[1], sizeof value[0]);
    assert_memory_equal(m[0], m[1], sizeof m[0]);
    assert_memory_equal(v[0], v[1], sizeof v[0]);
    assert_memory_equal(ema[0], ema[1], sizeof ema[0]);

    /* The norm does not depend on who sums which parts. */
    double sum = 0, part[GRADIENT_PARTS] = {0};
    int64_t length = gradient_part(N), third = N / 3 / length * length;
    assert_true(length % 16 == 0 && length * GRADIENT_PARTS >= N);
    gradient_squared_norms(grad + third, N - third, length, part + third / length);
    gradient_squared_norms(grad, third, length, part);
    for (int p = 0; p < GRADIENT_PARTS; p++) sum += part[p];
    assert_true(sum == gradient_squared_norm(grad, N));
}

static void learning_rate_corners(void **state) {
    (void)state;
    const double peak = 2e-4;
    assert_true(fabs(learning_rate(0, 100, 1000, peak) - peak / 100) < 1e-15);
    assert_true(learning_rate(99, 100, 1000, peak) == peak);
    assert_true(learning_rate(100, 100, 1000, peak) == peak);
    assert_true(fabs(learning_rate(550, 100, 1000, peak) - peak * 0.505) < 1e-15);
    assert_true(fabs(learning_rate(1000, 100, 1000, peak) - peak / 100) < 1e-15);
    assert_true(fabs(learning_rate(5000, 100, 1000, peak) - peak / 100) < 1e-15);
    assert_true(learning_rate(0, 0, 10, peak) == peak);
    assert_true(isfinite(learning_rate(10, 10, 10, peak)));
    assert_true(isfinite(learning_rate(0, 0, 0, peak)));
    for (int step = 1; step < 1000; step++) {
        double change =
            learning_rate(step, 100, 1000, peak) - learning_rate(step - 1, 100, 1000, peak);
        assert_true(step < 100 ? change > 0 : change <= 0);
    }
}

static void sum_of_squares(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 7, 255, 256, 257, 2047, 100003};
    float *x = malloc(100003 * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < 100003; i++) x[i] = (float)(sin(i) * exp(cos(0.1 * i) * 5));
    int before = omp_get_max_threads();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        long double truth = 0;
        for (int64_t i = 0; i < sizes[k]; i++) truth += (long double)x[i] * x[i];
        omp_set_num_threads(1);
        double one = gradient_squared_norm(x, sizes[k]);
        assert_true(fabs(one - (double)truth) <= 1e-13 * (double)truth);
        for (int threads = 2; threads <= 5; threads++) {
            omp_set_num_threads(threads);
            double several = gradient_squared_norm(x, sizes[k]);
            assert_memory_equal(&one, &several, sizeof one);
        }
    }
    omp_set_num_threads(before);
    x[50000] = NAN;
    assert_true(isnan(gradient_squared_norm(x, 100003)));
    x[50000] = INFINITY;
    assert_true(isinf(gradient_squared_norm(x, 100003)));
    free(x);
}

static void moving_average(void **state) {
    (void)state;
    assert_true(ema_decay(0.9999, 0) == 0.1);
    assert_true(ema_decay(0.9999, 90) == 0.91);
    assert_true(ema_decay(0.9999, 10000000) == 0.9999);
    float ema[5] = {0, 1, 2, 3, 4}, value[5] = {1, 1, 1, 1, 1}, zero[5] = {0}, m[5] = {0},
          v[5] = {0};
    const adamw still = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1, .scale = 1};
    adamw_update(&still, value, zero, m, v, NULL, ema, 0.75, 5);
    for (int i = 0; i < 5; i++) assert_true(ema[i] == 0.75f * (float)i + 0.25f);
    for (int k = 0; k < 200; k++) adamw_update(&still, value, zero, m, v, NULL, ema, 0.75, 5);
    for (int i = 0; i < 5; i++) assert_true(fabsf(ema[i] - 1) < 1e-6f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_equals_pytorch),
        cmocka_unit_test(radam_equals_pytorch),
        cmocka_unit_test(adamw_without_decay),
        cmocka_unit_test(pieces_give_the_bits_of_the_whole),
        cmocka_unit_test(learning_rate_corners),
        cmocka_unit_test(sum_of_squares),
        cmocka_unit_test(moving_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
