/* Winograd's convolutions on whole numbers, where they round nothing: equal to the reference's to
 * the last bit, by any number of threads. Real numbers are test_kernels.c's. */
#include "model/nn/conv_ways.h"
#include "model/nn/kernels_fast.h"
#include "tests/whole_conv.h"

#include <stdio.h>

enum { SKIPPED = 77 };

/* One pixel, odd ends, half panels of channels, more than a part of them, several groups and chunks
 * of tiles, as many chunks as threads and fewer. */
static const int64_t shapes[][5] = {{1, 1, 1, 8, 8},     {2, 5, 7, 8, 24},  {1, 2, 2, 24, 8},
                                    {3, 37, 1, 24, 16},  {1, 1, 9, 16, 40}, {2, 33, 32, 16, 16},
                                    {1, 4, 4, 200, 104}, {5, 8, 8, 64, 72}, {5, 32, 30, 8, 16}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static conv_shape shape_of(int i, tensor_type x, tensor_type y) {
    const int64_t *n = shapes[i];
    return (conv_shape){n[0], n[1], n[2], n[3], n[4], 3, 1, x, y};
}

static void whole_numbers_are_exact(void **state) {
    (void)state;
    const tensor_type types[][2] = {
        {TYPE_F32, TYPE_F32}, {TYPE_BF16, TYPE_BF16}, {TYPE_F32, TYPE_BF16}, {TYPE_BF16, TYPE_F32}};
    for (int i = 0; i < SHAPES; i++)
        for (int t = 0; t < 4; t++) {
            whole_case c = case_of(shape_of(i, types[t][0], types[t][1]));
            way_is_exact(&c, &conv_winograd, &gradient_winograd);
            case_free(&c);
        }
}

static void maps_do_not_depend_on_threads(void **state) {
    (void)state;
    for (int i = 0; i < 2 * SHAPES; i++) {
        const tensor_type type = i < SHAPES ? TYPE_F32 : TYPE_BF16;
        whole_case c = case_of(shape_of(i % SHAPES, type, type));
        maps_ignore_threads(&c, &conv_winograd, &gradient_winograd);
        case_free(&c);
    }
}

static void others_are_left_to_the_library(void **state) {
    (void)state;
    const conv_shape plain = {1, 8, 8, 16, 16, 3, 1, TYPE_F32, TYPE_F32};
    conv_shape pointwise = plain, strided = plain, odd_in = plain, odd_out = plain, none = plain;
    assert_true(conv_winograd.takes(&plain));
    pointwise.kernel = 1, strided.stride = 2, odd_in.in = 12, odd_out.out = 1, none.in = 0;
    const conv_shape *others[] = {&pointwise, &strided, &odd_in, &odd_out, &none};
    for (int i = 0; i < 5; i++) assert_false(conv_winograd.takes(others[i]));
}

/* As the processor has it, then as one that has AVX2 alone. */
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(maps_do_not_depend_on_threads),
        cmocka_unit_test(others_are_left_to_the_library),
    };
    int failed = 0;
    if (!__builtin_cpu_supports("avx2")) {
        puts("this processor has no AVX2");
        return SKIPPED;
    }
    if (kernels_bf16_native()) failed += cmocka_run_group_tests_name("AVX-512", tests, NULL, NULL);
    kernels_plain = true;
    return failed + cmocka_run_group_tests_name("AVX2", tests, NULL, NULL);
}
