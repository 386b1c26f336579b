/* What stays real around inserted structures: by the distance to the nearest changed pixel, against
 * a search of the whole slice. */
#include "pipeline/generate/surroundings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 20, PIXELS = SIZE * SIZE };

static void nothing_changed(void **state) {
    (void)state;
    uint8_t labels[PIXELS] = {3};
    float keep[PIXELS];
    assert_false(surroundings_keep(labels, labels, SIZE, keep));
    for (int i = 0; i < PIXELS; i++) assert_true(keep[i] == 1);
}

static void by_distance(void **state) {
    (void)state;
    const int changed[] = {0, 7 * SIZE + 9, 7 * SIZE + 10, PIXELS - 1};
    uint8_t source[PIXELS] = {0}, labels[PIXELS];
    float keep[PIXELS];
    memcpy(labels, source, sizeof labels);
    for (int k = 0; k < 4; k++) labels[changed[k]] = 5;
    assert_true(surroundings_keep(source, labels, SIZE, keep));
    for (int i = 0; i < PIXELS; i++) {
        double nearest = HUGE_VAL;
        for (int k = 0; k < 4; k++)
            nearest =
                fmin(nearest, hypot(i / SIZE - changed[k] / SIZE, i % SIZE - changed[k] % SIZE));
        const double truth = fmin(1, fmax(0, (nearest - 1) / 3));
        assert_true(fabs(keep[i] - truth) < 1e-6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_changed),
                                       cmocka_unit_test(by_distance)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
