/* The picture of the verdict: mean Dice against the number of labelled patients, with and without
 * synthetic slices, each value with its 95 % interval. The numbers of patients are equally spaced.
 */
#include "pipeline/report/chapters.h"

#include <math.h>
#include <string.h>

/* The arms that are drawn. Without copies, more slices alone could explain a gain. */
static const struct {
    const char *arm, *name;
} shown[] = {{ARM_WITHOUT, "real"},
             {ARM_WITH, "real + synthetic"},
             {"real+copies", "real + copies of real"}};
enum { SHOWN = sizeof shown / sizeof *shown };

static interval value_at(const json_t *m, int64_t labelled, int arm) {
    figure_key key = {.labelled = labelled,
                      .arm = shown[arm].arm,
                      .test = chapter_test(m),
                      .structure = "mean",
                      .metric = "dice"};
    return figure_interval(figure_find(json_object_get(m, "summary"), &key, 0), "value");
}

static int64_t labelled_at(const json_t *list, size_t i) {
    return json_integer_value(json_array_get(list, i));
}

/* The range of all values and intervals; false if there is none. */
static bool find_range(const json_t *m, const json_t *list, scale *y) {
    y->low = INFINITY;
    y->high = -INFINITY;
    for (size_t i = 0; i < json_array_size(list); i++)
        for (int a = 0; a < SHOWN; a++) {
            interval v = value_at(m, labelled_at(list, i), a);
            y->low = fmin(y->low, fmin(v.value, v.low));
            y->high = fmax(y->high, fmax(v.value, v.high));
        }
    if (!(y->high >= y->low)) return false;
    double edge = 0.08 * (y->high - y->low) + 0.005;
    y->low = fmax(0, y->low - edge);
    y->high = fmin(1, y->high + edge);
    return y->high > y->low;
}

static void draw_axes(drawing *g, const scale *x, const scale *y, const json_t *list) {
    draw_value_axis(g, x, y);
    for (size_t i = 0; i < json_array_size(list); i++)
        draw_text(g, INK_TEXT, ANCHOR_MIDDLE, scale_at(x, (double)i), y->first + 20, "%s",
                  show((double)labelled_at(list, i), 0).text);
    draw_text(g, INK_TEXT, ANCHOR_MIDDLE, (x->first + x->last) / 2, y->first + 42,
              "labelled patients");
    draw_text(g, INK_MUTED, ANCHOR_START, 4, 16, "mean Dice");
}

/* Returns whether the arm has any value. */
static bool draw_arm(drawing *g, const json_t *m, const json_t *list, int a, const scale *x,
                     const scale *y) {
    double last_x = NAN, last_y = NAN;
    bool any = false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        interval v = value_at(m, labelled_at(list, i), a);
        double at = scale_at(x, (double)i) + 9 * (a - 1); /* beside each other */
        if (isnan(v.value)) {
            last_x = NAN;
            continue;
        }
        if (!isnan(v.low) && !isnan(v.high))
            draw_line(g, INK_SERIES + chapter_series(shown[a].arm), 2, false, at,
                      scale_at(y, v.low), at, scale_at(y, v.high));
        if (!isnan(last_x))
            draw_line(g, INK_SERIES + chapter_series(shown[a].arm), 1.5, a > 1, last_x, last_y, at,
                      scale_at(y, v.value));
        last_x = at;
        last_y = scale_at(y, v.value);
        any = true;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        interval v = value_at(m, labelled_at(list, i), a);
        if (isnan(v.value)) continue;
        draw_symbol(g, chapter_series(shown[a].arm), scale_at(x, (double)i) + 9 * (a - 1),
                    scale_at(y, v.value), "%s, %s: %s", shown[a].name,
                    show_count((double)labelled_at(list, i), "patient", "patients").text,
                    show_interval(v, 3).text);
    }
    return any;
}

void verdict_picture(document *d, const json_t *m) {
    const json_t *list = figure_at(m, "protocol.labelled");
    double count = (double)json_array_size(list);
    scale x = {.low = -0.5, .high = count - 0.5, .first = 70, .last = DRAWING_WIDTH - 14};
    scale y = {.first = 280, .last = 30};
    if (count < 1 || !find_range(m, list, &y)) return;
    drawing *g = document_drawing(
        d, "Mean Dice by number of labelled patients, with and without synthetic slices", 334);
    draw_axes(g, &x, &y, list);
    double at = 150;
    for (int a = 0; a < SHOWN; a++) {
        if (!draw_arm(g, m, list, a, &x, &y)) continue;
        draw_symbol(g, chapter_series(shown[a].arm), at, 12, "%s", shown[a].name);
        draw_text(g, INK_TEXT, ANCHOR_START, at + 12, 16, "%s", shown[a].name);
        at += 40 + 8 * (double)strlen(shown[a].name);
    }
    document_text(d, BLOCK_NOTE,
                  "Bars: 95 %% intervals over patients. Each value is a mean over structures, sets "
                  "of labelled patients and seeds.");
}
