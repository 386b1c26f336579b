/* Weight gradients in tiles on whole numbers, where nothing is rounded: equal to the reference's to
 * the last bit, into however many parts the threads divide them. */
#include "model/nn/gradient_amx.h"
#include "model/nn/isa_dnnl.h"
#include "tests/whole_conv.h"

#include <stdio.h>

enum { SKIPPED = 77 };

/* One pixel, odd ends, lines shorter than a step, several stretches and parts, a block of inputs
 * that is not full, several blocks. */
static const conv_shape shapes[] = {{1, 1, 1, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {2, 5, 7, 32, 96, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {3, 37, 1, 96, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {1, 1, 41, 64, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {2, 33, 64, 32, 64, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {5, 8, 8, 160, 64, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {5, 40, 41, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16},
                                    {1, 1, 1, 64, 32, 1, 1, TYPE_BF16, TYPE_BF16},
                                    {3, 9, 7, 288, 96, 1, 1, TYPE_BF16, TYPE_BF16},
                                    {5, 41, 40, 32, 32, 1, 1, TYPE_BF16, TYPE_BF16}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* dw and db of a case, added to 0.5. */
static answers in_tiles(const whole_case *c) {
    const conv_shape *s = &c->s;
    answers a = answers_of(c);
    void *x = map_in(s->x, c->x, c->nx), *dy = map_in(s->y, c->dy, c->ny);
    int64_t bytes = gradient_amx_scratch(s);
    char *scratch = guarded(bytes);
    gradient_amx(s, x, dy, a.dw, a.db, scratch);
    guard_check(scratch, bytes);
    free(x), free(dy);
    return a;
}

static void whole_numbers_are_exact(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    for (int i = 0; i < SHAPES; i++) {
        whole_case c = case_of(shapes[i]);
        answers want = by_reference(&c);
        assert_true(gradient_amx_takes(&c.s));
        for (int threads = 1; threads <= 3; threads++) {
            omp_set_num_threads(threads);
            answers got = in_tiles(&c);
            same_bits("dw", got.dw, want.dw, c.nw);
            same_bits("db", got.db, want.db, c.s.out);
            answers_free(&got);
        }
        answers_free(&want), case_free(&c);
    }
    omp_set_num_threads(before);
}

static void no_bias_is_asked_for(void **state) {
    (void)state;
    whole_case c = case_of(shapes[4]);
    const conv_shape *s = &c.s;
    answers want = in_tiles(&c);
    float *dw = filled(c.nw, 0.5f);
    void *x = map_in(s->x, c.x, c.nx), *dy = map_in(s->y, c.dy, c.ny);
    void *scratch = scratch_of(gradient_amx_scratch(s));
    gradient_amx(s, x, dy, dw, NULL, scratch);
    same_bits("dw", dw, want.dw, c.nw);
    free(dw), free(x), free(dy), free(scratch);
    answers_free(&want), case_free(&c);
}

static void others_are_left_to_the_library(void **state) {
    (void)state;
    const conv_shape plain = {1, 8, 8, 32, 32, 3, 1, TYPE_BF16, TYPE_BF16};
    conv_shape strided = plain, odd_in = plain, odd_out = plain, none = plain, f32_x = plain,
               f32_y = plain;
    assert_true(gradient_amx_takes(&plain));
    strided.stride = 2, odd_in.in = 48, odd_out.out = 1, none.in = 0, f32_x.x = TYPE_F32,
    f32_y.y = TYPE_F32;
    const conv_shape *others[] = {&strided, &odd_in, &odd_out, &none, &f32_x, &f32_y};
    for (int i = 0; i < 6; i++) assert_false(gradient_amx_takes(others[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(no_bias_is_asked_for),
        cmocka_unit_test(others_are_left_to_the_library),
    };
    if (!isa_tiles()) {
        puts("this processor does not multiply bf16 in tiles");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
