/* Our own weight gradients on whole numbers, where nothing is rounded: equal to the reference's to
 * the last bit, into however many parts the threads divide them. */
#include "model/nn/kernels/conv_algorithms.h"
#include "model/nn/kernels/cpu.h"
#include "tests/whole_conv.h"

#include <stdio.h>

enum { SKIPPED = 77 };

static const weight_gradient_algorithm *const ways[] = {&weight_gradient_amx,
                                                        &weight_gradient_avx512};
enum { TILES, VECTORS, WAYS };

/* One pixel, odd ends, lines shorter than a step, rows longer than a stretch, several maps in a
 * stretch and one left over, several stretches and parts, so many channels that stretches are
 * shorter, a block of inputs that is not full, several blocks. */
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

/* dw and db of a case, added to 0.5. */
static answers in_one_way(const weight_gradient_algorithm *way, const whole_case *c) {
    const conv_shape *s = &c->s;
    answers a = answers_of(c);
    void *x = map_in(s->x, c->x, c->nx), *dy = map_in(s->y, c->dy, c->ny);
    int64_t bytes = way->scratch(s);
    char *scratch = guarded(bytes);
    way->add(s, x, dy, a.dw, a.db, scratch);
    guard_check(scratch, bytes);
    free(x), free(dy);
    return a;
}

/* What the processor has, whatever a way says of itself. */
static bool is_here(int way) { return cpu_has(way == TILES ? CPU_AMX : CPU_AVX512_BF16); }

/* Tiles take all shapes above, vectors those whose rows are whole pairs, under a kernel of 3x3. */
static bool is_taken(int way, const conv_shape *s) {
    return is_here(way) && (way == TILES || (s->kernel == 3 && s->width % 2 == 0));
}

static void exact(const weight_gradient_algorithm *way, const conv_shape *s) {
    whole_case c = case_of(*s);
    answers want = by_reference(&c);
    for (int threads = 1; threads <= 5; threads++) {
        omp_set_num_threads(threads);
        answers got = in_one_way(way, &c);
        same_bits("dw", got.dw, want.dw, c.nw);
        same_bits("db", got.db, want.db, c.s.out);
        answers_free(&got);
    }
    answers_free(&want), case_free(&c);
}

static void whole_numbers_are_exact(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    for (int w = 0; w < WAYS; w++)
        for (int i = 0; i < SHAPES; i++) {
            assert_int_equal(ways[w]->supports(&shapes[i]), is_taken(w, &shapes[i]));
            if (is_taken(w, &shapes[i])) exact(ways[w], &shapes[i]);
        }
    omp_set_num_threads(before);
}

static void no_bias_is_asked_for(void **state) {
    (void)state;
    whole_case c = case_of(shapes[USUAL]);
    const conv_shape *s = &c.s;
    for (int w = 0; w < WAYS; w++) {
        if (!is_here(w)) continue;
        answers want = in_one_way(ways[w], &c);
        float *dw = filled(c.nw, 0.5f);
        void *x = map_in(s->x, c.x, c.nx), *dy = map_in(s->y, c.dy, c.ny);
        void *scratch = scratch_of(ways[w]->scratch(s));
        ways[w]->add(s, x, dy, dw, NULL, scratch);
        same_bits("dw", dw, want.dw, c.nw);
        free(dw), free(x), free(dy), free(scratch);
        answers_free(&want);
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
    for (int w = 0; w < WAYS; w++)
        for (int i = 0; i < 6; i++) assert_false(ways[w]->supports(others[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(no_bias_is_asked_for),
        cmocka_unit_test(others_are_left_to_the_library),
    };
    bool any = false;
    for (int w = 0; w < WAYS; w++) any |= is_here(w);
    if (!any) {
        puts("this processor multiplies bf16 in neither way");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
