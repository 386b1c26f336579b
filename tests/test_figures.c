/* Values of metrics.json by path and key, numbers as text, and what counts as resolved. */
#include "pipeline/report/figures.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#define MINUS "\xE2\x88\x92"

static void numbers_are_printed_without_negative_zero(void **state) {
    (void)state;
    assert_string_equal(show(0.12345, 3).text, "0.123");
    assert_string_equal(show(-0.0004, 3).text, "0.000");
    assert_string_equal(show(-0.0006, 3).text, MINUS "0.001");
    assert_string_equal(show(12, 0).text, "12");
    assert_string_equal(show(NAN, 3).text, "n/a");
    assert_string_equal(show(INFINITY, 3).text, "n/a");
    assert_string_equal(show_signed(0.0004, 3).text, "0.000");
    assert_string_equal(show_signed(-0.0004, 3).text, "0.000");
    assert_string_equal(show_signed(0.0006, 3).text, "+0.001");
    assert_string_equal(show_signed(-2, 1).text, MINUS "2.0");
    assert_string_equal(show_signed(NAN, 1).text, "n/a");
    assert_string_equal(show_p(0.00099).text, "< 0.001");
    assert_string_equal(show_p(0.0312).text, "0.031");
    assert_string_equal(show_p(NAN).text, "n/a");
    assert_string_equal(show_count(1, "patient", "patients").text, "1 patient");
    assert_string_equal(show_count(0, "patient", "patients").text, "0 patients");
    assert_string_equal(show(-1e300, 3).text, MINUS "1e+300");
    assert_string_equal(show_interval((interval){1, -1e300, 1e300}, 2).text,
                        "1.00 [" MINUS "1e+300, 1e+300]");
}

static void small_distances_have_more_digits(void **state) {
    (void)state;
    assert_string_equal(show(0.00751, figure_distance_digits(0.00751)).text, "0.0075");
    assert_string_equal(show(-0.00751, figure_distance_digits(-0.00751)).text, MINUS "0.0075");
    assert_string_equal(show(12.3456, figure_distance_digits(12.3456)).text, "12.35");
    assert_string_equal(show(NAN, figure_distance_digits(NAN)).text, "n/a");
}

static void intervals_need_both_bounds(void **state) {
    (void)state;
    interval whole = {0.5, -0.25, 0.75}, half = {0.5, NAN, 0.75}, none = {NAN, 0.1, 0.2};
    assert_string_equal(show_interval(whole, 2).text, "0.50 [" MINUS "0.25, 0.75]");
    assert_string_equal(show_difference(whole, 2).text, "+0.50 [" MINUS "0.25, 0.75]");
    assert_string_equal(show_interval(half, 2).text, "0.50");
    assert_string_equal(show_interval(none, 2).text, "n/a");
    assert_string_equal(show_bounds(half, 2).text, "");
}

static void entries_are_found_by_key(void **state) {
    (void)state;
    json_t *list = json_loads("[{\"labelled\": 2, \"arm\": \"real\", \"value\": 1}, 7, null,"
                              " {\"labelled\": 4, \"arm\": \"real\", \"value\": 2},"
                              " {\"labelled\": 4, \"arm\": \"gan\", \"value\": 3}]",
                              0, NULL);
    figure_key real = {.labelled = -1, .arm = "real"}, four = {.labelled = 4},
               gan = {4, .arm = "gan"};
    assert_non_null(list);
    assert_true(figure_number(figure_find(list, &real, 1), "value") == 2);
    assert_null(figure_find(list, &real, 2));
    assert_true(figure_number(figure_find(list, &four, 0), "value") == 2);
    assert_true(figure_number(figure_find(list, &gan, 0), "value") == 3);
    assert_true(isnan(figure_number(figure_find(list, &gan, 1), "value")));
    assert_null(figure_find(NULL, &gan, 0));
    assert_true(figure_number(list, "3.value") == 2);
    assert_string_equal(figure_text(list, "4.arm"), "gan");
    assert_string_equal(figure_text(list, "1.arm"), "");
    assert_string_equal(figure_text(list, "9.arm"), "");
    json_decref(list);
}

static int resolved(double low, double high, const char *p) {
    json_t *c =
        json_pack("{s:f, s:f, s:f}", "difference", (low + high) / 2, "low", low, "high", high);
    json_t *number = json_loads(p, JSON_DECODE_ANY, NULL);
    if (number) json_object_set_new(c, "p_holm", number);
    int out = figure_resolved(c);
    json_decref(c);
    return out;
}

static void a_difference_needs_interval_and_test(void **state) {
    (void)state;
    assert_int_equal(resolved(0.01, 0.02, "0.04"), 1);
    assert_int_equal(resolved(-0.02, -0.01, "0.04"), -1);
    assert_int_equal(resolved(0.01, 0.02, "0.05"), 0);
    assert_int_equal(resolved(0.01, 0.02, "null"), 1);
    assert_int_equal(resolved(0.01, 0.02, ""), 1);
    assert_int_equal(resolved(-0.01, 0.02, "0.001"), 0);
    assert_int_equal(resolved(0, 0.02, "0.001"), 0);
    assert_int_equal(figure_resolved(NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_printed_without_negative_zero),
        cmocka_unit_test(small_distances_have_more_digits),
        cmocka_unit_test(intervals_need_both_bounds),
        cmocka_unit_test(entries_are_found_by_key),
        cmocka_unit_test(a_difference_needs_interval_and_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
