/* Bootstrap intervals: values computed by numpy and scipy with the same draws, the known standard
 * error of a mean, independence of the threads, common draws, undefined values, unusable input. */
#include "model/metric/bootstrap.h"
#include "model/metric/normal.h"
#include "model/rng.h"
#include "tests/golden/bootstrap.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { RESAMPLES = 10000 };

static double *allocate(int64_t n) {
    double *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    return x;
}

/* The values of tests/golden/bootstrap.py. */
static double *golden_values(const struct golden_bootstrap *g) {
    int n = GOLDEN_MEASURES * g->sets * g->seeds * g->patients;
    double *x = allocate(n);
    for (int i = 0; i < n; i++) {
        x[i] = sin(1.7 * i) + 0.4 * pow(cos(0.3 * (i % g->patients)), 3) +
               0.2 * (double)(i / g->patients);
        if (g->hole && i % g->hole == 0) x[i] = NAN;
    }
    return x;
}

static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

static void equals_numpy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_bootstrap / sizeof *golden_bootstrap; k++) {
        const struct golden_bootstrap *g = &golden_bootstrap[k];
        double *value = golden_values(g), mean[GOLDEN_MEASURES];
        double *drawn = allocate(GOLDEN_MEASURES * GOLDEN_RESAMPLES);
        double *left_out = allocate(GOLDEN_MEASURES * g->patients);
        bootstrap_array a = {value,    GOLDEN_MEASURES, g->sets,
                             g->seeds, g->patients,     (uint32_t)g->trainings};
        bootstrap_interval percentile, bca;
        assert_int_equal(bootstrap_mean(&a, mean), ST_OK);
        assert_int_equal(bootstrap_draw(&a, GOLDEN_SEED, GOLDEN_RESAMPLES, drawn), ST_OK);
        assert_int_equal(bootstrap_leave_one_out(&a, left_out), ST_OK);
        const double *own = drawn + g->measure * GOLDEN_RESAMPLES;
        assert_int_equal(bootstrap_percentile(own, GOLDEN_RESAMPLES, GOLDEN_LEVEL, &percentile),
                         ST_OK);
        assert_int_equal(bootstrap_bca(mean[g->measure], own, GOLDEN_RESAMPLES,
                                       left_out + g->measure * g->patients, g->patients,
                                       GOLDEN_LEVEL, &bca),
                         ST_OK);
        assert_true(same(mean[g->measure], g->mean));
        assert_true(same(own[0], g->drawn_0));
        assert_true(same(own[GOLDEN_RESAMPLES - 1], g->drawn_last));
        assert_true(same(percentile.low, g->low) && same(percentile.high, g->high));
        assert_true(same(bca.low, g->bca_low) && same(bca.high, g->bca_high));
        assert_int_equal(percentile.undefined, g->undefined);
        assert_int_equal(bca.undefined, g->undefined);
        free(value);
        free(drawn);
        free(left_out);
    }
}

static double deviation(const double *x, int64_t n) {
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean) / (double)n;
    return sqrt(squares);
}

/* With values that depend on one level alone, the bootstrap error has a closed form: of patients
 * sd / sqrt(patients), of sets sd / sqrt(sets), and of seeds that have the same values in each set
 * sd / sqrt(sets seeds); sd is normalised by n. The error of a deviation from 10,000 resamples is
 * below 1 % (1 / sqrt(2 n), normal case); 5 % is far outside it. */
