/* Noise schedules: end points, cumulative products and the posterior, against formulas and against
 * sampling. */
#include "model/diffusion/schedule.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const int64_t lengths[] = {1, 2, 10, 100, 1000, 4000};

enum { KINDS = 3, LENGTHS = sizeof lengths / sizeof *lengths };

static void products_and_order(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        for (int l = 0; l < LENGTHS; l++) {
            schedule s;
            assert_int_equal(schedule_create((schedule_kind)k, lengths[l], &s), ST_OK);
            assert_int_equal(s.steps, lengths[l]);
            assert_true(schedule_alpha_bar(&s, 0) == 1);
            double product = 1;
            for (int64_t t = 1; t <= s.steps; t++) {
                assert_true(s.beta[t - 1] > 0 && s.beta[t - 1] <= 0.999);
                assert_true(schedule_alpha_bar(&s, t) < schedule_alpha_bar(&s, t - 1));
                product *= 1 - s.beta[t - 1];
                assert_true(schedule_alpha_bar(&s, t) == product);
            }
            assert_true(product > 0);
            schedule_free(&s);
            assert_null(s.beta);
        }
    }
}

static void end_points(void **state) {
    (void)state;
    schedule s;
    assert_int_equal(schedule_create(SCHEDULE_LINEAR, 1000, &s), ST_OK);
    assert_true(fabs(s.beta[0] - 1e-4) < 1e-18 && fabs(s.beta[999] - 0.02) < 1e-16);
    assert_true(fabs(s.alpha_bar[999] / 4.0358e-5 - 1) < 1e-4); /* of DDPM */
    schedule_free(&s);
    assert_int_equal(schedule_create(SCHEDULE_LINEAR, 250, &s), ST_OK);
    assert_true(fabs(s.beta[0] - 4e-4) < 1e-18 && fabs(s.beta[249] - 0.08) < 1e-16);
    assert_true(s.alpha_bar[249] < 1e-4);
    schedule_free(&s);
    assert_int_equal(schedule_create(SCHEDULE_RAISED_COSINE, 1000, &s), ST_OK);
    assert_true(s.beta[0] < 1e-7 && fabs(s.beta[499] - 0.01) < 1e-12);
    assert_true(fabs(s.beta[999] - 0.02) < 1e-16 && s.alpha_bar[999] < 1e-4);
    schedule_free(&s);
    assert_int_equal(schedule_create(SCHEDULE_COSINE, 1000, &s), ST_OK);
    assert_true(s.alpha_bar[0] > 0.9999 && s.beta[999] == 0.999);
    assert_true(s.alpha_bar[999] > 1e-9 && s.alpha_bar[999] < 1e-8);
    schedule_free(&s);
}

static void cosine_is_its_formula_until_the_cap(void **state) {
    (void)state;
    schedule s;
    assert_int_equal(schedule_create(SCHEDULE_COSINE, 1000, &s), ST_OK);
    const double half_pi = 1.57079632679489661923, start = cos(0.008 / 1.008 * half_pi);
    int capped = 0;
    for (int64_t t = 1; t <= 1000; t++) {
        double f = cos((t / 1000.0 + 0.008) / 1.008 * half_pi) / start;
        if (s.beta[t - 1] == 0.999)
            capped++;
        else
            assert_true(fabs(s.alpha_bar[t - 1] / (f * f) - 1) < 1e-9);
    }
    assert_int_equal(capped, 1); /* the last: f(T) = 0 */
    schedule_free(&s);
}

/* q(x_s | x_0) times q(x_t | x_s) as a Gaussian in x_s (completing the square): precisions add. */
static void posterior_is_gaussian_conditioning(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        schedule s;
        assert_int_equal(schedule_create((schedule_kind)k, 100, &s), ST_OK);
        for (int64_t t = 1; t <= 100; t++) {
            for (int64_t to = 0; to < t; to++) {
                double a, b, variance, bar = schedule_alpha_bar(&s, to);
                double keep = schedule_alpha_bar(&s, t) / bar, noise = 1 - keep;
                schedule_posterior(&s, t, to, &a, &b, &variance);
                if (to == 0) {
                    assert_true(fabs(a - 1) < 1e-9 && b == 0 && variance == 0);
                    continue;
                }
                double spread = 1 / (1 / (1 - bar) + keep / noise);
                assert_true(fabs(variance / spread - 1) < 1e-8);
                assert_true(fabs(a / (spread * sqrt(bar) / (1 - bar)) - 1) < 1e-8);
                assert_true(fabs(b / (spread * sqrt(keep) / noise) - 1) < 1e-8);
            }
            double a, b, variance;
            schedule_posterior(&s, t, t - 1, &a, &b, &variance);
            /* The mean of x_0 and of a noiseless x_t lies on the noiseless path. */
            double path = a + b * sqrt(schedule_alpha_bar(&s, t));
            assert_true(fabs(path - sqrt(schedule_alpha_bar(&s, t - 1))) < 1e-12);
        }
        schedule_free(&s);
    }
}

/* Walks x_0 -> x_{t-1} -> x_t by sampling and fits x_{t-1} on x_t by least squares. */
static void posterior_is_what_sampling_shows(void **state) {
    (void)state;
    enum { N = 100000 };
    const double x0 = 0.8;
    schedule s;
    assert_int_equal(schedule_create(SCHEDULE_LINEAR, 20, &s), ST_OK);
    for (int64_t t = 2; t <= 8; t += 3) {
        rng_stream r = rng_open(1, RNG_NOISE, (uint64_t)t, 0);
        double bar = schedule_alpha_bar(&s, t - 1), beta = s.beta[t - 1];
        double sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0;
        for (int i = 0; i < N; i++) {
            double y = sqrt(bar) * x0 + sqrt(1 - bar) * rng_normal(&r);
            double x = sqrt(1 - beta) * y + sqrt(beta) * rng_normal(&r);
            sx += x / N, sy += y / N, sxx += x * x / N, sxy += x * y / N, syy += y * y / N;
        }
        double slope = (sxy - sx * sy) / (sxx - sx * sx), offset = sy - slope * sx;
        double rest = syy - sy * sy - slope * (sxy - sx * sy), a, b, variance;
        schedule_posterior(&s, t, t - 1, &a, &b, &variance);
        assert_true(fabs(slope - b) < 0.02 && fabs(offset - a * x0) < 0.02);
        assert_true(fabs(rest / variance - 1) < 5 * sqrt(2.0 / N));
    }
    schedule_free(&s);
}

static void wrong_requests(void **state) {
    (void)state;
    schedule s;
    assert_int_equal(schedule_create(SCHEDULE_LINEAR, 0, &s), ST_USAGE);
    assert_int_equal(schedule_create(SCHEDULE_LINEAR, INT64_MAX, &s), ST_USAGE);
    assert_null(s.beta);
    schedule_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_order),
        cmocka_unit_test(end_points),
        cmocka_unit_test(cosine_is_its_formula_until_the_cap),
        cmocka_unit_test(posterior_is_gaussian_conditioning),
        cmocka_unit_test(posterior_is_what_sampling_shows),
        cmocka_unit_test(wrong_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
