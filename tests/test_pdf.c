/* A PDF is whole whatever text is drawn; equal calls give equal bytes; a fault is a status. */
#include "io/pdf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const uint8_t pixels[2 * 3 * 3] = {255, 0, 0, 0, 255, 0, 0, 0, 255,
                                          9,   9, 9, 1, 2,   3, 4, 5, 6};

static void draw(pdf *p) {
    static const double black[3] = {0, 0, 0}, corners[3][2] = {{10, 10}, {20, 10}, {15, 20}};
    pdf_colour(p, black);
    pdf_font(p, 10, true);
    pdf_text(p, 50, 50, "Dice \xE2\x88\x92 0.017");
    pdf_text(p, 50, 70, "no UTF-8: \xFF\xC0\x80 and a control \x01 and nothing: ");
    pdf_text(p, 50, 90, "");
    pdf_line(p, 1, true, 0, 0, 100, 100);
    pdf_polygon(p, corners, 3);
    pdf_circle(p, 30, 30, 5);
    pdf_picture(p, pixels, 2, 3, 100, 100, 60);
    pdf_next_page(p);
    pdf_text(p, 50, 50, "second page");
}

static int count(const uint8_t *bytes, int64_t n, const char *word) {
    int found = 0;
    int64_t length = (int64_t)strlen(word);
    for (int64_t i = 0; i + length <= n; i++) found += memcmp(bytes + i, word, (size_t)length) == 0;
    return found;
}

static void equal_calls_give_equal_bytes(void **state) {
    (void)state;
    uint8_t *bytes[2];
    int64_t n[2];
    for (int k = 0; k < 2; k++) {
        pdf *p = NULL;
        assert_int_equal(pdf_create("a <title>", "2031-02-03T04:05:06Z", &p), ST_OK);
        draw(p);
        assert_int_equal(pdf_finish(p, &bytes[k], &n[k]), ST_OK);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(bytes[0], bytes[1], (size_t)n[0]);
    assert_memory_equal(bytes[0], "%PDF-", 5);
    assert_int_equal(count(bytes[0], n[0], "20310203040506"), 1);
    assert_int_equal(count(bytes[0], n[0], "%%EOF"), 1);
    free(bytes[0]);
    free(bytes[1]);
}

static void what_is_no_time_is_the_beginning_of_1970(void **state) {
    (void)state;
    static const char *const times[] = {"", "yesterday", "2031-02-03T04:05:06",
                                        "2031-02-03T04:05:0xZ"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        pdf *p = NULL;
        uint8_t *bytes = NULL;
        int64_t n = 0;
        assert_int_equal(pdf_create("", times[i], &p), ST_OK);
        assert_int_equal(pdf_finish(p, &bytes, &n), ST_OK);
        assert_int_equal(count(bytes, n, "19700101000000"), 1);
        free(bytes);
    }
}

static void words_have_widths(void **state) {
    (void)state;
    pdf *p = NULL;
    assert_int_equal(pdf_create("", "", &p), ST_OK);
    pdf_font(p, 10, false);
    double one = pdf_text_width(p, "m"), ten = pdf_text_width(p, "mmmmmmmmmm");
    assert_true(one > 2 && one < 20);
    assert_true(ten > 9.9 * one && ten < 10.1 * one);
    assert_true(pdf_text_width(p, "") == 0);
    pdf_font(p, 20, false);
    assert_true(pdf_text_width(p, "m") > 1.9 * one);
    pdf_free(p);
}

static void an_impossible_picture_is_a_fault(void **state) {
    (void)state;
    pdf *p = NULL;
    uint8_t *bytes = (uint8_t *)1;
    int64_t n = 1;
    assert_int_equal(pdf_create("", "", &p), ST_OK);
    pdf_picture(p, pixels, 0, 3, 0, 0, 10);
    assert_int_equal(pdf_finish(p, &bytes, &n), ST_INTERNAL);
    assert_null(bytes);
    assert_non_null(strstr(status_message(), "0 x 3"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_calls_give_equal_bytes),
        cmocka_unit_test(what_is_no_time_is_the_beginning_of_1970),
        cmocka_unit_test(words_have_widths),
        cmocka_unit_test(an_impossible_picture_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