static void standard_errors(void **state) {
    (void)state;
    enum { SETS = 4, SEEDS = 5, PATIENTS = 60 };
    static double value[3][SETS][SEEDS][PATIENTS], drawn[3][RESAMPLES];
    double patient[PATIENTS], set[SETS], seed[SEEDS];
    rng_stream r = rng_open(3, RNG_NOISE, 0, 0);
    for (int i = 0; i < PATIENTS; i++) patient[i] = rng_normal(&r);
    for (int i = 0; i < SETS; i++) set[i] = rng_normal(&r);
    for (int i = 0; i < SEEDS; i++) seed[i] = rng_normal(&r);
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < SEEDS; k++)
            for (int p = 0; p < PATIENTS; p++) {
                value[0][s][k][p] = patient[p];
                value[1][s][k][p] = set[s];
                value[2][s][k][p] = seed[k];
            }
    bootstrap_array a = {&value[0][0][0][0], 3, SETS, SEEDS, PATIENTS, 0};
    assert_int_equal(bootstrap_draw(&a, 1, RESAMPLES, &drawn[0][0]), ST_OK);
    const double truth[3] = {deviation(patient, PATIENTS) / sqrt(PATIENTS),
                             deviation(set, SETS) / sqrt(SETS),
                             deviation(seed, SEEDS) / sqrt(SETS * SEEDS)};
    for (int k = 0; k < 3; k++)
        assert_true(fabs(deviation(drawn[k], RESAMPLES) / truth[k] - 1) < 0.05);
}

static void independent_of_threads(void **state) {
    (void)state;
    enum { SETS = 3, SEEDS = 3, PATIENTS = 60, MEASURES = 5 };
    static double value[MEASURES][SETS][SEEDS][PATIENTS], drawn[2][MEASURES][RESAMPLES];
    rng_stream r = rng_open(4, RNG_NOISE, 0, 0);
    double *x = &value[0][0][0][0];
    for (size_t i = 0; i < sizeof value / sizeof *x; i++) x[i] = rng_normal(&r);
    bootstrap_array a = {x, MEASURES, SETS, SEEDS, PATIENTS, 0};
    int threads = omp_get_max_threads();
    for (int k = 0; k < 2; k++) {
        omp_set_num_threads(k ? 3 : 1);
        assert_int_equal(bootstrap_draw(&a, 1, RESAMPLES, &drawn[k][0][0]), ST_OK);
    }
    omp_set_num_threads(threads);
    assert_memory_equal(drawn[0], drawn[1], sizeof drawn[0]);
}

/* Two arrays of one call or of two calls share the draws of patients; other numbers of trainings
 * change the draws of sets and seeds only; another seed changes all. */
static void common_draws(void **state) {
    (void)state;
    enum { SETS = 2, SEEDS = 3, PATIENTS = 15, N = 200 };
    double by_patient[SETS][SEEDS][PATIENTS], by_training[SETS][SEEDS][PATIENTS];
    double one[N], two[N];
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < SEEDS; k++)
            for (int p = 0; p < PATIENTS; p++) {
                by_patient[s][k][p] = sin(p);
                by_training[s][k][p] = sin(3.0 * s + k);
            }
    bootstrap_array a = {&by_patient[0][0][0], 1, SETS, SEEDS, PATIENTS, 0};
    bootstrap_array single = {&by_patient[0][0][0], 1, 1, 1, PATIENTS, 9};
    assert_int_equal(bootstrap_draw(&a, 1, N, one), ST_OK);
    assert_int_equal(bootstrap_draw(&single, 1, N, two), ST_OK);
    for (int i = 0; i < N; i++) assert_true(fabs(one[i] - two[i]) < 1e-14);
    assert_int_equal(bootstrap_draw(&single, 2, N, two), ST_OK);
    assert_true(memcmp(one, two, sizeof one) != 0);

    a.value = &by_training[0][0][0];
    assert_int_equal(bootstrap_draw(&a, 1, N, one), ST_OK);
    assert_int_equal(bootstrap_draw(&a, 1, N, two), ST_OK);
    assert_memory_equal(one, two, sizeof one);
    a.trainings = 1;
    assert_int_equal(bootstrap_draw(&a, 1, N, two), ST_OK);
    int equal = 0;
    for (int i = 0; i < N; i++) equal += one[i] == two[i];
    assert_true(equal < N / 2);
}

