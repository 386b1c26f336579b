/* Values of metrics.json by path or by key, and numbers as text. */
#include "pipeline/report/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUS "\xE2\x88\x92"

const json_t *figure_at(const json_t *from, const char *path) {
    char key[64];
    while (from && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        from = json_is_array(from) ? json_array_get(from, strtoul(key, NULL, 10))
                                   : json_object_get(from, key);
        path += n + (path[n] == '.');
    }
    return from;
}

double figure_number(const json_t *from, const char *path) {
    const json_t *value = figure_at(from, path);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *figure_text(const json_t *from, const char *path) {
    const char *text = json_string_value(figure_at(from, path));
    return text ? text : "";
}

interval figure_interval(const json_t *entry, const char *value_key) {
    return (interval){figure_number(entry, value_key), figure_number(entry, "low"),
                      figure_number(entry, "high")};
}

static bool matches_text(const json_t *entry, const char *key, const char *wanted) {
    return !wanted || strcmp(figure_text(entry, key), wanted) == 0;
}

const json_t *figure_find(const json_t *list, const figure_key *key, int nth) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        bool match =
            (key->labelled < 0 || figure_number(entry, "labelled") == (double)key->labelled) &&
            matches_text(entry, "arm", key->arm) && matches_text(entry, "against", key->against) &&
            matches_text(entry, "test", key->test) &&
            matches_text(entry, "structure", key->structure) &&
            matches_text(entry, "metric", key->metric);
        if (match && nth-- == 0) return entry;
    }
    return NULL;
}

int figure_resolved(const json_t *comparison) {
    interval d = figure_interval(comparison, "difference");
    double p = figure_number(comparison, "p_holm");
    if (!isnan(p) && p >= 0.05) return 0;
    return d.low > 0 ? 1 : d.high < 0 ? -1 : 0;
}

int figure_distance_digits(double distance) { return fabs(distance) < 1 ? 4 : 2; }

shown_number show(double x, int digits) {
    static const double wide = 1e15; /* larger numbers have no meaning here, but must fit */
    shown_number out = {"n/a"};
    if (!isfinite(x)) return out;
    double unit = pow(10, -digits);
    if (fabs(x) < wide) x = round(x / unit) * unit; /* no "-0.000" */
    snprintf(out.text, sizeof out.text, fabs(x) < wide ? "%s%.*f" : "%s%.*g", x < 0 ? MINUS : "",
             digits, fabs(x));
    return out;
}

shown_number show_signed(double x, int digits) {
    shown_number plain = show(x, digits), out = plain;
    if (isfinite(x) && round(x * pow(10, digits)) > 0)
        snprintf(out.text, sizeof out.text, "+%.90s", plain.text);
    return out;
}

shown_number show_bounds(interval x, int digits) {
    shown_number out = {""};
    if (isfinite(x.low) && isfinite(x.high))
        snprintf(out.text, sizeof out.text, "[%.40s, %.40s]", show(x.low, digits).text,
                 show(x.high, digits).text);
    return out;
}

static shown_number with_bounds(shown_number value, interval x, int digits) {
    shown_number out = value, bounds = show_bounds(x, digits);
    if (*bounds.text && isfinite(x.value))
        snprintf(out.text, sizeof out.text, "%.40s %.50s", value.text, bounds.text);
    return out;
}

shown_number show_interval(interval x, int digits) {
    return with_bounds(show(x.value, digits), x, digits);
}

shown_number show_difference(interval x, int digits) {
    return with_bounds(show_signed(x.value, digits), x, digits);
}

shown_number show_p(double p) {
    shown_number small = {"< 0.001"};
    return p < 0.001 ? small : show(p, 3);
}

shown_number show_count(double n, const char *singular, const char *plural) {
    shown_number out;
    snprintf(out.text, sizeof out.text, "%.40s %.50s", show(n, 0).text, n == 1 ? singular : plural);
    return out;
}
