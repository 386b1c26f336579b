/* Command-line arguments of verbs: which are accepted, and the message for those that are not. */
#include "pipeline/cli/verb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct targets {
    const char *out, *format;
    int64_t count;
    bool json;
    const char *operands[2];
    int n;
} targets;

static status parse(targets *t, char **argv) {
    const verb_option options[] = {
        {.name = "--out", .text = &t->out, .required = true},
        {.name = "--format", .text = &t->format},
        {.name = "--count", .integer = &t->count},
        {.name = "--json", .flag = &t->json},
        {0},
    };
    int argc = 0;
    while (argv[argc]) argc++;
    *t = (targets){0};
    return verb_parse(argc, argv, options, t->operands, 2, &t->n);
}

#define PARSE(t, ...) parse(t, (char *[]){"verb", __VA_ARGS__, NULL})

static void both_spellings_fill_the_targets(void **state) {
    (void)state;
    targets t;
    assert_int_equal(PARSE(&t, "a", "--out", "x=y", "--count", "-5", "--json", "-"), ST_OK);
    assert_string_equal(t.out, "x=y");
    assert_true(t.count == -5 && t.json && t.n == 2 && !t.format);
    assert_string_equal(t.operands[0], "a");
    assert_string_equal(t.operands[1], "-");
    assert_int_equal(PARSE(&t, "--out=", "--count=9223372036854775807"), ST_OK);
    assert_string_equal(t.out, "");
    assert_true(t.count == INT64_MAX && t.n == 0);
}

static void assert_refused(status st, const char *says) {
    assert_int_equal(st, ST_USAGE);
    if (!strstr(status_message(), says)) fail_msg("%s", status_message());
    assert_int_equal(strncmp(status_message(), "verb: ", 6), 0);
}

static void faults_are_named(void **state) {
    (void)state;
    targets t;
    assert_refused(PARSE(&t, "--out", "x", "--fromat", "y"), "--fromat; did you mean --format?");
    assert_refused(PARSE(&t, "--out", "x", "--banana"), "unknown option --banana");
    assert_refused(PARSE(&t, "--out", "x", "-o"), "unknown option -o");
    assert_refused(PARSE(&t, "--json"), "--out is missing");
    assert_refused(PARSE(&t, "--out"), "--out needs a value");
    assert_refused(PARSE(&t, "--out", "--json"), "--out needs a value");
    assert_refused(PARSE(&t, "--out", "x", "--count", "3x"), "--count is 3x");
    assert_refused(PARSE(&t, "--out", "x", "--count="), "--count is empty");
    assert_refused(PARSE(&t, "--out", "x", "--count", "9223372036854775808"), "whole number");
    assert_refused(PARSE(&t, "--out", "x", "--json=1"), "--json takes no value");
    assert_refused(PARSE(&t, "--out", "x", "a", "b", "c"), "too many: c");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_fill_the_targets),
        cmocka_unit_test(faults_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
