/* Forest plots. */
#include "pipeline/report/forest.h"

#include <math.h>

enum { ROW = 26 };

static bool find_range(const forest_row *rows, int64_t n, scale *x, int64_t *shown) {
    *shown = 0;
    x->low = x->high = 0; /* no difference is always in sight */
    for (int64_t i = 0; i < n; i++) {
        interval v = rows[i].difference;
        if (isnan(v.value)) continue;
        ++*shown;
        x->low = fmin(x->low, fmin(v.value, v.low));
        x->high = fmax(x->high, fmax(v.value, v.high));
    }
    double edge = 0.06 * (x->high - x->low);
    x->low -= edge;
    x->high += edge;
    return *shown > 0 && x->high > x->low;
}

/* Bytes of the first FOREST_NAME characters (UTF-8). */
static int shown_bytes(const char *name) {
    int n = 0, characters = 0;
    for (; name[n]; n++) {
        bool begins = ((unsigned char)name[n] & 0xC0) != 0x80;
        if (begins && characters++ == FOREST_NAME) break;
    }
    return n;
}

static void draw_row(drawing *g, const forest_row *row, const scale *x, double y) {
    interval v = row->difference;
    int series = row->resolved == 0 ? 3 : 1, shown = shown_bytes(row->name);
    draw_text(g, INK_TEXT, ANCHOR_END, x->first - 12, y + 4, "%.*s%s%s", shown, row->name,
              row->name[shown] ? "\xE2\x80\xA6" : "", row->detail);
    if (!isnan(v.low) && !isnan(v.high))
        draw_line(g, INK_SERIES + series, 2, false, scale_at(x, v.low), y, scale_at(x, v.high), y);
    draw_symbol(g, series, scale_at(x, v.value), y, "%s%s: %s", row->name, row->detail,
                show_difference(v, 3).text);
    draw_text(g, INK_TEXT, ANCHOR_START, x->last + 12, y + 4, "%s", show_difference(v, 3).text);
}

void forest_chart(document *d, const forest_row *rows, int64_t n, const char *title,
                  const char *axis) {
    scale x = {.first = 250, .last = DRAWING_WIDTH - 190};
    int64_t shown = 0;
    if (!find_range(rows, n, &x, &shown)) return;
    double top = 14, bottom = top + ROW * (double)shown, step = scale_step(&x, 6);
    drawing *g = document_drawing(d, title, bottom + 48);
    for (double v = ceil(x.low / step) * step; v <= x.high + step * 1e-9; v += step) {
        draw_line(g, INK_GRID, 1, false, scale_at(&x, v), top, scale_at(&x, v), bottom);
        draw_text(g, INK_TEXT, ANCHOR_MIDDLE, scale_at(&x, v), bottom + 18, "%s",
                  show_signed(v, scale_digits(step)).text);
    }
    draw_line(g, INK_AXIS, 1.5, false, scale_at(&x, 0), top, scale_at(&x, 0), bottom);
    draw_text(g, INK_TEXT, ANCHOR_MIDDLE, (x.first + x.last) / 2, bottom + 40, "%s", axis);
    double y = top + ROW / 2.0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(rows[i].difference.value)) continue;
        draw_row(g, &rows[i], &x, y);
        y += ROW;
    }
}
