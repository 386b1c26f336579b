/* Text from outside: what a terminal would obey becomes an escape, what people read stays. */
#include "io/printable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void assert_becomes(const char *text, const char *wanted) {
    char out[256];
    assert_int_equal(printable(text, 0, out, sizeof out), strlen(wanted));
    assert_string_equal(out, wanted);
}

static void readable_text_stays(void **state) {
    (void)state;
    assert_becomes("", "");
    assert_becomes("Liver (left), 5 mm", "Liver (left), 5 mm");
    assert_becomes("M\xc3\xbcller \xe8\x82\x9d\xe8\x87\x93 \xf0\x9f\xab\x80",
                   "M\xc3\xbcller \xe8\x82\x9d\xe8\x87\x93 \xf0\x9f\xab\x80");
}

static void what_terminals_obey_is_escaped(void **state) {
    (void)state;
    assert_becomes("a\x1b[2Jb", "a\\x1b[2Jb");
    assert_becomes("a\rb\nc\td\x7f", "a\\x0db\\x0ac\\x09d\\x7f");
    assert_becomes("\xc2\x9b"
                   "31m",
                   "\\u009b31m"); /* CSI as one C1 character */
    assert_becomes("\xe2\x80\xae"
                   "txt",
                   "\\u202etxt"); /* right-to-left override */
    assert_becomes("a\xe2\x80\x8b"
                   "b\xef\xbb\xbf",
                   "a\\u200bb\\ufeff");
    char out[64];
    printable("a\n\tb\x1b", 1, out, sizeof out);
    assert_string_equal(out, "a\n\tb\\x1b");
}

/* Latin-1, cut, overlong and surrogate sequences: byte by byte. */
static void what_is_not_utf8_is_escaped(void **state) {
    (void)state;
    assert_becomes("M\xfcller", "M\\xfcller");
    assert_becomes("\xc3", "\\xc3");
    assert_becomes("\xc0\x9b", "\\xc0\\x9b");
    assert_becomes("\xe0\x80\x9b", "\\xe0\\x80\\x9b");
    assert_becomes("\xed\xa0\x80", "\\xed\\xa0\\x80");
    assert_becomes("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
}

/* Whatever the bytes and the room: the result fits and has no byte below a space. */
static void any_bytes_fit_any_room(void **state) {
    (void)state;
    char text[33], out[140];
    uint32_t s = 1;
    for (int round = 0; round < 20000; round++) {
        for (int i = 0; i < 32; i++) {
            s ^= s << 13, s ^= s >> 17, s ^= s << 5;
            text[i] = (char)(1 + s % 255);
        }
        text[32] = '\0';
        size_t size = 1 + s % sizeof out;
        memset(out, '!', sizeof out);
        size_t n = printable(text, 0, out, size);
        assert_true(n < size && out[n] == '\0');
        for (size_t i = 0; i < n; i++) assert_true((unsigned char)out[i] >= ' ' && out[i] != 0x7f);
        for (size_t i = size; i < sizeof out; i++) assert_int_equal(out[i], '!');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readable_text_stays),
        cmocka_unit_test(what_terminals_obey_is_escaped),
        cmocka_unit_test(what_is_not_utf8_is_escaped),
        cmocka_unit_test(any_bytes_fit_any_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
