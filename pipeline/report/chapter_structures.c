/* The chapter on structures: a forest plot of the differences at the smallest number of labelled
 * patients, and a table of all of them. Lesions are listed by size. */
#include "pipeline/report/chapters.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { ROW = 26, SHOWN_NAME = 26 };

/* The differences with synthetic slices against real ones alone; `labelled` -1: all. */
static figure_key wanted(const json_t *m, int64_t labelled) {
    return (figure_key){.labelled = labelled,
                        .arm = ARM_WITH,
                        .against = ARM_WITHOUT,
                        .test = chapter_test(m),
                        .metric = "dice"};
}

static bool find_range(const json_t *list, const figure_key *key, scale *x, int *rows) {
    const json_t *c;
    *rows = 0;
    x->low = x->high = 0; /* no difference is always in sight */
    for (int i = 0; (c = figure_find(list, key, i)); i++) {
        interval v = figure_interval(c, "difference");
        if (isnan(v.value)) continue;
        ++*rows;
        x->low = fmin(x->low, fmin(v.value, v.low));
        x->high = fmax(x->high, fmax(v.value, v.high));
    }
    double edge = 0.06 * (x->high - x->low);
    x->low -= edge;
    x->high += edge;
    return *rows > 0 && x->high > x->low;
}

/* Cuts a name between UTF-8 characters. */
static int shown_bytes(const char *name) {
    int n = 0, characters = 0;
    for (; name[n]; n++) {
        bool begins = ((unsigned char)name[n] & 0xC0) != 0x80;
        if (begins && characters++ == SHOWN_NAME) break;
    }
    return n;
}

static void draw_row(drawing *g, const json_t *c, const scale *x, double y) {
    interval v = figure_interval(c, "difference");
    const char *name = figure_text(c, "structure");
    bool mean = strcmp(name, "mean") == 0;
    int series = figure_resolved(c) == 0 ? 3 : mean ? 0 : 1; /* grey: not resolved */
    int shown = shown_bytes(name);
    draw_text(g, INK_TEXT, ANCHOR_END, x->first - 12, y + 4, "%.*s%s", shown, name,
              name[shown] ? "\xE2\x80\xA6" : "");
    if (!isnan(v.low) && !isnan(v.high))
        draw_line(g, INK_SERIES + series, 2, false, scale_at(x, v.low), y, scale_at(x, v.high), y);
    draw_symbol(g, series, scale_at(x, v.value), y, "%s: %s", name, show_difference(v, 3).text);
    draw_text(g, INK_TEXT, ANCHOR_START, x->last + 12, y + 4, "%s", show_difference(v, 3).text);
}

static void forest(document *d, const json_t *m, int64_t labelled) {
    const json_t *list = json_object_get(m, "comparisons"), *c;
    figure_key key = wanted(m, labelled);
    scale x = {.first = 230, .last = DRAWING_WIDTH - 190};
    int rows = 0;
    if (labelled < 0 || !find_range(list, &key, &x, &rows)) return;
    double top = 14, bottom = top + ROW * rows, step = scale_step(&x, 6);
    drawing *g = document_drawing(
        d, "Differences in Dice, real + synthetic against real, for each structure", bottom + 48);
    for (double v = ceil(x.low / step) * step; v <= x.high + step * 1e-9; v += step) {
        draw_line(g, INK_GRID, 1, false, scale_at(&x, v), top, scale_at(&x, v), bottom);
        draw_text(g, INK_TEXT, ANCHOR_MIDDLE, scale_at(&x, v), bottom + 18, "%s",
                  show_signed(v, scale_digits(step)).text);
    }
    draw_line(g, INK_AXIS, 1.5, false, scale_at(&x, 0), top, scale_at(&x, 0), bottom);
    draw_text(g, INK_TEXT, ANCHOR_MIDDLE, (x.first + x.last) / 2, bottom + 40,
              "difference in Dice, right of 0: better with synthetic slices");
    double y = top + ROW / 2.0;
    for (int i = 0; (c = figure_find(list, &key, i)); i++) {
        if (isnan(figure_number(c, "difference"))) continue;
        draw_row(g, c, &x, y);
        y += ROW;
    }
    document_text(d, BLOCK_NOTE,
                  "%s. Bars: 95 %% intervals. Triangles: differences that are not resolved.",
                  show_count((double)labelled, "labelled patient", "labelled patients").text);
}

void chapter_structures(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "comparisons"), *c;
    figure_key key = wanted(m, -1);
    if (!figure_find(list, &key, 0)) return;
    document_text(d, BLOCK_CHAPTER, "Structures");
    forest(d, m, chapter_labelled(m));
    document_table(d, "Dice, real + synthetic against real",
                   "Structure|#Labelled|#Patients|#Difference|#p (Holm)|Resolved");
    for (int i = 0; (c = figure_find(list, &key, i)); i++) {
        static const char *const words[] = {"loss", "no", "gain"};
        interval v = figure_interval(c, "difference");
        table_text(d, "%s", figure_text(c, "structure"));
        table_number(d, figure_number(c, "labelled"), 0);
        table_number(d, figure_number(c, "n_patients"), 0);
        table_value(d, v.value, "%s", show_difference(v, 3).text);
        table_value(d, figure_number(c, "p_holm"), "%s", show_p(figure_number(c, "p_holm")).text);
        table_text(d, "%s", words[1 + figure_resolved(c)]);
    }
}
