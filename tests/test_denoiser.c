/* Inputs of the denoiser: channels of slices and conditions, dropped conditions; every condition
 * reaches the prediction; sampling with classifier-free guidance of 1 and more. */
#include "pipeline/common/denoiser.h"
#include "model/rng.h"
#include "pipeline/data/tissue.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 16, PIXELS = SIZE * SIZE, LABELS = 3 };

static const label_set labels = {.count = LABELS, .name = {"background", "bone", "fat"}};

static study make_study(void) {
    study s;
    study_defaults(&s);
    s.data.size = SIZE;
    s.generate.steps = 3;
    s.model.net = UNET_R16;
    return s;
}

static denoiser *make(const study *s, int64_t batch) {
    denoiser *d = NULL;
    stage_context stage = {.study = s};
    stage.engine = kernels_of(ENGINE_ONEDNN);
    assert_int_equal(denoiser_open(&stage, &labels, batch, &d), ST_OK);
    params *p = denoiser_params(d);
    rng_stream r = rng_open(1, RNG_INIT, 0, 0);
    for (int64_t i = 0; i < p->total; i++) p->value[i] = (float)(0.1 * rng_normal(&r));
    denoiser_params_changed(d);
    return d;
}

/* Looks at the inputs of the plan only; the network does not run. */
static void conditions_are_laid_into_their_channels(void **state) {
    (void)state;
    enum { CHANNELS = 1 + LABELS, CLASSES = 3 };
    float x[2 * PIXELS * CHANNELS], t[2], position[2], class[2 * CLASSES], noised[PIXELS];
    uint8_t map[PIXELS];
    denoiser_inputs in = {.x = {TYPE_F32, {2, SIZE, SIZE, CHANNELS}, x},
                          .t = {TYPE_F32, {2, 1, 1, 1}, t},
                          .position = {TYPE_F32, {2, 1, 1, 1}, position},
                          .class = {TYPE_F32, {2, 1, 1, CLASSES}, class},
                          .channels = 1,
                          .factor = 1,
                          .labels = LABELS};
    for (int i = 0; i < PIXELS; i++) {
        noised[i] = (float)i;
        map[i] = (uint8_t)(i % LABELS);
    }
    slice_sample condition = {.labels = map, .position = 0.25f, .contrast = 1};
    denoiser_fill(&in, 0, noised, &(noise_level){.scale = 1, .time = 0}, &condition, true);
    denoiser_fill(&in, 1, noised, &(noise_level){.scale = 0.5, .time = 999}, &condition, false);
    for (int i = 0; i < PIXELS; i++)
        for (int c = 0; c < CHANNELS; c++) {
            float given = c == 0 ? (float)i : (float)(i % LABELS == c - 1);
            assert_float_equal(x[i * CHANNELS + c], given, 0);
            assert_float_equal(x[(PIXELS + i) * CHANNELS + c], c == 0 ? 0.5f * (float)i : 0, 0);
        }
    assert_float_equal(t[0], 0, 0);
    assert_float_equal(t[1], 999, 0);
    assert_float_equal(position[0], 0.25, 0);
    assert_float_equal(position[1], -1, 0);
    assert_memory_equal(class, ((float[]){0, 1, 0, 0, 0, 1}), sizeof class);
}

