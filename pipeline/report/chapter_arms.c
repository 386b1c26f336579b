/* The chapters on the protocol and on the arms: every arm by number of labelled patients, with its
 * difference against real slices alone. */
#include "pipeline/report/chapters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The members of a list, joined by ", "; "not stated" if there are none. The caller frees it. */
static char *join(const json_t *list) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (json_is_string(one))
            fprintf(f, "%s%s", i ? ", " : "", json_string_value(one));
        else
            fprintf(f, "%s%s", i ? ", " : "", show(json_number_value(one), 0).text);
    }
    if (json_array_size(list) == 0) fputs("not stated", f);
    if (fclose(f) == 0) return text;
    free(text);
    return NULL;
}

static void list_row(document *d, const json_t *m, const char *what, const char *path) {
    char *text = join(figure_at(m, path));
    d->failed |= !text;
    table_text(d, "%s", what);
    table_text(d, "%s", text ? text : "");
    free(text);
}

static void text_row(document *d, const json_t *m, const char *what, const char *path) {
    const char *text = figure_text(m, path);
    if (!*text) return;
    table_text(d, "%s", what);
    table_text(d, "%s", text);
}

static void number_row(document *d, const json_t *m, const char *what, const char *path,
                       const char *unit) {
    double x = figure_number(m, path);
    if (isnan(x)) return;
    table_text(d, "%s", what);
    table_text(d, "%g%s", x, unit);
}

void chapter_protocol(document *d, const json_t *m) {
    if (!chapters_present(m)) return;
    document_text(d, BLOCK_CHAPTER, "Protocol");
    document_table(d, "", "What|Chosen before measuring");
    list_row(d, m, "Numbers of labelled patients", "protocol.labelled");
    list_row(d, m, "Arms", "protocol.arms");
    list_row(d, m, "Tests", "protocol.tests");
    text_row(d, m, "Shifted test", "protocol.shift");
    list_row(d, m, "Structures", "protocol.structures");
    number_row(d, m, "Sets of labelled patients for each number", "protocol.sets", "");
    number_row(d, m, "Seeds for each set", "protocol.seeds", "");
    number_row(d, m, "Steps of a segmenter", "protocol.steps", "");
    number_row(d, m, "Synthetic share of a batch", "protocol.share", "");
    number_row(d, m, "Last part of the steps with real slices alone", "protocol.real_only_last",
               "");
    number_row(d, m, "Tolerance of the surface Dice", "protocol.nsd_tolerance_mm", " mm");
    number_row(d, m, "Margin of non-inferiority", "protocol.margin", " Dice");
    number_row(d, m, "Resamples of the bootstrap", "protocol.resamples", "");
    text_row(d, m, "Bootstrap over", "protocol.bootstrap");
}

/* The value of another metric of the same arm. */
static void metric_cell(document *d, const json_t *m, figure_key key, const char *metric,
                        int digits) {
    key.metric = metric;
    table_interval(d, figure_interval(figure_find(json_object_get(m, "summary"), &key, 0), "value"),
                   digits);
}

/* An arm that takes all training patients (oracle) may name no number. */
static void arm_row(document *d, const json_t *m, const json_t *entry, const char *test) {
    double labelled = figure_number(entry, "labelled");
    figure_key key = {.labelled = isnan(labelled) ? -1 : (int64_t)labelled,
                      .arm = figure_text(entry, "arm"),
                      .test = test,
                      .structure = "mean"};
    figure_key against = key;
    against.against = ARM_WITHOUT;
    against.metric = "dice";
    const json_t *c = figure_find(json_object_get(m, "comparisons"), &against, 0);
    interval difference = figure_interval(c, "difference");
    table_value(d, labelled, "%s", isnan(labelled) ? "all" : show(labelled, 0).text);
    table_text(d, "%s", key.arm);
    table_number(d, figure_number(entry, "n_patients"), 0);
    table_interval(d, figure_interval(entry, "value"), 3);
    if (strcmp(key.arm, ARM_WITHOUT) == 0)
        table_text(d, "\xE2\x80\x93");
    else
        table_value(d, difference.value, "%s", show_difference(difference, 3).text);
    metric_cell(d, m, key, "hd95_mm", 1);
    metric_cell(d, m, key, "nsd", 3);
    metric_cell(d, m, key, "volume_error", 3);
}

static void arm_table(document *d, const json_t *m, const char *test) {
    const json_t *list = json_object_get(m, "summary"), *entry;
    figure_key key = {.labelled = -1, .test = test, .structure = "mean", .metric = "dice"};
    char caption[128];
    if (!figure_find(list, &key, 0)) return;
    snprintf(caption, sizeof caption, "Test: %.80s; means over structures", test);
    document_table(
        d, caption,
        "#Labelled|Arm|#Patients|#Dice|#Against real|#HD95, mm|#Surface Dice|#Volume error");
    for (int i = 0; (entry = figure_find(list, &key, i)); i++) arm_row(d, m, entry, test);
}

void chapter_arms(document *d, const json_t *m) {
    const json_t *tests = figure_at(m, "protocol.tests");
    if (json_array_size(json_object_get(m, "summary")) == 0) return;
    document_text(d, BLOCK_CHAPTER, "Arms");
    document_text(
        d, BLOCK_TEXT,
        "An arm is a way to train a segmenter. All arms have equal steps and equal starting "
        "values, and are tested on the same patients, whom no network has seen. Numbers in "
        "brackets are 95 %% intervals over patients.");
    if (json_array_size(tests) == 0) arm_table(d, m, chapter_test(m));
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const char *test = json_string_value(json_array_get(tests, i));
        if (test) arm_table(d, m, test);
    }
}
