/* The variational bound of normally distributed data, whose exact denoiser is linear: every term
 * equals its closed form (tests/golden/bound.py).
 *
 * Terms for t > 1 are polynomials of the second degree in x_0 and the noise, so their expectation
 * is the mean over the 16 points mean +- sqrt(8) times a column of the root of the covariance. L_0
 * depends on one error a pixel, whose distribution is known: there the mean is an integral by the
 * trapezoidal rule.
 */
#include "model/diffusion/bound.h"
#include "model/normal_mass.h"
#include "tests/golden/bound.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 4, T = 40, POINTS = 4 * N };

static const double MEAN[N] = {0.1, -0.2, 0.05, 0.3}, LAMBDA[N] = {0.09, 0.04, 0.01, 0.0025};
static const float OUTPUT[N] = {-1, -0.3f, 0.4f, 1.2f};
/* Symmetric and orthogonal: its columns are the eigenvectors of the covariance. */
static const double Q[N][N] = {
    {0.5, 0.5, 0.5, 0.5}, {0.5, -0.5, 0.5, -0.5}, {0.5, 0.5, -0.5, -0.5}, {0.5, -0.5, -0.5, 0.5}};
static const schedule_kind SCHEDULES[2] = {SCHEDULE_LINEAR, SCHEDULE_COSINE};

/* x_0 and eps of point k. */
static void point(int k, float *x0, float *eps) {
    const double side = (k % 2 ? -1 : 1) * sqrt(2.0 * N);
    const int axis = k / 2;
    for (int i = 0; i < N; i++) {
        x0[i] = (float)(MEAN[i] + (axis < N ? side * Q[i][axis] * sqrt(LAMBDA[axis]) : 0));
        eps[i] = (float)(axis - N == i ? side : 0);
    }
}

/* The network's prediction: the target for the exact mean of x_0 given x_t. */
static void denoise(const objective *o, double bar, const float *x_t, float *predicted) {
    float x0[N], eps[N];
    for (int i = 0; i < N; i++) {
        double sum = MEAN[i];
        for (int j = 0; j < N; j++) {
            double along = 0;
            for (int k = 0; k < N; k++) along += Q[k][j] * ((double)x_t[k] - sqrt(bar) * MEAN[k]);
            sum += Q[i][j] * sqrt(bar) * LAMBDA[j] / (bar * LAMBDA[j] + 1 - bar) * along;
        }
        x0[i] = (float)sum;
        eps[i] = (float)(((double)x_t[i] - sqrt(bar) * sum) / sqrt(1 - bar));
    }
    o->target(bar, x0, eps, predicted, N);
}

static const float *output_of(variance_kind v) { return v == VARIANCE_LEARNED ? OUTPUT : NULL; }

/* Expectation of L_{t-1}, t > 1. */
static double expected_term(const bound *b, const objective *o, int64_t t) {
    const double bar = schedule_alpha_bar(b->schedule, t);
    double sum = 0;
    for (int k = 0; k < POINTS; k++) {
        float x0[N], eps[N], x_t[N], predicted[N], x0_predicted[N];
        point(k, x0, eps);
        for (int i = 0; i < N; i++)
            x_t[i] = (float)(sqrt(bar) * (double)x0[i] + sqrt(1 - bar) * (double)eps[i]);
        denoise(o, bar, x_t, predicted);
        o->split(bar, x_t, predicted, x0_predicted, NULL, N);
        sum += bound_term(b, t, x0, x0_predicted, output_of(b->variance), N);
    }
    return sum / POINTS;
}

static double expected_prior(const bound *b) {
    double sum = 0;
    for (int k = 0; k < POINTS; k++) {
        float x0[N], eps[N];
        point(k, x0, eps);
        sum += bound_prior(b, x0, N);
    }
    return sum / POINTS;
}

/* Expectation of L_0: the errors of all pixels have the mean of the eigenvalues of their covariance
 * as variance, since the elements of Q are equal but for their signs. */
static double expected_decoder(const bound *b) {
    enum { NODES = 4001 };
    const double bar = schedule_alpha_bar(b->schedule, 1), step = 14.0 / (NODES - 1);
    double variance = 0, sum = 0;
    for (int j = 0; j < N; j++) variance += LAMBDA[j] * (1 - bar) / (bar * LAMBDA[j] + 1 - bar) / N;
    for (int k = 0; k < NODES; k++) {
        const double at = -7 + step * k;
        float x0[N], zero[N] = {0};
        for (int i = 0; i < N; i++) x0[i] = (float)(at * sqrt(variance));
        sum += step * exp(-at * at / 2) / sqrt(2 * M_PI) *
               bound_term(b, 1, x0, zero, output_of(b->variance), N);
    }
    return sum;
}

/* Relative to the total where the term is smaller than 1 nat. */
static void assert_near(double value, double truth) {
    if (fabs(value - truth) > 1e-6 * fmax(1, fabs(truth)))
        fail_msg("%.12g, closed form %.12g", value, truth);
}

static void every_term_and_the_total_equal_the_closed_form(void **state) {
    (void)state;
    for (int s = 0; s < 2; s++)
        for (int v = 0; v < variance_kinds.count; v++)
            for (int k = 0; k < objective_kinds.count; k++) {
                schedule noise;
                const double *truth = golden_terms[s][v];
                const objective *o = objective_of((objective_kind)k);
                assert_int_equal(schedule_create(SCHEDULES[s], T, &noise), ST_OK);
                const bound b = {&noise, (variance_kind)v, bound_level(-1000, 1000)};
                double total = expected_decoder(&b), total_true = truth[0];
                assert_near(total, truth[0]);
                for (int64_t t = 2; t <= T; t++) {
                    const double term = expected_term(&b, o, t);
                    assert_near(term, truth[t - 1]);
                    total += term;
                    total_true += truth[t - 1];
                }
                assert_near(expected_prior(&b), truth[T]);
                assert_near(total + expected_prior(&b), total_true + truth[T]);
                assert_near(bound_bits(total, N), total / N / log(2));
                schedule_free(&noise);
            }
}

