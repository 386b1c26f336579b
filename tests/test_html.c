/* Escaping: no text becomes markup, whatever its bytes. Base64: encoded pieces can be joined. */
#include "io/html.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static char *escaped(const char *text) {
    char *out = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&out, &bytes);
    assert_non_null(f);
    html_text(f, text);
    assert_int_equal(fclose(f), 0);
    return out;
}

static void becomes(const char *text, const char *expected) {
    char *out = escaped(text);
    assert_string_equal(out, expected);
    free(out);
}

#define BAD "\xEF\xBF\xBD" /* U+FFFD */

static void markup_is_text(void **state) {
    (void)state;
    becomes("", "");
    becomes("bone 3\n", "bone 3\n");
    becomes("</style><script>x(\"1\" && '2')", "&lt;/style&gt;&lt;script&gt;x(&quot;1&quot; "
                                               "&amp;&amp; &#39;2&#39;)");
    becomes("&lt;", "&amp;lt;");
    becomes("a\x01\x1b[31m\x7f", "a" BAD BAD "[31m" BAD);
    becomes("a\xC2\x9B"
            "31m\xC2\x80\xC2\x9F\xC2\xA0",
            "a" BAD "31m" BAD BAD "\xC2\xA0"); /* C1, and a space that does not break */
    becomes("\xE2\x80\xAEtxt\xE2\x81\xA6\xE2\x80\xA8\xE2\x80\xA6",
            BAD "txt" BAD BAD "\xE2\x80\xA6");
}

static void only_utf8_passes(void **state) {
    (void)state;
    becomes("Gef\xC3\xA4\xC3\x9F \xE2\x82\xAC \xF0\x9F\xAB\x80",
            "Gef\xC3\xA4\xC3\x9F \xE2\x82\xAC \xF0\x9F\xAB\x80");
    becomes("\xC0\xBCscript", BAD BAD "script"); /* "<", overlong */
    becomes("\xE0\x80\xBC", BAD BAD BAD);
    becomes("\xED\xA0\x80", BAD BAD BAD);         /* a surrogate */
    becomes("\xF4\x90\x80\x80", BAD BAD BAD BAD); /* beyond U+10FFFF */
    becomes("\xF8<", BAD "&lt;");
    becomes("\xE2\x82<", BAD BAD "&lt;"); /* a truncated sequence hides nothing */
    becomes("\xE2", BAD);
    becomes("Gef\xE4\xDF", "Gef" BAD BAD); /* Latin-1 */
}

static void every_string_of_two_bytes(void **state) {
    (void)state;
    for (int a = 1; a < 256; a++)
        for (int b = 1; b < 256; b++) {
            char text[3] = {(char)a, (char)b, 0};
            char *out = escaped(text);
            assert_null(strpbrk(out, "<>\"'"));
            free(out);
        }
}

static void base64_joins(void **state) {
    (void)state;
    enum { MOST = 20000 };
    static const char head[] = "data:image/png;base64,";
    static const int sizes[] = {0, 1, 2, 3, 4, 3071, 3072, 3073, 6144, MOST};
    unsigned char *data = malloc(MOST), *whole = malloc(2 * MOST);
    assert_true(data && whole);
    for (int i = 0; i < MOST; i++) data[i] = (unsigned char)(i * 2654435761u >> 13);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        char *out = NULL;
        size_t bytes = 0;
        FILE *f = open_memstream(&out, &bytes);
        assert_non_null(f);
        html_data_uri(f, "image/png", data, sizes[k]);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(strncmp(out, head, strlen(head)), 0);
        whole[EVP_EncodeBlock(whole, data, sizes[k])] = 0;
        assert_string_equal(out + strlen(head), (char *)whole);
        free(out);
    }
    free(data);
    free(whole);
}

/* SHA-256 of nothing and of "abc" (FIPS 180-2), in base64. */
static void scripts_have_hashes(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
        {"abc", "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="}};
    for (int k = 0; k < 2; k++) {
        char *out = NULL;
        size_t bytes = 0;
        FILE *f = open_memstream(&out, &bytes);
        assert_non_null(f);
        assert_int_equal(html_script_hash(f, cases[k][0]), ST_OK);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(out, cases[k][1]);
        free(out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markup_is_text),
        cmocka_unit_test(only_utf8_passes),
        cmocka_unit_test(every_string_of_two_bytes),
        cmocka_unit_test(base64_joins),
        cmocka_unit_test(scripts_have_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
