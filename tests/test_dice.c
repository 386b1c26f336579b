/* Dice against values computed by hand; counts add up over any pieces of a volume. */
#include "model/metric/dice.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void by_hand(void **state) {
    (void)state;
    const uint8_t truth[8] = {0, 0, 1, 1, 1, 2, 5, 40}, predicted[8] = {0, 1, 1, 1, 0, 3, 5, 1};
    dice_counts d = {0};
    dice_add(&d, truth, predicted, 8);
    assert_true(fabs(dice_of(&d, 0) - 2.0 * 1 / 4) < 1e-15);
    assert_true(fabs(dice_of(&d, 1) - 2.0 * 2 / 7) < 1e-15);
    assert_true(dice_of(&d, 2) == 0); /* missed */
    assert_true(dice_of(&d, 3) == 0); /* invented */
    assert_true(dice_of(&d, 5) == 1);
    assert_true(isnan(dice_of(&d, 4)));
    assert_true(dice_of(&d, 40) == 0);
    assert_true(isnan(dice_of(&d, DICE_LABELS)) && isnan(dice_of(&d, -1)));
    assert_int_equal(d.truth[1], 3);
    assert_int_equal(d.predicted[1], 4);
}

static void pieces_add_up(void **state) {
    (void)state;
    enum { N = 30000 };
    static uint8_t truth[N], predicted[N], swapped[N];
    rng_stream r = rng_open(1, RNG_VALIDATE, 0, 0);
    for (int i = 0; i < N; i++) {
        truth[i] = (uint8_t)rng_below(&r, DICE_LABELS);
        predicted[i] = rng_uniform(&r) < 0.5 ? truth[i] : (uint8_t)rng_below(&r, DICE_LABELS);
    }
    dice_counts whole = {0}, pieces = {0}, turned = {0}, same = {0};
    dice_add(&whole, truth, predicted, N);
    for (int from = 0; from < N; from += 999)
        dice_add(&pieces, truth + from, predicted + from, N - from < 999 ? N - from : 999);
    assert_memory_equal(&whole, &pieces, sizeof whole);
    memcpy(swapped, predicted, sizeof swapped);
    dice_add(&turned, swapped, truth, N);
    dice_add(&same, truth, truth, N);
    for (int label = 0; label < DICE_LABELS; label++) {
        assert_true(dice_of(&whole, label) == dice_of(&turned, label));
        assert_true(dice_of(&whole, label) > 0 && dice_of(&whole, label) < 1);
        assert_true(dice_of(&same, label) == 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(pieces_add_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
