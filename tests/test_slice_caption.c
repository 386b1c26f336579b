/* Captions of slices at the working size: what a slice shows, mirrored ones and latents; which
 * facts are left out, how often, and that nothing but seed, index and use decides it.
 * Numbers: those of the slice, dropped as often as asked, and what a network is given of them. */
#include "model/rng.h"
#include "model/warp.h"
#include "pipeline/data/slice_numbers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 32, PIXELS = SIZE * SIZE, DRAWS = 2000 };

static const label_set labels = {.count = 3, .name = {"background", "liver", "kidney"}};

typedef struct setup {
    study study;
    captioner *captions;
    float image[PIXELS];
    uint8_t map[PIXELS];
    slice_sample slice;
} setup;

/* A body with a liver of 64 pixels and a kidney of 16 on the patient's left (large x). */
static setup *make(void) {
    setup *s = calloc(1, sizeof *s);
    assert_non_null(s);
    study_defaults(&s->study);
    s->study.data.size = SIZE;
    assert_int_equal(captioner_open(&s->study, &labels, NULL, &s->captions), ST_OK);
    for (int i = 0; i < PIXELS; i++) {
        const int y = i / SIZE, x = i % SIZE;
        const bool body = y > 2 && y < 29 && x > 2 && x < 29;
        s->image[i] = window_apply(body ? 50 : -1000, -1000, 1000);
        if (y >= 8 && y < 16 && x >= 6 && x < 14) s->map[i] = 1;
        if (y >= 18 && y < 22 && x >= 22 && x < 26) s->map[i] = 2;
    }
    s->slice = (slice_sample){
        .image = s->image, .labels = s->map, .spacing = 2.5f, .contrast = 1, .position = 0.5f};
    return s;
}

static void end(setup *s) {
    captioner_close(s->captions);
    free(s);
}

static const caption_structure *named(const caption_facts *f, const char *name) {
    for (int i = 0; i < f->structures; i++)
        if (strcmp(f->structure[i].name, name) == 0) return &f->structure[i];
    return NULL;
}

static void facts_are_those_of_the_slice(void **state) {
    (void)state;
    setup *s = make();
    caption_facts f;
    assert_int_equal(captioner_facts(s->captions, &s->slice, &f), ST_OK);
    assert_false(f.volume);
    assert_int_equal(f.contrast, CONTRAST_AGENT);
    assert_float_equal(f.spacing, 2.5, 1e-6);
    assert_float_equal(named(&f, "liver")->size, 2 * 2.5 * sqrt(64 / M_PI), 1e-5);
    assert_int_equal(named(&f, "liver")->side, SIDE_UNKNOWN);
    assert_float_equal(named(&f, "kidney")->size, 2 * 2.5 * sqrt(16 / M_PI), 1e-5);
    assert_int_equal(named(&f, "kidney")->side, SIDE_LEFT);
    for (int y = 0; y < SIZE; y++) /* mirrored */
        for (int x = 0; x < SIZE / 2; x++) {
            uint8_t *one = &s->map[y * SIZE + x], *two = &s->map[y * SIZE + SIZE - 1 - x];
            const uint8_t keep = *one;
            *one = *two;
            *two = keep;
        }
    assert_int_equal(captioner_facts(s->captions, &s->slice, &f), ST_OK);
    assert_int_equal(named(&f, "kidney")->side, SIDE_RIGHT);
    end(s);
}

/* Codes behind the labels are tissues; the values of a latent are no HU. */
static void latents_have_labels_and_no_noise(void **state) {
    (void)state;
    setup *s = make();
    caption_facts plain, latent;
    rng_stream r = rng_open(1, RNG_NOISE, 0, 0);
    for (int i = 0; i < PIXELS; i++) s->image[i] += (float)(0.02 * rng_normal(&r)); /* 20 HU */
    assert_int_equal(captioner_facts(s->captions, &s->slice, &plain), ST_OK);
    assert_float_equal(plain.noise, 20, 3);
    for (int i = 0; i < PIXELS; i++)
        if (s->map[i] == 0) s->map[i] = (uint8_t)(3 + i % 3);
    s->study.model.space = SPACE_LATENT;
    assert_int_equal(captioner_facts(s->captions, &s->slice, &latent), ST_OK);
    assert_float_equal(latent.noise, 0, 0);
    assert_int_equal(latent.structures, 2);
    assert_float_equal(named(&latent, "liver")->size, named(&plain, "liver")->size, 1e-9);
    s->study.model.space = SPACE_PIXEL;
    s->slice.image = NULL; /* as for a painter without source slices */
    assert_int_equal(captioner_facts(s->captions, &s->slice, &latent), ST_OK);
    assert_float_equal(latent.noise, 0, 0);
    end(s);
}

static bool says(const char *caption, const char *word) { return strstr(caption, word) != NULL; }

/* A fact is left out with a probability of a fifth: of 2,000 captions 1,600 +- 5 sigma (90) say it.
 */