/* Tissue is told by the mean of the neighbourhood, and only where there is no structure. */
static void tissue_fills_what_the_labels_leave(void **state) {
    (void)state;
    enum { CHANNELS = LABELS + TISSUES };
    const double hu[] = {-900, -100, 40, 400}; /* of the four quarters of the image's columns */
    const tissue expected[] = {TISSUE_AIR, TISSUE_FAT, TISSUE_SOFT, TISSUE_DENSE};
    float image[PIXELS], maps[PIXELS * CHANNELS] = {0};
    uint8_t labels[PIXELS] = {0};
    const denoiser_inputs in = {
        .channels = 1, .factor = 1, .labels = LABELS, .tissues = TISSUES, .window = {-1000, 1000}};
    for (int i = 0; i < PIXELS; i++) image[i] = (float)(hu[i % SIZE / 4] / 1000);
    for (int i = 0; i < SIZE; i++) labels[i] = 2;            /* the first row */
    image[8 * SIZE + 9] = -1;                                /* one dark pixel of soft tissue: */
    image[8 * SIZE + 10] = (float)((9 * 40 + 959.9) / 1000); /* its neighbour makes up for it */
    slice_sample condition = {.image = image, .labels = labels};
    denoiser_fill_map(&in, &condition, SIZE, maps, CHANNELS, 0);
    for (int i = 0; i < PIXELS; i++) {
        const int x = i % SIZE, y = i / SIZE;
        if (x % 4 == 0 || x % 4 == 3 || (y >= 7 && y <= 9)) continue; /* a border is between */
        assert_int_equal(tissue_at(image, SIZE, i, in.window), expected[x / 4]);
        for (int c = 0; c < CHANNELS; c++) {
            const bool label = c == (y == 0 ? 2 : 0);
            const bool kind = y > 0 && c >= LABELS && c - LABELS == (int)expected[x / 4];
            assert_float_equal(maps[i * CHANNELS + c], label || kind, 0);
        }
    }
    assert_int_equal(tissue_at(image, SIZE, 8 * SIZE + 9, in.window), TISSUE_SOFT);
    memset(maps, 0, sizeof maps);
    condition.image = NULL;
    denoiser_fill_map(&in, &condition, SIZE, maps, CHANNELS, 0);
    for (int i = 0; i < PIXELS; i++)
        for (int c = LABELS; c < CHANNELS; c++) assert_float_equal(maps[i * CHANNELS + c], 0, 0);
}

/* The tissue around the structures reaches the sample, if the study asks for it. */
static void tissue_reaches_the_sample(void **state) {
    (void)state;
    uint8_t map[PIXELS] = {0};
    float air[PIXELS], soft[PIXELS], out[2][PIXELS];
    for (int i = 0; i < PIXELS; i++) {
        air[i] = -1;
        soft[i] = 0;
    }
    study s = make_study();
    for (int on = 0; on < 2; on++) {
        s.model.tissue = on ? SWITCH_ON : SWITCH_OFF;
        denoiser *d = make(&s, 1);
        slice_sample condition = {.image = air, .labels = map};
        assert_int_equal(denoiser_sample(d, &condition, (uint64_t[]){5}, 1, out[0]), ST_OK);
        condition.image = soft;
        assert_int_equal(denoiser_sample(d, &condition, (uint64_t[]){5}, 1, out[1]), ST_OK);
        assert_int_equal(memcmp(out[0], out[1], sizeof out[0]) != 0, on);
        denoiser_close(d);
    }
}

/* A sample for the given conditions, with index 5 under the study's seed. */
static void sample(denoiser *d, const uint8_t *map, float position, int contrast, float *out) {
    slice_sample condition = {.labels = (uint8_t *)map, .position = position, .contrast = contrast};
    assert_int_equal(denoiser_sample(d, &condition, (uint64_t[]){5}, 1, out), ST_OK);
}

static void every_condition_reaches_the_sample(void **state) {
    (void)state;
    uint8_t empty[PIXELS] = {0}, bone[PIXELS];
    float plain[PIXELS], other[PIXELS];
    memset(bone, 1, sizeof bone);
    study s = make_study();
    for (int guided = 0; guided < 2; guided++) {
        s.generate.guidance = guided ? 2 : 1;
        denoiser *d = make(&s, 2);
        sample(d, empty, 0.2f, 0, plain);
        sample(d, empty, 0.2f, 0, other);
        assert_memory_equal(plain, other, sizeof plain);
        sample(d, bone, 0.2f, 0, other);
        assert_memory_not_equal(plain, other, sizeof plain);
        sample(d, empty, 0.7f, 0, other);
        assert_memory_not_equal(plain, other, sizeof plain);
        sample(d, empty, 0.2f, 1, other);
        assert_memory_not_equal(plain, other, sizeof plain);
        for (int i = 0; i < PIXELS; i++) assert_true(fabsf(plain[i]) <= 1);
        denoiser_close(d);
    }
}

