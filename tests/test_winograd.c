/* Convolutions by the Winograd algorithm (winograd.c) on small integers, where nothing is rounded:
 * equal to the reference bit for bit, on any number of threads. test_kernels.c has real values. */
#include "model/nn/kernels/conv_algorithms.h"
#include "model/nn/kernels/cpu.h"
#include "model/nn/kernels/engines.h"
#include "model/nn/kernels/variants.h"
#include "tests/whole_conv.h"

#include <stdio.h>

enum { SKIPPED = 77 };

/* batch, height, width, in, out. A single pixel; odd sizes; partial panels of channels; several
 * parts of them; several groups and chunks of tiles; as many chunks as threads, and fewer. */
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
            algorithm_is_exact(&c, &conv_winograd, &weight_gradient_winograd);
            case_free(&c);
        }
}

static void activations_do_not_depend_on_threads(void **state) {
    (void)state;
    for (int i = 0; i < 2 * SHAPES; i++) {
        const tensor_type type = i < SHAPES ? TYPE_F32 : TYPE_BF16;
        whole_case c = case_of(shape_of(i % SHAPES, type, type));
        activations_ignore_threads(&c, &conv_winograd, &weight_gradient_winograd);
        case_free(&c);
    }
}

static void others_are_left_to_the_library(void **state) {
    (void)state;
    const conv_shape plain = {1, 8, 8, 16, 16, 3, 1, TYPE_F32, TYPE_F32};
    conv_shape pointwise = plain, strided = plain, odd_in = plain, odd_out = plain, none = plain;
    assert_true(conv_winograd.supports(&plain));
    pointwise.kernel = 1, strided.stride = 2, odd_in.in = 12, odd_out.out = 1, none.in = 0;
    const conv_shape *others[] = {&pointwise, &strided, &odd_in, &odd_out, &none};
    for (int i = 0; i < 5; i++) assert_false(conv_winograd.supports(others[i]));
}

/* Bytes of the packed weights of a convolution of the engine, and of its scratch (may be NULL). */
static int64_t engine_packs(const conv_shape *s, bool training, int64_t *scratch) {
    conv *op;
    assert_int_equal(kernels_onednn.conv_open(s, training, &op), ST_OK);
    const int64_t bytes = kernels_onednn.conv_packed(op);
    if (scratch) *scratch = kernels_onednn.conv_scratch(op);
    kernels_onednn.conv_close(op);
    return bytes;
}

/* Recognised by the size of the packed weights: the library packs them to no more elements than
 * there are. */
static void the_engine_chooses_winograd_where_it_is_faster(void **state) {
    (void)state;
    conv_shape s = {1, 8, 8, 64, 64, 3, 1, TYPE_F32, TYPE_F32};
    assert_int_equal(engine_packs(&s, true, NULL), conv_winograd.packed(&s));
    s.y = TYPE_BF16;
    assert_int_equal(engine_packs(&s, true, NULL) == conv_winograd.packed(&s), !cpu_prefers_bf16());
}

/* In training, large weights over many pixels are repacked into scratch for each run, to save
 * memory. On 8 threads: with fewer, backward might need more scratch than forward and hide it. */
static void the_engine_repacks_large_weights(void **state) {
    (void)state;
    const conv_shape large = {1, 33, 32, 96, 112, 3, 1, TYPE_F32, TYPE_F32};
    conv_shape few_pixels = large, small = large;
    few_pixels.height = 31, small.in = 8;
    const int before = omp_get_max_threads();
    omp_set_num_threads(8);
    int64_t scratch, packed = conv_winograd.packed(&large);
    assert_int_equal(engine_packs(&large, true, &scratch), 0);
    assert_true(scratch >= packed + conv_winograd.scratch(&large, false));
    assert_int_equal(engine_packs(&large, false, NULL), packed);
    assert_int_equal(engine_packs(&few_pixels, true, NULL), conv_winograd.packed(&few_pixels));
    assert_int_equal(engine_packs(&small, true, NULL), conv_winograd.packed(&small));
    omp_set_num_threads(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(activations_do_not_depend_on_threads),
        cmocka_unit_test(others_are_left_to_the_library),
        cmocka_unit_test(the_engine_chooses_winograd_where_it_is_faster),
        cmocka_unit_test(the_engine_repacks_large_weights),
    };
    if (!cpu_has(CPU_AVX2)) {
        puts("this processor has no AVX2");
        return SKIPPED;
    }
    int failed = 0;
    const cpu_features widest = cpu_available();
    for (cpu_features set = CPU_AVX2; set <= widest; set++) {
        cpu_limit(set);
        if (kernel_best(KERNEL_WINOGRAD))
            failed += cmocka_run_group_tests_name(cpu_features_name(set), tests, NULL, NULL);
    }
    return failed;
}