static void thin_captions_say_less(void **state) {
    (void)state;
    setup *s = make();
    char text[CAPTION_SIZE], again[CAPTION_SIZE], other[CAPTION_SIZE];
    int liver = 0, spacing = 0, contrast = 0, differ = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        assert_int_equal(captioner_write(s->captions, &s->slice, i, CAPTION_TRAIN, false, other),
                         ST_OK);
        assert_true(says(other, "liver") && says(other, "kidney") && says(other, "2.5 mm"));
        assert_int_equal(captioner_write(s->captions, &s->slice, i, CAPTION_TRAIN, true, text),
                         ST_OK);
        liver += says(text, "liver");
        spacing += says(text, "2.5 mm");
        contrast += says(text, "contrast") || says(text, "enhanced");
        assert_int_equal(captioner_write(s->captions, &s->slice, i, CAPTION_TRAIN, true, again),
                         ST_OK);
        assert_string_equal(text, again);
        assert_int_equal(captioner_write(s->captions, &s->slice, i, CAPTION_PAIR, true, again),
                         ST_OK);
        differ += strcmp(text, again) != 0;
    }
    assert_true(abs(liver - 1600) < 90 && abs(spacing - 1600) < 90 && abs(contrast - 1600) < 90);
    assert_true(differ > DRAWS / 2);
    end(s);
}

static void numbers_are_those_of_the_slice(void **state) {
    (void)state;
    setup *s = make();
    double value[NUMBERS_MAX];
    float given[2 * NUMBERS_MAX];
    enum { COUNT = NUMBER_SIZES + 2 };
    assert_int_equal(slice_numbers_count(labels.count), COUNT);
    s->slice.traits = (scan_traits){.kernel = KERNEL_SHARP, .body = BODY_PELVIS};
    for (int i = 0; i < PIXELS; i++) s->map[i] = s->map[i] == 2 ? 0 : s->map[i]; /* no kidney */
    assert_int_equal(slice_numbers_measure(s->captions, &s->study, labels.count, &s->slice, value),
                     ST_OK);
    const double size = 2 * 2.5 * sqrt(64 / M_PI);
    assert_float_equal(value[NUMBER_SPACING], 2.5, 1e-6);
    assert_true(isnan(value[NUMBER_NOISE])); /* a smooth image has none */
    assert_float_equal(value[NUMBER_SIZES], size, 1e-5);
    assert_true(isnan(value[NUMBER_SIZES + 1]));
    value[NUMBER_NOISE] = 12;
    slice_numbers_write(value, COUNT, given);
    double expected[2 * COUNT] = {log(2.5), 1, log(13) / 4, 1, 1, 1};
    for (int k = 0; k < BODY_PARTS - 1; k++) {
        expected[2 * (NUMBER_BODY + k)] = k == BODY_PELVIS - BODY_HEAD;
        expected[2 * (NUMBER_BODY + k) + 1] = 1;
    }
    expected[2 * NUMBER_SIZES] = log(1 + size) / 5;
    expected[2 * NUMBER_SIZES + 1] = 1;
    for (int i = 0; i < 2 * COUNT; i++) assert_float_equal(given[i], expected[i], 1e-6);
    s->slice.traits = (scan_traits){0};
    assert_int_equal(slice_numbers_measure(s->captions, &s->study, labels.count, &s->slice, value),
                     ST_OK);
    for (int k = NUMBER_KERNEL; k < NUMBER_SIZES; k++) assert_true(isnan(value[k]));
    end(s);
}

/* Of 10,000 numbers 2,500 +- 5 sigma (217) are dropped, each by itself, but those of the body
 * together, which count as one. */
static void numbers_are_dropped_one_by_one(void **state) {
    (void)state;
    int dropped = 0, both = 0;
    rng_stream r = rng_open(1, RNG_CONDITION, 0, 0);
    for (int i = 0; i < 2000; i++) {
        double value[NUMBER_SIZES + 1] = {0};
        slice_numbers_drop(value, NUMBER_SIZES + 1, 0.25, &r);
        for (int k = 0; k <= NUMBER_SIZES; k++) {
            const bool body = k >= NUMBER_BODY && k < NUMBER_SIZES;
            if (body) assert_int_equal(isnan(value[k]) != 0, isnan(value[NUMBER_BODY]) != 0);
            if (!body || k == NUMBER_BODY) dropped += isnan(value[k]) != 0;
        }
        both += isnan(value[0]) && isnan(value[1]);
    }
    assert_true(abs(dropped - 2500) < 217);
    assert_true(abs(both - 125) < 55);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_those_of_the_slice),
        cmocka_unit_test(latents_have_labels_and_no_noise),
        cmocka_unit_test(numbers_are_those_of_the_slice),
        cmocka_unit_test(numbers_are_dropped_one_by_one),
        cmocka_unit_test(thin_captions_say_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
