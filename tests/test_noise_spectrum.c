/* The noise power spectrum: white noise has its variance in every band; a wave has its power in its
 * band alone; a constant has none; patches within one structure. */
#include "model/metric/noise_spectrum.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { SIZE = 64 };

static float image[SIZE * SIZE];

static void white_noise_has_its_variance_everywhere(void **state) {
    (void)state;
    enum { IMAGES = 40 };
    double power[NOISE_BANDS] = {0};
    int patches = 0;
    for (int k = 0; k < IMAGES; k++) {
        rng_stream r = rng_open(1, RNG_NOISE, (uint64_t)k, 0);
        rng_fill_normal(&r, image, SIZE * SIZE);
        for (int i = 0; i < SIZE * SIZE; i++) image[i] = 100 + 20 * image[i];
        for (int y = 0; y + NOISE_PATCH <= SIZE; y += NOISE_PATCH)
            for (int x = 0; x + NOISE_PATCH <= SIZE; x += NOISE_PATCH, patches++)
                noise_spectrum_add(image, SIZE, y, x, power);
    }
    for (int b = 0; b < NOISE_BANDS; b++) {
        const double found = power[b] / patches;
        /* The subtracted mean takes some of the lowest band. */
        assert_true(found > (b == 0 ? 340 : 385) && found < 415);
    }
}

/* A wave of k / 16 cycles a pixel, which the Hann window spreads over the neighbouring frequencies.
 */
static void a_wave_is_in_its_band(void **state) {
    (void)state;
    static const int waves[] = {1, 3, 5, 7};
    for (int b = 0; b < NOISE_BANDS; b++) {
        double power[NOISE_BANDS] = {0};
        for (int i = 0; i < SIZE * SIZE; i++)
            image[i] = (float)(-50 + 10 * sin(2 * M_PI * waves[b] * (i % SIZE) / 16.0));
        noise_spectrum_add(image, SIZE, 8, 24, power);
        for (int k = 0; k < NOISE_BANDS; k++) {
            assert_true(k == b || power[k] < 0.65 * power[b]);
            assert_true((k >= b - 1 && k <= b + 1) || power[k] < 1e-6 * power[b]);
        }
    }
}

static void a_constant_has_no_noise(void **state) {
    (void)state;
    double power[NOISE_BANDS] = {0};
    for (int i = 0; i < SIZE * SIZE; i++) image[i] = 123.5f;
    noise_spectrum_add(image, SIZE, 0, 0, power);
    noise_spectrum_add(image, SIZE, SIZE - NOISE_PATCH, SIZE - NOISE_PATCH, power);
    for (int b = 0; b < NOISE_BANDS; b++) assert_true(power[b] < 1e-20);
}

static void patches_lie_within_a_structure(void **state) {
    (void)state;
    static uint8_t labels[SIZE * SIZE];
    for (int i = 0; i < SIZE * SIZE; i++) labels[i] = (uint8_t)(i / SIZE < 32 ? 2 : 0);
    assert_true(noise_spectrum_is_uniform(labels, SIZE, 16, 5));
    assert_false(noise_spectrum_is_uniform(labels, SIZE, 17, 5));
    assert_false(noise_spectrum_is_uniform(labels, SIZE, 40, 5)); /* outside of structures */
    labels[20 * SIZE + 20] = 3;
    assert_false(noise_spectrum_is_uniform(labels, SIZE, 16, 5));
    assert_true(noise_spectrum_is_uniform(labels, SIZE, 16, 21));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(white_noise_has_its_variance_everywhere),
                                       cmocka_unit_test(a_wave_is_in_its_band),
                                       cmocka_unit_test(a_constant_has_no_noise),
                                       cmocka_unit_test(patches_lie_within_a_structure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
