/* The chapter on statistics: every comparison of arms with its test, what was saved in labelled
 * patients, and the learning curves. */
#include "pipeline/report/chapters.h"

#include <math.h>
#include <string.h>

static void comparison_table(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "comparisons"), *c;
    figure_key key = {.labelled = -1, .structure = "mean"};
    if (!figure_find(list, &key, 0)) return;
    document_table(d, "All comparisons of means over structures",
                   "#Labelled|Arm|Against|Test|Metric|#Patients|#Difference|#p|#p (Holm)|#Effect");
    for (int i = 0; (c = figure_find(list, &key, i)); i++) {
        bool mm = strcmp(figure_text(c, "metric"), "hd95_mm") == 0;
        interval v = figure_interval(c, "difference");
        table_number(d, figure_number(c, "labelled"), 0);
        table_text(d, "%s", figure_text(c, "arm"));
        table_text(d, "%s", figure_text(c, "against"));
        table_text(d, "%s", figure_text(c, "test"));
        table_text(d, "%s", figure_text(c, "metric"));
        table_number(d, figure_number(c, "n_patients"), 0);
        table_value(d, v.value, "%s", show_difference(v, mm ? 1 : 3).text);
        table_value(d, figure_number(c, "p"), "%s", show_p(figure_number(c, "p")).text);
        table_value(d, figure_number(c, "p_holm"), "%s", show_p(figure_number(c, "p_holm")).text);
        table_value(d, figure_number(c, "effect"), "%s",
                    show_signed(figure_number(c, "effect"), 2).text);
    }
}

static void saving_table(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "saving");
    if (json_array_size(list) == 0) return;
    document_table(
        d, "Labelled patients saved: the fewest with synthetic slices that are not inferior",
        "Structure|Test|#Without synthetic|#With synthetic|#Saved|#Margin");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        double needed = figure_number(s, "needed");
        table_text(d, "%s", figure_text(s, "structure"));
        table_text(d, "%s", figure_text(s, "test"));
        table_number(d, figure_number(s, "labelled"), 0);
        table_value(d, needed, "%s", isnan(needed) ? "none" : show(needed, 0).text);
        table_interval(d, figure_interval(s, "saving"), 2);
        table_number(d, figure_number(s, "margin"), 3);
    }
}

/* ---- learning curves ---- */

static void curve_range(const json_t *curve, scale *x, scale *y) {
    const json_t *steps = json_object_get(curve, "steps"), *dice = json_object_get(curve, "dice");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *value = json_array_get(dice, i);
        if (!json_is_number(value)) continue;
        x->high = fmax(x->high, json_number_value(json_array_get(steps, i)));
        y->low = fmin(y->low, json_number_value(value));
        y->high = fmax(y->high, json_number_value(value));
    }
}

static void draw_curve(drawing *g, const json_t *curve, int series, const scale *x,
                       const scale *y) {
    const json_t *steps = json_object_get(curve, "steps"), *dice = json_object_get(curve, "dice");
    double last_x = NAN, last_y = NAN;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *value = json_array_get(dice, i);
        double at = scale_at(x, json_number_value(json_array_get(steps, i)));
        double to = json_is_number(value) ? scale_at(y, json_number_value(value)) : (double)NAN;
        if (!isnan(last_y) && !isnan(to))
            draw_line(g, INK_SERIES + series, 1.8, series > 1, last_x, last_y, at, to);
        if (!isnan(to)) draw_symbol(g, series, at, to, "%s", figure_text(curve, "arm"));
        last_x = at;
        last_y = to;
    }
}

static void draw_axes(drawing *g, const scale *x, const scale *y) {
    draw_value_axis(g, x, y);
    double step = fmax(1, scale_step(x, 8));
    for (double v = 0; v <= x->high * (1 + 1e-9); v += step)
        draw_text(g, INK_TEXT, ANCHOR_MIDDLE, scale_at(x, v), y->first + 20, "%.0f", v);
    draw_text(g, INK_TEXT, ANCHOR_MIDDLE, (x->first + x->last) / 2, y->first + 42,
              "segmenter step");
    draw_text(g, INK_MUTED, ANCHOR_START, 4, 16, "Dice, validation");
}

static void learning_curves(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "learning"), *curve;
    figure_key key = {.labelled = chapter_labelled(m)};
    scale x = {.first = 60, .last = DRAWING_WIDTH - 30};
    scale y = {.low = INFINITY, .high = -INFINITY, .first = 280, .last = 64};
    for (int i = 0; (curve = figure_find(list, &key, i)); i++) curve_range(curve, &x, &y);
    if (key.labelled < 0 || !(x.high > 0) || !(y.high >= y.low)) return;
    y.low = fmax(0, y.low - 0.02);
    y.high = fmin(1, y.high + 0.02);
    document_text(d, BLOCK_HEADING, "Learning curves");
    drawing *g = document_drawing(d, "Validation Dice by segmenter step, for each arm", 334);
    draw_axes(g, &x, &y);
    double at = 140, row = 16;
    for (size_t i = 0; i < json_array_size(list); i++) {
        curve = json_array_get(list, i);
        if (figure_number(curve, "labelled") != (double)key.labelled) continue;
        int series = chapter_series(figure_text(curve, "arm"));
        double width = 34 + 7.5 * (double)strlen(figure_text(curve, "arm"));
        draw_curve(g, curve, series, &x, &y);
        if (at + width > DRAWING_WIDTH) at = 140, row += 18;
        draw_symbol(g, series, at, row - 4, "%s", figure_text(curve, "arm"));
        draw_text(g, INK_TEXT, ANCHOR_START, at + 12, row, "%s", figure_text(curve, "arm"));
        at += width;
    }
    document_text(d, BLOCK_NOTE, "%s; means over sets and seeds, on validation patients.",
                  show_count((double)key.labelled, "labelled patient", "labelled patients").text);
}

void chapter_statistics(document *d, const json_t *m) {
    if (json_array_size(json_object_get(m, "comparisons")) == 0 &&
        json_array_size(json_object_get(m, "learning")) == 0)
        return;
    document_text(d, BLOCK_CHAPTER, "Statistics");
    document_text(
        d, BLOCK_TEXT,
        "Differences are taken patient by patient. Intervals come from a bootstrap over "
        "patients, p from the Wilcoxon signed rank test (two-sided), corrected by Holm's "
        "method. Effect is the matched-pairs rank-biserial correlation: 1 if every patient "
        "gains, -1 if every one loses.");
    comparison_table(d, m);
    saving_table(d, m);
    learning_curves(d, m);
}
