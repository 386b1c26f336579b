/* Frozen layers against direct loops over small integers, which f32 adds up without rounding: every
 * kernel, stride and padding of Inception v3, in a place of a wider value. */
#include "model/net/frozen.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 3, HEIGHT = 13, WIDTH = 17, IN = 5, OUT = 6, FIRST = 2, CHANNELS = 11, MARK = 777 };

static int small(int64_t i) { return (int)((i * 2654435761u >> 7) % 7) - 3; }

/* The number at (row, column, channel) of sample b; 0 outside. */
static float input_at(const float *x, int b, int64_t r, int64_t c, int64_t k) {
    const bool inside = r >= 0 && r < HEIGHT && c >= 0 && c < WIDTH;
    return inside ? x[((b * HEIGHT + r) * WIDTH + c) * IN + k] : 0;
}

/* A network of an input in slot 0 and one layer that writes to slot 1, and its input filled. */
static frozen *start(frozen_value *x) {
    frozen *f = NULL;
    assert_int_equal(frozen_create(BATCH, &f), ST_OK);
    assert_int_equal(frozen_add_input(f, 0, HEIGHT, WIDTH, IN, x), ST_OK);
    return f;
}

static const frozen_place place = {.slot = 1, .first = FIRST, .channels = CHANNELS};

static void run(frozen *f, const frozen_value *y) {
    assert_int_equal(frozen_ready(f), ST_OK);
    for (int i = 0; i < BATCH * HEIGHT * WIDTH * IN; i++) frozen_slot(f, 0)[i] = (float)small(i);
    for (int64_t i = 0; i < BATCH * y->height * y->width * CHANNELS; i++)
        frozen_slot(f, 1)[i] = MARK;
    frozen_forward(f, BATCH - 1);
}

/* Compares what run() left in slot 1 with want(context, b, r, c, k): channels outside the place and
 * the last sample, which did not run, are untouched. */
static void check(const frozen *f, const frozen_value *y, int64_t written,
                  float (*want)(const void *, const float *, int, int64_t, int64_t, int64_t),
                  const void *context) {
    const float *got = frozen_slot(f, 1);
    for (int b = 0; b < BATCH; b++)
        for (int64_t r = 0; r < y->height; r++)
            for (int64_t c = 0; c < y->width; c++)
                for (int64_t k = 0; k < CHANNELS; k++, got++) {
                    const bool mine = b < BATCH - 1 && k >= FIRST && k < FIRST + written;
                    const float value =
                        mine ? want(context, frozen_slot(f, 0), b, r, c, k - FIRST) : MARK;
                    if (*got != value)
                        fail_msg("sample %d, pixel (%d, %d), channel %d: %g, not %g", b, (int)r,
                                 (int)c, (int)k, (double)*got, (double)value);
                }
}

typedef struct conv_case {
    frozen_conv conv;
    const float *weight, *bias;
} conv_case;

static float want_conv(const void *context, const float *x, int b, int64_t r, int64_t c,
                       int64_t out) {
    const conv_case *k = context;
    const int64_t height = k->conv.kernel_height, width = k->conv.kernel_width;
    float sum = k->bias[out];
    for (int64_t i = 0; i < IN; i++)
        for (int64_t dr = 0; dr < height; dr++)
            for (int64_t dc = 0; dc < width; dc++)
                sum += k->weight[((out * IN + i) * height + dr) * width + dc] *
                       input_at(x, b, r * k->conv.stride + dr - (k->conv.padded ? height / 2 : 0),
                                c * k->conv.stride + dc - (k->conv.padded ? width / 2 : 0), i);
    return fmaxf(sum, 0);
}

