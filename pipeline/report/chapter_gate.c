/* The chapters on the gate (copies of training slices, membership inference) and on costs. */
#include "pipeline/report/chapters.h"

#include <math.h>
#include <string.h>

static void gate_row(document *d, const char *what, interval x, const char *expected) {
    table_text(d, "%s", what);
    table_interval(d, x, 3);
    table_text(d, "%s", expected);
}

static void pair_table(document *d, const json_t *pairs) {
    if (json_array_size(pairs) == 0) return;
    document_table(d, "The synthetic slices nearest to a training slice",
                   "Synthetic|#Slice|Training|#Slice|#Distance");
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *p = json_array_get(pairs, i);
        table_text(d, "%s", figure_text(p, "synthetic"));
        table_number(d, figure_number(p, "slice") + 1, 0);
        table_text(d, "%s", figure_text(p, "training"));
        table_number(d, figure_number(p, "training_slice") + 1, 0);
        table_number(d, figure_number(p, "distance"), 3);
    }
}

void chapter_gate(document *d, const json_t *m) {
    const json_t *g = json_object_get(m, "gate"), *passed = json_object_get(g, "passed");
    if (!g) {
        if (!chapters_present(m)) return;
        document_text(d, BLOCK_CHAPTER, "Gate");
        document_text(d, BLOCK_TEXT,
                      "Copies of training slices were not looked for: not measured.");
        return;
    }
    bool block = strcmp(figure_text(g, "release"), "block") == 0;
    document_text(d, BLOCK_CHAPTER, "Gate");
    document_text(d, BLOCK_TEXT, "%s%s",
                  json_is_true(passed) ? "Passed: no sign of copied training slices was found."
                  : json_is_false(passed)
                      ? "Not passed: the synthetic slices may show training patients."
                      : "Neither passed nor failed: not measured.",
                  !json_is_false(passed) ? ""
                  : block                ? " Their release is blocked."
                                         : " The study asks for a warning only.");
    if (figure_number(g, "not_compared") > 0)
        document_text(
            d, BLOCK_TEXT,
            "Not compared were %s without labels, whose slices trained the model, too.",
            show_count(figure_number(g, "not_compared"), "training patient", "training patients")
                .text);
    document_table(d, "", "What|#Measured|Without leakage");
    table_text(d, "Slices examined");
    table_number(d, figure_number(g, "n"), 0);
    table_text(d, "%s", "");
    gate_row(d, "Share of copied slices",
             (interval){figure_number(g, "copy_rate"), figure_number(g, "copy_low"),
                        figure_number(g, "copy_high")},
             "0");
    gate_row(d, "Membership inference, AUC",
             (interval){figure_number(g, "auc"), figure_number(g, "auc_low"),
                        figure_number(g, "auc_high")},
             "0.5");
    gate_row(d, "True positives at 1 % false positives",
             (interval){figure_number(g, "tpr_at_1_fpr"), NAN, NAN}, "0.01");
    pair_table(d, json_object_get(g, "pairs"));
    document_text(d, BLOCK_NOTE,
                  "A gate that is passed is no proof of privacy: it finds copies and one kind of "
                  "attack.");
}

void chapter_costs(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "costs");
    double sum = 0;
    if (json_array_size(list) == 0) return;
    document_text(d, BLOCK_CHAPTER, "Costs");
    document_table(d, "", "Part|#Core hours");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        double hours = figure_number(c, "core_hours");
        table_text(d, "%s", figure_text(c, "what"));
        table_number(d, hours, 2);
        if (!isnan(hours)) sum += hours;
    }
    document_text(d, BLOCK_NOTE, "%s core hours in all.", show(sum, 2).text);
}