/* Chosen values take the place of the study's; guidance `auto` alone is 1. */
static void guidance_and_steps_can_be_chosen(void **state) {
    (void)state;
    uint8_t map[PIXELS];
    float expected[3][PIXELS], chosen[PIXELS];
    study s = make_study();
    for (int i = 0; i < PIXELS; i++) map[i] = (uint8_t)(i % 2);
    const double guidance[] = {2, 1, 1};
    const int64_t steps[] = {s.generate.steps, s.generate.steps, s.generate.steps - 1};
    for (int k = 0; k < 3; k++) {
        study one = s;
        one.generate.guidance = guidance[k];
        one.generate.steps = steps[k];
        denoiser *d = make(&one, 1);
        sample(d, map, 0.2f, 0, expected[k]);
        denoiser_close(d);
    }
    assert_memory_not_equal(expected[0], expected[1], sizeof chosen);
    assert_memory_not_equal(expected[1], expected[2], sizeof chosen);
    s.generate.guidance = 0;
    denoiser *d = make(&s, 1);
    sample(d, map, 0.2f, 0, chosen);
    assert_memory_equal(chosen, expected[1], sizeof chosen);
    denoiser_choose(d, 0, 2);
    sample(d, map, 0.2f, 0, chosen);
    assert_memory_equal(chosen, expected[0], sizeof chosen);
    denoiser_choose(d, steps[2], 1);
    sample(d, map, 0.2f, 0, chosen);
    assert_memory_equal(chosen, expected[2], sizeof chosen);
    denoiser_close(d);
}

