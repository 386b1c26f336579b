/* Parses the arguments of a verb: "--name VALUE", "--name=VALUE", flags, operands. */
#include "pipeline/cli/verb.h"

#include "io/nearest.h"
#include "io/printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 32 };

/* Index of the option that `text` (with or without "=value") names, or -1. */
static int option_find(const verb_option *options, const char *text) {
    size_t n = strcspn(text, "=");
    for (int i = 0; options[i].name; i++)
        if (strlen(options[i].name) == n && strncmp(options[i].name, text, n) == 0) return i;
    return -1;
}

/* ST_USAGE for an unknown option, with the nearest known one. */
static status unknown(const verb_option *options, const char *verb, const char *text) {
    int best = OPTIONS_MAX;
    const char *near = NULL;
    for (int i = 0; options[i].name; i++) {
        int d = edit_distance(text, options[i].name);
        if (d < best) best = d, near = options[i].name;
    }
    if (near && edit_is_typo(best, text))
        return status_fail(ST_USAGE, "%s: unknown option %s; did you mean %s?", verb, text, near);
    return status_fail(ST_USAGE, "%s: unknown option %s; see `ctaug %s --help`", verb, text, verb);
}

/* Stores the value of an option that is no flag in its target. */
static status set_value(const verb_option *o, const char *verb, const char *value) {
    if (o->text) {
        *o->text = value;
        return ST_OK;
    }
    if (o->choice) {
        if (named_table_find(o->choices, value, o->choice) == ST_OK) return ST_OK;
        return status_fail(ST_USAGE, "%s: %s: %s", verb, o->name, status_message());
    }
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (!*value || *end || errno)
        return status_fail(ST_USAGE, "%s: %s is %s; it must be a whole number", verb, o->name,
                           *value ? value : "empty");
    *o->integer = number;
    return ST_OK;
}

/* Consumes the option at argv[*i] and its value, which may be the next argument. */
static status take_option(int argc, char **argv, int *i, const verb_option *o) {
    const char *equals = strchr(argv[*i], '=');
    if (o->flag && equals) return status_fail(ST_USAGE, "%s: %s takes no value", argv[0], o->name);
    if (o->flag) {
        *o->flag = true;
        return ST_OK;
    }
    if (equals) return set_value(o, argv[0], equals + 1);
    if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
        return status_fail(ST_USAGE, "%s: %s needs a value", argv[0], o->name);
    ++*i;
    return set_value(o, argv[0], argv[*i]);
}

status verb_parse(int argc, char **argv, const verb_option *options, const char **operands, int max,
                  int *count) {
    status st = ST_OK;
    bool seen[OPTIONS_MAX] = {false};
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            if (n == max)
                return status_fail(ST_USAGE, "%s: one argument too many: %s", argv[0], argv[i]);
            operands[n++] = argv[i];
            continue;
        }
        int k = option_find(options, argv[i]);
        if (k < 0) return unknown(options, argv[0], argv[i]);
        if (k >= OPTIONS_MAX) return status_fail(ST_INTERNAL, "%s: too many options", argv[0]);
        seen[k] = true;
        TRY(take_option(argc, argv, &i, &options[k]));
    }
    for (int k = 0; options[k].name; k++)
        if (options[k].required && !seen[k])
            return status_fail(ST_USAGE, "%s: %s is missing; see `ctaug %s --help`", argv[0],
                               options[k].name, argv[0]);
    if (count) *count = n;
done:
    return st;
}

void verb_print(const char *format, ...) {
    char text[1 << 13], safe[4 * sizeof text];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printable(text, true, safe, sizeof safe);
    fputs(safe, stdout);
}
