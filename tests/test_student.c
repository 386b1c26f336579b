/* Intervals of means, against numbers of scipy.stats.t.interval(). */
#include "model/metric/student.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* n values 0, 1, 0, 1, ...: half the interval is t sd / sqrt(n). */
static void intervals_have_the_width_of_student(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        double t; /* scipy.stats.t.ppf(0.975, n - 1) */
    } cases[] = {{2, 12.706204736432095},
                 {4, 3.182446305284263},
                 {16, 2.131449545559323},
                 {40, 2.022690911734728},
                 {100, 1.984216951508683}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double values[100], mean, low, high;
        const double n = (double)cases[c].n;
        int64_t count;
        for (int64_t i = 0; i < cases[c].n; i++) values[i] = (double)(i % 2);
        student_interval(values, cases[c].n, &count, &mean, &low, &high);
        const double half = cases[c].t * sqrt(n / 4 / (n - 1) / n);
        assert_int_equal(count, cases[c].n);
        assert_float_equal(mean, 0.5, 1e-12);
        assert_float_equal((high - low) / 2, half, 1e-6);
        assert_float_equal((high + low) / 2, mean, 1e-12);
    }
}

static void missing_values_are_left_out(void **state) {
    (void)state;
    const double values[] = {NAN, 3, NAN, 5};
    double mean, low, high;
    int64_t count;
    student_interval(values, 4, &count, &mean, &low, &high);
    assert_int_equal(count, 2);
    assert_float_equal(mean, 4, 1e-12);
    assert_float_equal(high - mean, 12.706204736432095, 1e-6); /* sd / sqrt(n) = 1 */
    student_interval(values, 2, &count, &mean, &low, &high);
    assert_int_equal(count, 1);
    assert_float_equal(mean, 3, 0);
    assert_true(isnan(low) && isnan(high));
    student_interval(values, 1, &count, &mean, &low, &high);
    assert_int_equal(count, 0);
    assert_true(isnan(mean));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(intervals_have_the_width_of_student),
                                       cmocka_unit_test(missing_values_are_left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