static void convolutions_are_exact(void **state) {
    (void)state;
    static const frozen_conv cases[] = {
        {OUT, 1, 1, 1, true},  {OUT, 3, 3, 1, true}, {OUT, 5, 5, 1, true}, {OUT, 1, 7, 1, true},
        {OUT, 7, 1, 1, true},  {OUT, 1, 3, 1, true}, {OUT, 3, 1, 1, true}, {OUT, 3, 3, 1, false},
        {OUT, 3, 3, 2, false}, {OUT, 1, 1, 2, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float weight[OUT * IN * 25], bias[OUT];
        frozen_value x, y;
        frozen *f = start(&x);
        for (int j = 0; j < OUT * IN * 25; j++) weight[j] = (float)small(j + 1000);
        for (int j = 0; j < OUT; j++) bias[j] = (float)small(j + 5000);
        assert_int_equal(frozen_add_conv(f, x, &cases[i], weight, bias, place, &y), ST_OK);
        const int64_t lost_height = cases[i].padded ? 0 : cases[i].kernel_height - 1;
        const int64_t lost_width = cases[i].padded ? 0 : cases[i].kernel_width - 1;
        assert_int_equal(y.height, (HEIGHT - lost_height + cases[i].stride - 1) / cases[i].stride);
        assert_int_equal(y.width, (WIDTH - lost_width + cases[i].stride - 1) / cases[i].stride);
        assert_int_equal(y.channels, CHANNELS);
        run(f, &y);
        check(f, &y, OUT, want_conv, &(conv_case){cases[i], weight, bias});
        frozen_destroy(f);
    }
}

static float want_pool(const void *context, const float *x, int b, int64_t r, int64_t c,
                       int64_t k) {
    const frozen_pool *pool = context;
    const int64_t stride = *pool == POOL_MAX_HALF ? 2 : 1, pad = *pool == POOL_MAX_HALF ? 0 : 1;
    float largest = -INFINITY, sum = 0;
    int seen = 0;
    for (int64_t row = r * stride - pad; row < r * stride - pad + 3; row++)
        for (int64_t column = c * stride - pad; column < c * stride - pad + 3; column++) {
            if (row < 0 || row >= HEIGHT || column < 0 || column >= WIDTH) continue;
            const float value = input_at(x, b, row, column, k);
            largest = fmaxf(largest, value);
            sum += value;
            seen++;
        }
    return *pool == POOL_MEAN ? sum / (float)seen : largest;
}

static void pools_are_exact(void **state) {
    (void)state;
    for (frozen_pool pool = POOL_MEAN; pool <= POOL_MAX_HALF; pool++) {
        frozen_value x, y;
        frozen *f = start(&x);
        assert_int_equal(frozen_add_pool(f, x, pool, place, &y), ST_OK);
        assert_int_equal(y.height, pool == POOL_MAX_HALF ? (HEIGHT - 1) / 2 : HEIGHT);
        assert_int_equal(y.width, pool == POOL_MAX_HALF ? (WIDTH - 1) / 2 : WIDTH);
        run(f, &y);
        check(f, &y, IN, want_pool, &pool);
        frozen_destroy(f);
    }
}

/* What a list of layers cannot mean is refused when the layer is added. */
static void faults_are_errors(void **state) {
    (void)state;
    const float numbers[OUT * IN * 9] = {0};
    const frozen_conv conv = {OUT, 3, 3, 1, true};
    frozen_value x, y;
    frozen *f = start(&x);
    assert_int_equal(frozen_add_pool(f, x, POOL_MAX, (frozen_place){.slot = 0}, &y), ST_INTERNAL);
    assert_int_equal(frozen_add_pool(f, x, POOL_MAX, (frozen_place){1, 7, CHANNELS}, &y),
                     ST_INTERNAL);
    assert_int_equal(frozen_add_conv(f, x, &conv, numbers, numbers, (frozen_place){1, -1, 9}, &y),
                     ST_INTERNAL);
    assert_int_equal(frozen_add_input(f, 0, 0, 4, 1, &x), ST_INTERNAL);
    assert_int_equal(frozen_add_input(f, 0, 2, 2, 1, &x), ST_OK);
    assert_int_equal(frozen_add_pool(f, x, POOL_MAX_HALF, (frozen_place){.slot = 1}, &y),
                     ST_INTERNAL);
    frozen_destroy(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_are_exact),
        cmocka_unit_test(pools_are_exact),
        cmocka_unit_test(faults_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
