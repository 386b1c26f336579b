/* Convolutions with AMX tiles (x86/conv_amx.c) on small integers, where only results are rounded:
 * equal to the reference bit for bit, on any number of threads. */
#include "model/nn/kernels/conv_algorithms.h"
#include "model/nn/kernels/cpu.h"
#include "tests/whole_conv.h"

#include <stdio.h>

enum { SKIPPED = 77 };

/* batch, height, width, in, out, kernel. Image rows of one tile and of several; rows of two and of
 * four samples side by side in a tile, with samples left over; an odd number of tiles; several
 * samples in a line of tiles, with one left over; several parts of one sample; many output
 * channels; a width that is no power of two; 1x1 kernels over few and over many pixels. */
static const int64_t shapes[][6] = {
    {1, 1, 16, 32, 32, 3},  {2, 5, 32, 64, 32, 3},    {2, 8, 8, 32, 96, 3},
    {3, 3, 8, 32, 32, 3},   {5, 4, 4, 64, 64, 3},     {1, 3, 16, 32, 32, 3},
    {7, 16, 16, 96, 64, 3}, {1, 70, 128, 128, 32, 3}, {5, 8, 8, 512, 288, 3},
    {3, 7, 48, 32, 64, 3},  {3, 5, 24, 32, 32, 3},    {1, 1, 4, 32, 32, 3},
    {1, 4, 4, 64, 96, 1},   {3, 16, 29, 160, 320, 1}, {2, 33, 64, 32, 32, 1}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static conv_shape shape_of(int i) {
    const int64_t *n = shapes[i];
    return (conv_shape){n[0], n[1], n[2], n[3], n[4], (int)n[5], 1, TYPE_BF16, TYPE_BF16};
}

static void whole_numbers_are_exact(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        whole_case c = case_of(shape_of(i));
        algorithm_is_exact(&c, &conv_amx, &weight_gradient_amx);
        case_free(&c);
    }
}

static void activations_do_not_depend_on_threads(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        whole_case c = case_of(shape_of(i));
        activations_ignore_threads(&c, &conv_amx, &weight_gradient_amx);
        case_free(&c);
    }
}

static void others_are_left_to_the_library(void **state) {
    (void)state;
    const conv_shape plain = {1, 8, 8, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16};
    assert_true(conv_amx.supports(&plain));
    conv_shape strided = plain, odd_in = plain, odd_out = plain, none = plain, f32_x = plain,
               f32_y = plain, odd_width = plain, few_pixels = plain, two_halves = plain;
    strided.stride = 2, odd_in.in = 48, odd_out.out = 1, none.batch = 0, f32_x.x = TYPE_F32,
    f32_y.y = TYPE_F32, odd_width.width = 6, few_pixels.width = 3, few_pixels.kernel = 1;
    two_halves.kernel = 1, two_halves.batch = 2, two_halves.height = 1; /* whole tiles together */
    const conv_shape *others[] = {&strided, &odd_in,    &odd_out,    &none,      &f32_x,
                                  &f32_y,   &odd_width, &few_pixels, &two_halves};
    for (int i = 0; i < 9; i++) assert_false(conv_amx.supports(others[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(activations_do_not_depend_on_threads),
        cmocka_unit_test(others_are_left_to_the_library),
    };
    if (!cpu_has(CPU_AMX)) {
        puts("this processor has no AMX tiles");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
