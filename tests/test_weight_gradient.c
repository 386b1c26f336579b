/* Our own bf16 weight gradients (x86/gradient_amx.c, gradient_avx512.c) on small integers, where
 * nothing is rounded: equal to the reference bit for bit, on any number of threads. */
#include "model/nn/kernels/conv_algorithms.h"
#include "model/nn/kernels/cpu.h"
#include "tests/whole_conv.h"

#include <stdio.h>

enum { SKIPPED = 77 };

static const weight_gradient_algorithm *const algorithms[] = {&weight_gradient_amx,
                                                              &weight_gradient_avx512};
enum { AMX, AVX512, ALGORITHMS };

/* A single pixel; sizes that no vector divides; image rows shorter than a step and longer than a
 * chunk of pixels; several samples in a chunk, with one left over; several chunks and partial sums;
 * so many channels that chunks become shorter; a partial block of input channels; several blocks.
 */
static const conv_shape shapes[] = {{1, 1, 1, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {2, 5, 7, 32, 96, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {3, 37, 1, 96, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {1, 1, 41, 64, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {2, 33, 64, 32, 64, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {5, 8, 8, 160, 64, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {5, 40, 41, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {1, 1, 2, 32, 64, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {3, 2, 6, 64, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {9, 9, 14, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {1, 3, 2060, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {1, 9, 260, 128, 128, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {2, 8, 6, 544, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {1, 1, 1, 64, 32, 1, 1, TYPE_BF16, TYPE_BF16},
                                    {3, 9, 7, 288, 96, 1, 1, TYPE_BF16, TYPE_BF16},
                                    {5, 41, 40, 32, 32, 1, 1, TYPE_BF16, TYPE_BF16}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], USUAL = 4 };

/* Whether the processor has what the algorithm needs, independent of its own answer. */
static bool is_available(int a) { return cpu_has(a == AMX ? CPU_AMX : CPU_AVX512_BF16); }

/* AMX supports all shapes above, AVX-512 those of 3x3 kernels with an even width. */
static bool is_supported(int a, const conv_shape *s) {
    return is_available(a) && (a == AMX || (s->kernel == 3 && s->width % 2 == 0));
}

static void whole_numbers_are_exact(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++)
        for (int i = 0; i < SHAPES; i++) {
            assert_int_equal(algorithms[a]->supports(&shapes[i]), is_supported(a, &shapes[i]));
            if (!is_supported(a, &shapes[i])) continue;
            whole_case c = case_of(shapes[i]);
            gradient_is_exact(&c, algorithms[a]);
            case_free(&c);
        }
}

static void the_bias_gradient_is_optional(void **state) {
    (void)state;
    whole_case c = case_of(shapes[USUAL]);
    for (int a = 0; a < ALGORITHMS; a++) {
        if (!is_available(a)) continue;
        answers want = answers_of(&c);
        float *dw = filled(c.nw, 0.5f);
        add_gradients(&c, algorithms[a], want.dw, want.db);
        add_gradients(&c, algorithms[a], dw, NULL);
        same_bits("dw", dw, want.dw, c.nw);
        free(dw), answers_free(&want);
    }
    case_free(&c);
}

static void others_are_left_to_the_library(void **state) {
    (void)state;
    const conv_shape plain = {1, 8, 8, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16};
    conv_shape strided = plain, odd_in = plain, odd_out = plain, none = plain, f32_x = plain,
               f32_y = plain;
    strided.stride = 2, odd_in.in = 48, odd_out.out = 1, none.in = 0, f32_x.x = TYPE_F32,
    f32_y.y = TYPE_F32;
    const conv_shape *others[] = {&strided, &odd_in, &odd_out, &none, &f32_x, &f32_y};
    for (int a = 0; a < ALGORITHMS; a++)
        for (int i = 0; i < 6; i++) assert_false(algorithms[a]->supports(others[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(the_bias_gradient_is_optional),
        cmocka_unit_test(others_are_left_to_the_library),
    };
    bool any = false;
    for (int a = 0; a < ALGORITHMS; a++) any |= is_available(a);
    if (!any) {
        puts("this processor has no bf16 products, neither AVX-512's nor AMX's");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