/* A patient's mean is over its defined values; without any the patient does not count. */
static void undefined_values(void **state) {
    (void)state;
    double value[2][2][3] = {{{1, NAN, NAN}, {3, NAN, 7}}, {{NAN, NAN, NAN}, {NAN, NAN, NAN}}};
    double mean[2], drawn[2][50], left_out[2][3];
    bootstrap_array a = {&value[0][0][0], 2, 2, 1, 3, 0};
    bootstrap_interval interval;
    assert_int_equal(bootstrap_mean(&a, mean), ST_OK);
    assert_true(mean[0] == (2 + 7) / 2.0 && isnan(mean[1]));
    assert_int_equal(bootstrap_leave_one_out(&a, &left_out[0][0]), ST_OK);
    assert_true(left_out[0][0] == 7 && left_out[0][1] == 4.5 && left_out[0][2] == 2);
    assert_int_equal(bootstrap_draw(&a, 1, 50, &drawn[0][0]), ST_OK);
    assert_int_equal(bootstrap_percentile(drawn[1], 50, 0.95, &interval), ST_OK);
    assert_true(isnan(interval.low) && isnan(interval.high));
    assert_int_equal(interval.undefined, 50);
    assert_int_equal(bootstrap_bca(mean[1], drawn[1], 50, left_out[1], 3, 0.95, &interval), ST_OK);
    assert_true(isnan(interval.low) && isnan(interval.high));
}

/* Equal values give an interval of length 0; an estimate outside all resamples gives no BCa. */
static void degenerate(void **state) {
    (void)state;
    const double value[4] = {2, 2, 2, 2};
    double drawn[20], left_out[4];
    bootstrap_array a = {value, 1, 1, 1, 4, 0};
    bootstrap_interval interval;
    assert_int_equal(bootstrap_draw(&a, 1, 20, drawn), ST_OK);
    assert_int_equal(bootstrap_leave_one_out(&a, left_out), ST_OK);
    assert_int_equal(bootstrap_bca(2, drawn, 20, left_out, 4, 0.95, &interval), ST_OK);
    assert_true(interval.low == 2 && interval.high == 2);
    assert_int_equal(bootstrap_bca(3, drawn, 20, left_out, 4, 0.95, &interval), ST_OK);
    assert_true(isnan(interval.low) && isnan(interval.high));
}

static void unusable_input(void **state) {
    (void)state;
    double value[4] = {0}, out[4];
    bootstrap_interval interval;
    bootstrap_array a = {value, 1, 1, 1, 0, 0}, b = {value, 1, 1, 1, 4, 0};
    assert_int_equal(bootstrap_mean(&a, out), ST_INPUT);
    assert_int_equal(bootstrap_draw(&a, 1, 4, out), ST_INPUT);
    assert_int_equal(bootstrap_leave_one_out(&a, out), ST_INPUT);
    assert_int_equal(bootstrap_draw(&b, 1, 0, out), ST_INPUT);
    assert_int_equal(bootstrap_percentile(value, 4, 1, &interval), ST_INPUT);
    assert_int_equal(bootstrap_percentile(value, 4, NAN, &interval), ST_INPUT);
    assert_int_equal(bootstrap_percentile(value, -1, 0.95, &interval), ST_INPUT);
    b.sets = b.seeds = INT64_C(1) << 40;
    assert_int_equal(bootstrap_mean(&b, out), ST_INTERNAL);
}

/* Tabulated quantiles (1 - alpha = 0.975 and others), symmetry, and the ends. */
static void normal_distribution(void **state) {
    (void)state;
    assert_true(fabs(normal_quantile(0.975) - 1.959963984540054) < 1e-14);
    assert_true(fabs(normal_quantile(0.95) - 1.644853626951472) < 1e-14);
    assert_true(fabs(normal_quantile(1e-10) + 6.361340902404056) < 1e-12);
    assert_true(fabs(normal_quantile(0.3) + normal_quantile(0.7)) < 1e-14);
    assert_true(fabs(normal_quantile(0.5)) < 1e-15);
    assert_true(fabs(normal_below(1.0) - 0.841344746068543) < 1e-14);
    assert_true(normal_quantile(0) == -INFINITY && normal_quantile(1) == INFINITY);
    assert_true(isnan(normal_quantile(-0.1)) && isnan(normal_quantile(NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_numpy),     cmocka_unit_test(standard_errors),
        cmocka_unit_test(common_draws),     cmocka_unit_test(independent_of_threads),
        cmocka_unit_test(undefined_values), cmocka_unit_test(degenerate),
        cmocka_unit_test(unusable_input),   cmocka_unit_test(normal_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
