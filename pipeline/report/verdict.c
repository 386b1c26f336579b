/* The verdict: one sentence on what synthetic slices are worth, whichever way it turns out.
 *
 * It is about the mean Dice of the first test set. The smallest number of labelled patients comes
 * first, as the protocol does not choose by result; the others follow. A difference counts only if
 * figure_resolved() says so.
 */
#include "pipeline/report/chapters.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool chapters_present(const json_t *m) { return json_is_object(json_object_get(m, "protocol")); }

const char *chapter_test(const json_t *m) {
    const char *first = figure_text(m, "protocol.tests.0");
    return *first ? first : "plain";
}

int64_t chapter_labelled(const json_t *m) {
    const json_t *list = figure_at(m, "protocol.labelled");
    int64_t least = -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        int64_t n = json_integer_value(json_array_get(list, i));
        if (n > 0 && (least < 0 || n < least)) least = n;
    }
    return least;
}

int chapter_series(const char *arm) {
    static const char *const arms[DRAWING_SERIES] = {
        ARM_WITHOUT,           ARM_WITH,          "real+copies", "synthetic",
        "synthetic-then-real", "gaussian-labels", "gan",         "oracle"};
    for (int k = 0; k < DRAWING_SERIES; k++)
        if (strcmp(arm, arms[k]) == 0) return k;
    return DRAWING_SERIES - 1;
}

const json_t *chapter_comparison(const json_t *m, int64_t labelled) {
    figure_key key = {.labelled = labelled,
                      .arm = ARM_WITH,
                      .against = ARM_WITHOUT,
                      .test = chapter_test(m),
                      .structure = "mean",
                      .metric = "dice"};
    return labelled < 0 ? NULL : figure_find(json_object_get(m, "comparisons"), &key, 0);
}

/* The part about the smallest number of labelled patients. */
static void first_part(FILE *f, const json_t *m, const json_t *c, int64_t labelled) {
    interval d = figure_interval(c, "difference");
    shown_number patients =
        show_count(figure_number(c, "n_patients"), "unseen patient", "unseen patients");
    if (json_is_true(figure_at(m, "split.by_blocks")))
        patients = (shown_number){.text = "other slices of the same patient"};
    fprintf(f, "With %s, ",
            show_count((double)labelled, "labelled patient", "labelled patients").text);
    switch (figure_resolved(c)) {
    case 1:
        fprintf(f, "synthetic slices raise the mean Dice on %s by %s", patients.text,
                show_difference(d, 3).text);
        break;
    case -1:
        fprintf(f, "synthetic slices lower the mean Dice on %s, by %s", patients.text,
                show_difference(d, 3).text);
        break;
    default:
        fprintf(f,
                "no difference in mean Dice on %s is resolved between training with and without "
                "synthetic slices: %s",
                patients.text, show_difference(d, 3).text);
        if (d.low > 0 || d.high < 0)
            fprintf(f, ", p = %s after Holm's correction", show_p(figure_number(c, "p_holm")).text);
    }
}

/* The numbers of labelled patients after the smallest one. */
static void other_parts(FILE *f, const json_t *m, int64_t least) {
    static const char *const words[] = {"a loss", "no difference resolved", "a gain"};
    const json_t *list = figure_at(m, "protocol.labelled");
    for (size_t i = 0; i < json_array_size(list); i++) {
        int64_t n = json_integer_value(json_array_get(list, i));
        const json_t *c = n == least ? NULL : chapter_comparison(m, n);
        interval d = figure_interval(c, "difference");
        if (isnan(d.value)) continue;
        fprintf(f, "; with %" PRId64 ": %s (%s)", n, show_difference(d, 3).text,
                words[1 + figure_resolved(c)]);
    }
}

/* What synthetic data save in labelled patients. */
static void saving_part(FILE *f, const json_t *m) {
    const json_t *list = json_object_get(m, "saving");
    figure_key key = {.labelled = -1, .test = chapter_test(m), .structure = "mean"};
    int entries = 0, savings = 0;
    double margin = figure_number(m, "protocol.margin");
    for (const json_t *s; (s = figure_find(list, &key, entries)); entries++) {
        double labelled = figure_number(s, "labelled"), needed = figure_number(s, "needed");
        if (!isnan(figure_number(s, "margin"))) margin = figure_number(s, "margin");
        if (!(needed < labelled)) continue;
        if (savings++ == 0)
            fprintf(f,
                    "; %.0f labelled patients with synthetic data are not inferior to %.0f without",
                    needed, labelled);
        else
            fprintf(f, ", nor %.0f to %.0f", needed, labelled);
    }
    if (entries > 0 && savings == 0)
        fputs("; fewer labelled patients with synthetic data were not shown to be as good as more "
              "without",
              f);
    if (entries > 0 && !isnan(margin)) fprintf(f, " (margin %g)", margin);
}

static void gate_part(FILE *f, const json_t *m) {
    const json_t *passed = figure_at(m, "gate.passed");
    if (json_is_true(passed))
        fputs(" The search for copies of training slices raised no alarm.", f);
    else if (json_is_false(passed))
        fputs(" The synthetic slices did not pass the gate: they may reveal training patients.", f);
    else
        fputs(" Whether training slices were copied was not measured.", f);
}

static void write_sentence(FILE *f, const json_t *m) {
    int64_t least = chapter_labelled(m);
    const json_t *c = chapter_comparison(m, least);
    if (isnan(figure_number(c, "difference"))) {
        fputs("What synthetic slices are worth was not measured in this run", f);
    } else {
        first_part(f, m, c, least);
        other_parts(f, m, least);
    }
    saving_part(f, m);
    fputs(".", f);
    gate_part(f, m);
}

void verdict(document *d, const json_t *m) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) {
        d->failed = true;
        return;
    }
    write_sentence(f, m);
    bool failed = ferror(f) != 0;
    failed |= fclose(f) != 0;
    d->failed |= failed;
    if (!failed) document_text(d, BLOCK_LEAD, "%s", text);
    free(text);
}
