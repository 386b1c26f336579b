/* Activations in blocks of channels (onednn/channel_blocks.c): every element at its place, in both
 * directions; and the arrays that a staging (onednn/conv_staging.c) hands to a product. */
#include "model/nn/kernels/onednn/conv_staging.h"
#include "tests/kernel_case.h"

static const block_shape shapes[] = {
    {TYPE_F32, 2, 15, 24, 8},     {TYPE_F32, 1, 1, 16, 16},    {TYPE_F32, 3, 7, 32, 16},
    {TYPE_F32, 2, 9, 5, 5},       {TYPE_F32, 1, 300, 64, 8},   {TYPE_F32, 1, 3, 4104, 8},
    {TYPE_BF16, 2, 15, 24, 8},    {TYPE_BF16, 1, 300, 64, 64}, {TYPE_BF16, 3, 5, 1, 1},
    {TYPE_BF16, 1, 2, 4608, 512}, {TYPE_BF16, 1, 33, 48, 16},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static int64_t count_of(const block_shape *s) { return s->batch * s->pixels * s->channels; }

/* Index in the blocked layout [batch, channels / width, pixels, width] of element i of the
 * channels-last one. */
static int64_t place(const block_shape *s, int64_t i) {
    int64_t c = i % s->channels, p = i / s->channels % s->pixels;
    int64_t b = i / s->channels / s->pixels, blocks = s->channels / s->width;
    return ((b * blocks + c / s->width) * s->pixels + p) * s->width + c % s->width;
}

/* Values that bf16 does not represent and that do not lie half-way between two that it does. */
static float *odd_numbers(int64_t n) {
    float *x = noise(n, 3);
    for (int64_t i = 0; i < n; i++) x[i] += 0x1.3p-14f;
    return x;
}

static void every_element_has_its_place(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        const block_shape *s = &shapes[i];
        for (int rounded = 0; rounded < 2; rounded++) {
            int64_t n = count_of(s);
            float *x = odd_numbers(n), *blocks = filled(n, NAN);
            void *map = activations_in(s->type, x, n);
            activations_out(s->type, activations_in(s->type, x, n), x, n);
            if (rounded) round_to_type(TYPE_BF16, x, n);
            blocks_gather(s, rounded, map, blocks);
            for (int64_t k = 0; k < n; k++)
                if (blocks[place(s, k)] != x[k])
                    fail_msg("shape %d: element %d is %g, not %g", i, (int)k, blocks[place(s, k)],
                             x[k]);
            free(x), free(blocks), free(map);
        }
    }
}

static void scattered_values_are_rounded_to_the_type(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        const block_shape *s = &shapes[i];
        int64_t n = count_of(s);
        float *blocks = odd_numbers(n), *want = filled(n, 0), *got = filled(n, 0);
        void *map = activations_in(s->type, got, n);
        for (int64_t k = 0; k < n; k++) want[k] = blocks[place(s, k)];
        round_to_type(s->type, want, n);
        blocks_scatter(s, blocks, map);
        activations_out(s->type, map, got, n);
        assert_memory_equal(got, want, (size_t)n * sizeof(float));
        free(blocks), free(want), free(got);
    }
}

/* For each kind of staging: which array the product gets, and that a copy lies at its offset in
 * scratch. */
static void a_stage_copies_only_what_it_must(void **state) {
    (void)state;
    enum { N = 2 * 3 * 8, AT = 64 };
    const block_shape shape = {TYPE_F32, 2, 3, 8, 8};
    staging none = {.shape = shape}, narrow = {.kind = STAGING_BF16, .shape = shape, .at = AT};
    staging blocks = {.kind = STAGING_BLOCKS, .shape = shape, .at = AT};
    float *x = odd_numbers(N), back[N];
    assert_int_equal(staging_bytes(&none), 0);
    assert_int_equal(staging_bytes(&narrow), N * sizeof(bf16));
    assert_int_equal(staging_bytes(&blocks), N * sizeof(float));
    char *scratch = scratch_of(AT + staging_bytes(&blocks));
    assert_ptr_equal(staging_in(&none, x, scratch), x);
    assert_ptr_equal(staging_out(&none, x, scratch), x);
    assert_ptr_equal(staging_in(&narrow, x, scratch), scratch + AT);
    for (int i = 0; i < N; i++)
        assert_int_equal(((bf16 *)(void *)(scratch + AT))[i], bf16_from_f32(x[i]));
    assert_ptr_equal(staging_in(&blocks, x, scratch), scratch + AT);
    assert_ptr_equal(staging_out(&blocks, back, scratch), scratch + AT);
    staging_copy_out(&blocks, back, scratch);
    assert_memory_equal(back, x, sizeof back);
    staging_copy_out(&none, NULL, NULL);
    free(x), free(scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_has_its_place),
        cmocka_unit_test(scattered_values_are_rounded_to_the_type),
        cmocka_unit_test(a_stage_copies_only_what_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
