/* Tables of comma-separated values: what RFC 4180 allows is read, all else is refused by file and
 * line; a user's captions. */
#include "io/csv.h"
#include "pipeline/data/own_captions.h"
#include "tests/scratch.h"

#include "model/text/grammar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const csv_limits limits = {.bytes = 4096, .rows = 8};

static status read_bytes(const char *text, size_t bytes, int64_t columns, csv_table *out) {
    put_file(in_home("t.csv"), text, (int64_t)bytes);
    return csv_read(in_home("t.csv"), columns, &limits, out);
}

static status read_text(const char *text, int64_t columns, csv_table *out) {
    return read_bytes(text, strlen(text), columns, out);
}

static void what_the_rfc_allows_is_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t rows, lines[3];
        const char *cells[6];
    } known[] = {
        {"a,b\r\n1,2\r\n", 2, {1, 2}, {"a", "b", "1", "2"}},
        {"a,b\n1,2", 2, {1, 2}, {"a", "b", "1", "2"}},
        {"\xef\xbb\xbf"
         "a,b\n",
         1,
         {1},
         {"a", "b"}},
        {",\n\"\",\n", 2, {1, 2}, {"", "", "", ""}},
        {"\"a,b\",\"c \"\"d\"\"\"\n\"\"\"\",x\n", 2, {1, 2}, {"a,b", "c \"d\"", "\"", "x"}},
        {"\"two\r\nlines\",\"two\nmore\"\n1,2\n", 2, {1, 4}, {"two\nlines", "two\nmore", "1", "2"}},
        {" a , b \nM\xc3\xbcller,\t\n", 2, {1, 2}, {" a ", " b ", "M\xc3\xbcller", "\t"}},
        {"a,b\n\"c\",\"d\"", 2, {1, 2}, {"a", "b", "c", "d"}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        csv_table t;
        assert_ok(read_text(known[i].text, 2, &t));
        assert_int_equal(t.rows, known[i].rows);
        for (int64_t k = 0; k < 2 * t.rows; k++) assert_string_equal(t.cell[k], known[i].cells[k]);
        for (int64_t k = 0; k < t.rows; k++) assert_int_equal(t.line[k], known[i].lines[k]);
        csv_free(&t);
    }
}

static void all_else_is_refused_by_file_and_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } known[] = {
        {"a,b\nc\n", "t.csv:2: there are too few fields"},
        {"a,b\n\nc,d\n", "t.csv:2: there are too few fields"},
        {"a,b\nc,d,e\n", "t.csv:2: there are too many fields"},
        {"a,\"b\nc,d\n", "t.csv:1: a quote is not closed"},
        {"a,b\n\"x\ny\",1\nc,\"d\"e\n", "t.csv:4: there is text behind a closing quote"},
        {"a,b\nc,d\"e\"\n", "t.csv:2: a quote stands within a field without quotes"},
        {"a,b\nc,\x1b[2J\n", "t.csv:2: a text is not UTF-8 or has control characters"},
        {"a,b\nc,M\xfcller\n", "t.csv:2: a text is not UTF-8 or has control characters"},
        {"a,b\rc,d\n", "t.csv:1: a text is not UTF-8 or has control characters"},
        {"a,b\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n", "t.csv: has more than 8 records"},
        {"", "t.csv: is empty"},
        {"\xef\xbb\xbf", "t.csv: is empty"},
    };
    csv_table t;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(read_text(known[i].text, 2, &t), ST_INPUT);
        assert_says(known[i].says);
        assert_null(t.cell);
    }
    assert_int_equal(read_bytes("a,b\n\0,d\n", 8, 2, &t), ST_INPUT);
    assert_says("t.csv: has null bytes");
    char large[4098];
    memset(large, 'x', sizeof large);
    assert_int_equal(read_bytes(large, sizeof large, 1, &t), ST_INPUT);
    assert_says("t.csv");
    assert_int_equal(csv_read(in_home("none.csv"), 1, &limits, &t), ST_INPUT);
    assert_says("none.csv");
}

/* A text of a cell of any length stays what it is when it is quoted; a control character anywhere
 * in it is found. */
static void long_texts_are_read_whole(void **state) {
    (void)state;
    char text[2100], file[4096];
    csv_table t;
    for (int n = 0; n < 2000; n += 37) {
        for (int i = 0; i < n; i++) text[i] = "a\"b,c\n"[i % 6];
        text[n] = '\0';
        char *at = file;
        *at++ = '"';
        for (int i = 0; i < n; i++) {
            if (text[i] == '"') *at++ = '"';
            *at++ = text[i];
        }
        strcpy(at, "\"\n");
        assert_ok(read_text(file, 1, &t));
        assert_int_equal(t.rows, 1);
        assert_string_equal(t.cell[0], text);
        csv_free(&t);
        memset(text, 'x', sizeof text);
        text[n] = '\x01';
        strcpy(text + n + 1, "\n");
        assert_int_equal(read_text(text, 1, &t), ST_INPUT);
    }
}

static status read_captions(const char *text, own_captions *out) {
    put_file(in_home("captions.csv"), text, (int64_t)strlen(text));
    return own_captions_read(in_home("captions.csv"), out);
}

static void captions_are_found_by_pseudonym(void **state) {
    (void)state;
    own_captions c;
    assert_ok(read_captions("pseudonym,text\n"
                            "c3,\"CT of the chest, native\"\n"
                            "a1,liver\n"
                            "b2-1,\"said \"\"large\"\"\"\n",
                            &c));
    assert_int_equal(c.count, 3);
    assert_string_equal(own_captions_find(&c, "c3"), "CT of the chest, native");
    assert_string_equal(own_captions_find(&c, "a1"), "liver");
    assert_string_equal(own_captions_find(&c, "b2-1"), "said \"large\"");
    assert_null(own_captions_find(&c, "b2"));
    assert_null(own_captions_find(&c, "pseudonym"));
    own_captions_free(&c);
    assert_ok(read_captions("pseudonym,text\n", &c));
    assert_null(own_captions_find(&c, "a1"));
    own_captions_free(&c);
}

static void wrong_captions_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } known[] = {
        {"id,text\na,b\n", "captions.csv:1: the header is not pseudonym,text"},
        {"pseudonym,text\na,b\nb,c\na,d\n", "captions.csv:4: the pseudonym has a caption already"},
        {"pseudonym,text\n,b\n", "captions.csv:2: the pseudonym is missing"},
        {"pseudonym,text\na,\n", "captions.csv:2: the text is missing"},
        {"pseudonym,text\n1234567890123456789012345678901234567890123456789012345678901234567,x\n",
         "captions.csv:2: this is no pseudonym"},
    };
    own_captions c;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(read_captions(known[i].text, &c), ST_INPUT);
        assert_says(known[i].says);
        assert_null(c.sorted);
    }
    char text[CAPTION_SIZE + 64] = "pseudonym,text\na,";
    const size_t before = strlen(text);
    memset(text + before, 'x', CAPTION_SIZE - 1);
    assert_ok(read_captions(text, &c));
    own_captions_free(&c);
    text[before + CAPTION_SIZE - 1] = 'x';
    assert_int_equal(read_captions(text, &c), ST_INPUT);
    assert_says("captions.csv:2: the text is longer");
}

static int begin(void **state) {
    (void)state;
    return begin_scratch() ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    return end_scratch() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_rfc_allows_is_read),
        cmocka_unit_test(all_else_is_refused_by_file_and_line),
        cmocka_unit_test(long_texts_are_read_whole),
        cmocka_unit_test(captions_are_found_by_pseudonym),
        cmocka_unit_test(wrong_captions_are_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
