/* Noise and edges of structures: white noise has its standard deviation, a gradient has none, a
 * blurred slice less; a step has its height. */
#include "model/rng.h"
#include "pipeline/data/texture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SIDE = 96, PIXELS = SIDE * SIDE };
static const double RANGE = 600, MM = 0.8;

/* Structure 1 in the middle columns, 2 on the right. */
static void fill_labels(uint8_t *labels) {
    for (int i = 0; i < PIXELS; i++)
        labels[i] = (uint8_t)(i % SIDE < SIDE / 3 ? 0 : i % SIDE < 2 * SIDE / 3 ? 1 : 2);
}

static void white_noise_and_ramps(void **state) {
    (void)state;
    static float image[PIXELS], blurred[PIXELS];
    static uint8_t labels[PIXELS];
    texture_sums white[3] = {{0}}, soft[3] = {{0}}, ramp[3] = {{0}};
    rng_stream r = rng_open(4, RNG_NOISE, 0, 0);
    fill_labels(labels);
    rng_fill_normal(&r, image, PIXELS);
    for (int i = 0; i < PIXELS; i++) image[i] *= (float)(15 / (RANGE / 2)); /* 15 HU */
    texture_add(white, image, labels, SIDE, RANGE, MM);
    assert_true(fabs(texture_noise(&white[1]) - 15) < 0.6);
    assert_true(fabs(texture_noise(&white[2]) - 15) < 0.6);
    assert_true(isnan(texture_noise(&white[0])));
    for (int i = 0; i < PIXELS; i++) {
        const int right = i % SIDE + 1 < SIDE ? i + 1 : i;
        blurred[i] = (image[i] + image[right]) / 2;
    }
    texture_add(soft, blurred, labels, SIDE, RANGE, MM);
    assert_true(texture_noise(&soft[1]) < 0.8 * texture_noise(&white[1]));
    for (int i = 0; i < PIXELS; i++) image[i] = (float)(i % SIDE) / SIDE;
    texture_add(ramp, image, labels, SIDE, RANGE, MM);
    assert_true(texture_noise(&ramp[1]) < 1e-3);
}

static void a_step_has_its_height(void **state) {
    (void)state;
    static float image[PIXELS];
    static uint8_t labels[PIXELS];
    texture_sums sums[3] = {{0}};
    fill_labels(labels);
    for (int i = 0; i < PIXELS; i++) image[i] = (float)(0.25 * labels[i] * labels[i]); /* 0 .25 1 */
    texture_add(sums, image, labels, SIDE, RANGE, MM);
    /* Structure 1 has borders of 75 and 225 HU, structure 2 the latter alone. */
    assert_true(fabs(texture_edge(&sums[1]) - 150 / MM) < 1e-3);
    assert_true(fabs(texture_edge(&sums[2]) - 225 / MM) < 1e-3);
    assert_true(isnan(texture_edge(&sums[0])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_noise_and_ramps),
        cmocka_unit_test(a_step_has_its_height),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
