/* Reading metrics.json (METRICS.md) and printing numbers as text. A member that is missing counts
 * as not measured, so that older and incomplete files can be read. */
#ifndef CTAUG_PIPELINE_REPORT_FIGURES_H
#define CTAUG_PIPELINE_REPORT_FIGURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The value at a path of keys (of an object) and indices (of an array), separated by dots; NULL if
 * there is none. Borrowed reference. Local. */
const json_t *figure_at(const json_t *from, const char *path);
/* The number at a path; NAN if there is none. Local. */
double figure_number(const json_t *from, const char *path);
/* The text at a path; "" if there is none. Borrowed. Local. */
const char *figure_text(const json_t *from, const char *path);

/* A value with its 95 % interval; NAN where not measured. */
typedef struct interval {
    double value, low, high;
} interval;

/* `value_key`, "low" and "high" of an entry; `entry` may be NULL. Local. */
interval figure_interval(const json_t *entry, const char *value_key);

/* What an entry of "summary" or "comparisons" is about. labelled < 0 and a NULL text match all. */
typedef struct figure_key {
    int64_t labelled;
    const char *arm, *against, *test, *structure, *metric;
} figure_key;

/* The entry number `nth` (from 0) of a list whose members match the key; NULL if there is none.
 * Borrowed reference. Local. */
const json_t *figure_find(const json_t *list, const figure_key *key, int nth);

/* Whether an entry of "comparisons" resolves a difference: 1 a gain, -1 a loss, 0 not resolved. A
 * difference is resolved if its interval excludes 0 and, where there is a test, its p after Holm's
 * correction is below 0.05. Local. */
int figure_resolved(const json_t *comparison);

/* A number as text; returned by value, so that it can be used within one call of a printf(). */
typedef struct shown_number {
    char text[96];
} shown_number;

/* Digits behind the point of a distance of distributions: 2, below 1 four, for networks differ in
 * the scale of their features. Local. */
int figure_distance_digits(double distance);

/* "0.123"; "n/a" for what is not finite. Local. */
shown_number show(double x, int digits);
/* "+0.123", a true minus sign, no sign for what rounds to 0. Local. */
shown_number show_signed(double x, int digits);
/* "[0.120, 0.130]"; "" unless both bounds are finite. Local. */
shown_number show_bounds(interval x, int digits);
/* "0.123 [0.120, 0.130]", or the value alone. Local. */
shown_number show_interval(interval x, int digits);
/* "+0.017 [0.014, 0.020]". Local. */
shown_number show_difference(interval x, int digits);
/* "0.032", "< 0.001". Local. */
shown_number show_p(double p);
/* "1 patient", "2 patients". Local. */
shown_number show_count(double n, const char *singular, const char *plural);

#endif
