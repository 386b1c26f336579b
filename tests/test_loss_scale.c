/* Loss scaling, tested with f16 values, whose range is narrow: a gradient that underflows without
 * scaling is preserved, and a scale that overflows is halved until it fits. */
#include "model/loss_scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>

/* Rounded to IEEE binary16: 11 bits, steps of 2^-24 at least, infinite from 65520 on. */
static double f16(double x) {
    int exponent = 0;
    if (x == 0 || !isfinite(x)) return x;
    frexp(x, &exponent); /* |x| in [2^(e-1), 2^e) */
    int step = exponent - 11 > -24 ? exponent - 11 : -24;
    double y = ldexp(nearbyint(ldexp(x, -step)), step);
    return fabs(y) > 65504 ? copysign(INFINITY, x) : y;
}

/* Checks f16() itself. */
static void f16_is_binary16(void **state) {
    (void)state;
    assert_true(f16(1) == 1 && f16(-0.5) == -0.5 && f16(65504) == 65504);
    assert_true(isinf(f16(65520)) && f16(65519) == 65504);
    assert_true(f16(2049) == 2048 && f16(2051) == 2052);
    assert_true(f16(ldexp(1, -24)) == ldexp(1, -24) && f16(ldexp(1, -26)) == 0);
}

/* Fits w of y = w x to y = 0.5 x, as in mixed precision: the gradient of (w x - 0.5 x)^2 is
 * computed in f16, w and its update in f32. Small x make the gradient smaller than any f16. */
static double fit(loss_scale *s, double x, int steps, int *skipped) {
    double w = 1;
    *skipped = 0;
    for (int i = 0; i < steps; i++) {
        double difference = f16(f16(w * x) - f16(0.5 * x));
        double sent = f16(2 * s->scale * difference); /* back through the loss */
        double gradient = f16(sent * x);
        bool finite = isfinite(gradient);
        if (finite)
            w -= 0.25 / (x * x) * gradient / s->scale;
        else
            ++*skipped;
        loss_scale_update(s, finite);
    }
    return w;
}

static void what_underflows_survives_with_it(void **state) {
    (void)state;
    const double x = ldexp(1, -13);
    int skipped = 0;
    loss_scale without = loss_scale_for(TYPE_F32), with = loss_scale_for(TYPE_BF16);
    assert_true(fit(&without, x, 40, &skipped) == 1 && skipped == 0); /* has not moved */
    assert_true(fabs(fit(&with, x, 40, &skipped) - 0.5) < 1e-3);
}

static void a_scale_too_large_halves_until_it_fits(void **state) {
    (void)state;
    int skipped = 0;
    loss_scale s = loss_scale_for(TYPE_BF16);
    loss_scale_restore(&s, LOSS_SCALE_MAX, 0);
    assert_true(s.scale == LOSS_SCALE_MAX);
    /* At x = 2 the gradient starts as 4 times the scale, which f16 holds up to a scale of 2^13. */
    assert_true(fabs(fit(&s, 2, 60, &skipped) - 0.5) < 1e-3);
    assert_true(skipped == 11 && s.scale == 1 << 13);
}

static void many_good_steps_double_it(void **state) {
    (void)state;
    loss_scale s = loss_scale_for(TYPE_BF16);
    for (int i = 1; i < LOSS_SCALE_GROWTH; i++) loss_scale_update(&s, true);
    assert_true(s.scale == LOSS_SCALE_START);
    loss_scale_update(&s, true);
    assert_true(s.scale == 2.0 * LOSS_SCALE_START && s.good == 0);
    /* A failure restarts the count. */
    for (int i = 1; i < LOSS_SCALE_GROWTH; i++) loss_scale_update(&s, true);
    loss_scale_update(&s, false);
    loss_scale_update(&s, true);
    assert_true(s.scale == LOSS_SCALE_START && s.good == 1);
}

static void it_has_a_floor_and_a_ceiling(void **state) {
    (void)state;
    loss_scale s = loss_scale_for(TYPE_BF16);
    for (int64_t i = 0; i < 20 * (int64_t)LOSS_SCALE_GROWTH; i++) loss_scale_update(&s, true);
    assert_true(s.scale == LOSS_SCALE_MAX);
    for (int i = 0; i < 24; i++) {
        assert_true(loss_scale_can_decrease(&s));
        loss_scale_update(&s, false);
    }
    assert_true(s.scale == 1 && !loss_scale_can_decrease(&s));
    loss_scale_update(&s, false);
    assert_true(s.scale == 1);
}

static void f32_has_none(void **state) {
    (void)state;
    loss_scale s = loss_scale_for(TYPE_F32);
    loss_scale_update(&s, false);
    for (int i = 0; i <= LOSS_SCALE_GROWTH; i++) loss_scale_update(&s, true);
    assert_true(s.scale == 1 && !loss_scale_can_decrease(&s));
    loss_scale_restore(&s, 1024, 3);
    assert_true(s.scale == 1 && loss_scale_saved(&s) == 0);
}

/* The state from a checkpoint, valid or not. */
static void it_goes_on_where_it_was(void **state) {
    (void)state;
    static const double bad[] = {0, -2, 0.5, 3, NAN, INFINITY, 2.0 * LOSS_SCALE_MAX};
    loss_scale s = loss_scale_for(TYPE_BF16), fresh = s;
    for (double scale = 1; scale <= LOSS_SCALE_MAX; scale *= 2) {
        loss_scale_restore(&s, scale, 7);
        assert_true(s.scale == scale && s.good == 7 && loss_scale_saved(&s) == scale);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s = fresh;
        loss_scale_restore(&s, bad[i], 7);
        assert_true(s.scale == fresh.scale && s.good == 0);
    }
    loss_scale_restore(&s, 4, -1);
    assert_true(s.scale == 4 && s.good == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_is_binary16),
        cmocka_unit_test(what_underflows_survives_with_it),
        cmocka_unit_test(a_scale_too_large_halves_until_it_fits),
        cmocka_unit_test(many_good_steps_double_it),
        cmocka_unit_test(it_has_a_floor_and_a_ceiling),
        cmocka_unit_test(f32_has_none),
        cmocka_unit_test(it_goes_on_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