static void a_sample_does_not_know_its_neighbours(void **state) {
    (void)state;
    uint8_t empty[PIXELS] = {0}, bone[PIXELS];
    float alone[PIXELS], both[2 * PIXELS];
    memset(bone, 1, sizeof bone);
    study s = make_study();
    denoiser *d = make(&s, 2);
    sample(d, empty, 0.2f, 0, alone);
    slice_sample two[] = {{.labels = bone, .position = 0.9f}, {.labels = empty, .position = 0.2f}};
    assert_int_equal(denoiser_sample(d, two, (uint64_t[]){9, 5}, 2, both), ST_OK);
    assert_memory_equal(alone, both + PIXELS, sizeof alone);
    denoiser_close(d);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double median_of(const float *image, const uint8_t *map, int label) {
    float found[PIXELS] = {0};
    int n = 0;
    for (int i = 0; i < PIXELS; i++)
        if (map[i] == label) found[n++] = image[i];
    qsort(found, (size_t)n, sizeof *found, by_value);
    return n % 2 ? found[n / 2] : (found[n / 2 - 1] + found[n / 2]) / 2;
}

/* In a single step from T to 0 the sample is x_0 itself: structures with a grey value are moved as
 * a whole, half as far with half the strength; the others keep their bytes. Medians come from bins
 * of 0.002. */
static void steering_moves_structures_to_their_grey_values(void **state) {
    (void)state;
    uint8_t map[PIXELS];
    float plain[PIXELS], steered[PIXELS];
    const float grey[LABELS] = {NAN, 0.25f, NAN};
    study s = make_study();
    s.generate.steps = 1;
    denoiser *d = make(&s, 1);
    /* A nearly empty network predicts v near 0 and thus values far from the clamp at 1. */
    params *p = denoiser_params(d);
    for (int64_t i = 0; i < p->total; i++) p->value[i] *= 0.1f;
    denoiser_params_changed(d);
    for (int i = 0; i < PIXELS; i++) map[i] = (uint8_t)(i % LABELS);
    sample(d, map, 0.2f, 0, plain);
    double before = median_of(plain, map, 1);
    assert_true(fabs(before) < 0.2);
    for (int half = 0; half < 2; half++) {
        double move = (half ? 0.5 : 1) * (0.25 - before);
        denoiser_steer(d, grey, half ? 0.5 : 1);
        sample(d, map, 0.2f, 0, steered);
        for (int i = 0; i < PIXELS; i++)
            assert_float_equal(steered[i], plain[i] + (map[i] == 1 ? move : 0),
                               map[i] == 1 ? 0.004 : 0);
    }
    denoiser_steer(d, NULL, 0);
    sample(d, map, 0.2f, 0, steered);
    assert_memory_equal(plain, steered, sizeof plain);
    denoiser_close(d);
}

/* Copies the parameters of a denoiser without a variance to one with it: those of the last layer
 * are its first output's, and the second output is `bias` everywhere. */
static void copy_without_variance(const params *from, params *to, float bias) {
    for (int64_t i = 0; i < to->count; i++) {
        const param *a = &from->list[i], *b = &to->list[i];
        assert_string_equal(a->name, b->name);
        memset(to->value + b->offset, 0, (size_t)b->count * sizeof(float));
        memcpy(to->value + b->offset, from->value + a->offset, (size_t)a->count * sizeof(float));
        if (strcmp(b->name, "oc.bias") == 0) to->value[b->offset + 1] = bias;
    }
}

/* DDIM takes the first output of the network alone. DDPM takes the second one: -1 gives the fixed
 * small variance, up to the rounding of the noise's factor, and +1 the fixed large one. */
static void a_learned_variance_is_sampled_with(void **state) {
    (void)state;
    uint8_t map[PIXELS] = {0};
    float truth[PIXELS], out[PIXELS], predicted[2 * PIXELS], output[2 * PIXELS];
    const slice_sample condition = {.labels = map, .position = 0.5f};
    const struct {
        sampler_kind sampler;
        variance_kind variance;
        float bias;
        double near;
    } cases[] = {{SAMPLER_DDIM, VARIANCE_FIXED_SMALL, 0.3f, 1e-5},
                 {SAMPLER_DDPM, VARIANCE_FIXED_SMALL, -1, 1e-4},
                 {SAMPLER_DDPM, VARIANCE_FIXED_LARGE, 1, 1e-4}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        study s = make_study(), with = s;
        s.generate.sampler = with.generate.sampler = cases[k].sampler;
        s.generate.guidance = with.generate.guidance = 1.5;
        s.diffusion.variance = cases[k].variance;
        with.diffusion.variance = VARIANCE_LEARNED;
        denoiser *plain = make(&s, 2), *learned = make(&with, 2);
        copy_without_variance(denoiser_params(plain), denoiser_params(learned), cases[k].bias);
        denoiser_params_changed(learned);
        assert_int_equal(denoiser_sample(plain, &condition, (uint64_t[]){5}, 1, truth), ST_OK);
        assert_int_equal(denoiser_sample(learned, &condition, (uint64_t[]){5}, 1, out), ST_OK);
        for (int i = 0; i < PIXELS; i++) assert_float_equal(out[i], truth[i], cases[k].near);
        float x_t[2 * PIXELS], single[PIXELS];
        for (int i = 0; i < 2 * PIXELS; i++) x_t[i] = (float)sin(i);
        const noise_level at[] = {{.scale = 1, .time = 2}, {.scale = 1, .time = 699}};
        const denoiser_query two[] = {{x_t, &at[0], &condition, true},
                                      {x_t + PIXELS, &at[1], &condition, true}};
        assert_int_equal(denoiser_predict(learned, two, 2, predicted, output), ST_OK);
        assert_int_equal(denoiser_predict(plain, two + 1, 1, single, NULL), ST_OK);
        for (int i = 0; i < PIXELS; i++) {
            assert_float_equal(predicted[PIXELS + i], single[i], 1e-4);
            assert_float_equal(output[i], cases[k].bias, 1e-6);
        }
        denoiser_close(plain);
        denoiser_close(learned);
    }
}

/* The size of a step reaches the prediction of a shortcut model, and no other. */
static void a_shortcut_model_sees_the_size_of_the_step(void **state) {
    (void)state;
    uint8_t map[PIXELS] = {0};
    float x_t[2 * PIXELS] = {0}, predicted[2 * PIXELS];
    const slice_sample one = {.labels = map, .position = 0.5f};
    const noise_level at[] = {{.scale = 1, .time = 500}, {.scale = 1, .time = 500, .step = 0.25}};
    const denoiser_query two[] = {{x_t, &at[0], &one, true}, {x_t + PIXELS, &at[1], &one, true}};
    for (int on = 0; on < 2; on++) {
        study s = make_study();
        s.diffusion.process = PROCESS_FLOW;
        s.diffusion.shortcut = on ? SWITCH_ON : SWITCH_OFF;
        denoiser *d = make(&s, 2);
        assert_int_equal(denoiser_predict(d, two, 2, predicted, NULL), ST_OK);
        assert_int_equal(memcmp(predicted, predicted + PIXELS, sizeof predicted / 2) != 0, on);
        denoiser_close(d);
    }
}

static void sizes_that_cannot_be_halved_are_refused(void **state) {
    (void)state;
    study s = make_study();
    unet_config c;
    s.data.size = 66;
    assert_int_equal(denoiser_config(&s, &labels, &c), ST_USAGE);
    assert_non_null(strstr(status_message(), "multiple of 4"));
}

/* A network of zeros predicts zero, so its loss is the mean square of the target, here that of v:
 * sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) slice. The noise is the same for all slices. */
static void the_loss_is_the_error_of_the_prediction(void **state) {
    (void)state;
    study s = make_study();
    float image[PIXELS], noise[PIXELS];
    uint8_t map[PIXELS] = {0};
    double loss[2], alone, expected = 0;
    schedule levels;
    for (int i = 0; i < PIXELS; i++) image[i] = (float)(i % 7) / 7;
    slice_sample samples[2] = {{.image = image, .labels = map}, {.image = image, .labels = map}};
    denoiser *d = make(&s, 2);
    params *p = denoiser_params(d);
    assert_int_equal(denoiser_loss(d, samples, 100, 3, 1, &alone), ST_OK);
    assert_int_equal(denoiser_loss(d, samples, 100, 3, 2, loss), ST_OK);
    assert_true(loss[0] == alone && loss[1] == loss[0]);
    memset(p->value, 0, (size_t)p->total * sizeof(float));
    denoiser_params_changed(d);
    assert_int_equal(denoiser_loss(d, samples, 100, 3, 2, loss), ST_OK);
    assert_int_equal(schedule_create(s.diffusion.schedule, s.diffusion.steps, &levels), ST_OK);
    const double signal = schedule_alpha_bar(&levels, 100);
    rng_stream r = rng_open((uint64_t)s.seed, RNG_MEMBERSHIP, 3, 0);
    rng_fill_normal(&r, noise, PIXELS);
    for (int i = 0; i < PIXELS; i++)
        expected += pow(sqrt(signal) * (double)noise[i] - sqrt(1 - signal) * (double)image[i], 2);
    assert_float_equal(loss[0], expected / PIXELS, 1e-5);
    assert_float_equal(loss[1], expected / PIXELS, 1e-5);
    schedule_free(&levels);
    denoiser_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_are_laid_into_their_channels),
        cmocka_unit_test(tissue_fills_what_the_labels_leave),
        cmocka_unit_test(tissue_reaches_the_sample),
        cmocka_unit_test(every_condition_reaches_the_sample),
        cmocka_unit_test(guidance_and_steps_can_be_chosen),
        cmocka_unit_test(a_sample_does_not_know_its_neighbours),
        cmocka_unit_test(steering_moves_structures_to_their_grey_values),
        cmocka_unit_test(a_learned_variance_is_sampled_with),
        cmocka_unit_test(a_shortcut_model_sees_the_size_of_the_step),
        cmocka_unit_test(sizes_that_cannot_be_halved_are_refused),
        cmocka_unit_test(the_loss_is_the_error_of_the_prediction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