/* The masses of all levels sum to 1, whatever the mean and the variance are, since the ends have
 * the tails. */
static void levels_share_the_whole_mass(void **state) {
    (void)state;
    const schedule_kind kinds[] = {SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_RAISED_COSINE};
    for (int k = 0; k < 3; k++) {
        schedule noise;
        assert_int_equal(schedule_create(kinds[k], 10, &noise), ST_OK);
        const bound b = {&noise, VARIANCE_LEARNED, bound_level(-160, 240)};
        for (int c = 0; c < 9; c++) {
            const float predicted = (float)(c - 4) * 0.3f, output = (float)(c - 4);
            double sum = 0;
            for (int level = 0; level <= 400; level++) {
                float x0 = -1 + (float)level / 200;
                bound_round(b.level, &x0, 1);
                sum += exp(-bound_term(&b, 1, &x0, &predicted, &output, 1));
            }
            assert_float_equal(sum, 1, 1e-6); /* the levels are f32 */
        }
        schedule_free(&noise);
    }
}

static void masses_keep_their_digits_in_the_tails(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof golden_mass / sizeof *golden_mass; i++) {
        const double low = golden_mass[i][0], high = golden_mass[i][1], truth = golden_mass[i][2];
        assert_float_equal(normal_log_mass(low, high), truth, 1e-9 * fmax(1, fabs(truth)));
        assert_true(normal_log_mass(low, high) == normal_log_mass(-high, -low));
        /* The slope against a difference: low and high are divided by s = exp(d / 2). */
        const double d = 1e-5, up = exp(-d / 2), down = exp(d / 2);
        const double slope =
            (normal_log_mass(low * up, high * up) - normal_log_mass(low * down, high * down)) /
            (2 * d);
        assert_float_equal(normal_log_mass_slope(low, high, normal_log_mass(low, high)), slope,
                           1e-5 * fmax(1, fabs(slope)));
    }
    assert_float_equal(normal_log_mass(-INFINITY, 0), log(0.5), 1e-15);
    assert_float_equal(normal_log_mass(0, INFINITY), log(0.5), 1e-15);
    assert_float_equal(normal_log_mass(-INFINITY, INFINITY), 0, 1e-15);
    assert_float_equal(normal_log_mass(50, INFINITY), normal_log_mass(50, 60), 1e-12);
    assert_float_equal(normal_log_mass_slope(0, INFINITY, log(0.5)), 0, 1e-15);
}

/* Levels are whole HU: the CT value of every level, and of what lies near it. */
static void values_are_rounded_to_levels(void **state) {
    (void)state;
    const double level = bound_level(-1000, 1500);
    assert_float_equal(level, 2.0 / 2500, 1e-15);
    for (int hu = -1000; hu <= 1500; hu++) {
        const double at = -1 + 2 * (hu + 1000.0) / 2500;
        float x[3] = {(float)at, (float)(at + 0.4 * level), (float)(at - 0.4 * level)};
        bound_round(level, x, 3);
        for (int i = 0; i < 3; i++) assert_float_equal(x[i], at, 1e-7);
    }
    float outside[2] = {-3, 2};
    bound_round(level, outside, 2);
    assert_true(outside[0] == -1 && outside[1] == 1);
}

/* beta tilde <= variance <= beta for outputs in [-1, 1], and the ends are reached. */
static void a_learned_variance_lies_between_the_fixed_ones(void **state) {
    (void)state;
    schedule noise;
    assert_int_equal(schedule_create(SCHEDULE_COSINE, T, &noise), ST_OK);
    for (int64_t t = 1; t <= T; t++)
        for (int64_t to = 0; to < t; to++) {
            const variance_range r = variance_range_of(&noise, t, to);
            const double small = variance_log(VARIANCE_FIXED_SMALL, r, 9),
                         large = variance_log(VARIANCE_FIXED_LARGE, r, 9);
            assert_true(small <= large);
            assert_float_equal(variance_log(VARIANCE_LEARNED, r, -1), small, 1e-12);
            assert_float_equal(variance_log(VARIANCE_LEARNED, r, 1), large, 1e-12);
            assert_float_equal(variance_log(VARIANCE_LEARNED, r, 0), (small + large) / 2, 1e-12);
            assert_float_equal(exp(large),
                               1 - schedule_alpha_bar(&noise, t) / schedule_alpha_bar(&noise, to),
                               1e-12);
        }
    schedule_free(&noise);
    assert_int_equal(schedule_create(SCHEDULE_LINEAR, 1, &noise), ST_OK);
    const variance_range only = variance_range_of(&noise, 1, 0);
    assert_true(only.log_small == only.log_large);
    schedule_free(&noise);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_term_and_the_total_equal_the_closed_form),
        cmocka_unit_test(levels_share_the_whole_mass),
        cmocka_unit_test(masses_keep_their_digits_in_the_tails),
        cmocka_unit_test(values_are_rounded_to_levels),
        cmocka_unit_test(a_learned_variance_lies_between_the_fixed_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
