/* Charts as lists of marks: building them, their axes, and their SVG. */
#include "pipeline/report/drawing.h"

#include "io/html.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

/* A new mark at the end; NULL if there is no memory. */
static mark *add(drawing *d, mark_kind kind) {
    if (d->count == d->capacity) {
        int64_t capacity = d->capacity > 0 ? 2 * d->capacity : 64;
        mark *more = reallocarray(d->marks, (size_t)capacity, sizeof *more);
        if (!more) {
            d->failed = true;
            return NULL;
        }
        d->marks = more;
        d->capacity = capacity;
    }
    d->marks[d->count] = (mark){.kind = kind};
    return &d->marks[d->count++];
}

static void set_text(drawing *d, mark *m, const char *format, va_list list) {
    if (vasprintf(&m->text, format, list) >= 0) return;
    m->text = NULL;
    d->failed = true;
}

void draw_line(drawing *d, int ink, double width, bool dashed, double x0, double y0, double x1,
               double y1) {
    mark *m = add(d, MARK_LINE);
    if (!m) return;
    *m = (mark){.kind = MARK_LINE,
                .ink = ink,
                .x0 = x0,
                .y0 = y0,
                .x1 = x1,
                .y1 = y1,
                .width = width,
                .dashed = dashed};
}

void draw_symbol(drawing *d, int series, double x, double y, const char *format, ...) {
    va_list list;
    mark *m = add(d, MARK_SYMBOL);
    if (!m) return;
    *m = (mark){.kind = MARK_SYMBOL,
                .ink = INK_SERIES + series,
                .x0 = x,
                .y0 = y,
                .symbol = series % SYMBOLS};
    va_start(list, format);
    set_text(d, m, format, list);
    va_end(list);
}

void draw_text(drawing *d, int ink, int anchor, double x, double y, const char *format, ...) {
    va_list list;
    mark *m = add(d, MARK_TEXT);
    if (!m) return;
    *m = (mark){.kind = MARK_TEXT, .ink = ink, .x0 = x, .y0 = y, .anchor = anchor};
    va_start(list, format);
    set_text(d, m, format, list);
    va_end(list);
}

void drawing_free(drawing *d) {
    for (int64_t i = 0; i < d->count; i++) free(d->marks[i].text);
    free(d->marks);
    *d = (drawing){0};
}

int symbol_corners(int symbol, double xy[4][2]) {
    static const double corners[SYMBOLS][4][2] = {
        [SYMBOL_DIAMOND] = {{0, -6}, {6, 0}, {0, 6}, {-6, 0}},
        [SYMBOL_SQUARE] = {{-4.5, -4.5}, {4.5, -4.5}, {4.5, 4.5}, {-4.5, 4.5}},
        [SYMBOL_TRIANGLE] = {{0, -5.5}, {5.5, 4.5}, {-5.5, 4.5}},
    };
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++) xy[i][k] = corners[symbol][i][k];
    return symbol == SYMBOL_CIRCLE ? 0 : symbol == SYMBOL_TRIANGLE ? 3 : 4;
}

/* ---- SVG ---- */

/* The class of an ink: report.css has its colours. */
static void put_class(FILE *f, const char *kind, int ink) {
    static const char *const names[] = {"text", "muted", "grid", "axis"};
    if (ink < INK_SERIES)
        fprintf(f, " class=\"%s %s\"", kind, names[ink]);
    else
        fprintf(f, " class=\"%s series%d\"", kind, (ink - INK_SERIES) % DRAWING_SERIES);
}

static void put_symbol(FILE *f, const mark *m) {
    double xy[4][2];
    int n = symbol_corners(m->symbol, xy);
    if (n == 0)
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"", m->x0, m->y0);
    else
        fputs("<path d=\"", f);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%.1f %.1f", i ? "L" : "M", m->x0 + xy[i][0], m->y0 + xy[i][1]);
    if (n > 0) fputs("z\"", f);
    put_class(f, "mark", m->ink);
    if (m->text && *m->text) {
        fputs("><title>", f);
        html_text(f, m->text);
        fprintf(f, "</title></%s>\n", n == 0 ? "circle" : "path");
    } else {
        fputs("/>\n", f);
    }
}

static void put_text(FILE *f, const mark *m) {
    static const char *const anchors[] = {"start", "middle", "end"};
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"", m->x0, m->y0, anchors[m->anchor]);
    put_class(f, "words", m->ink);
    fputs(">", f);
    html_text(f, m->text ? m->text : "");
    fputs("</text>\n", f);
}

void drawing_svg(FILE *f, const drawing *d) {
    fprintf(f, "<div class=\"chart\"><svg viewBox=\"0 0 %d %.0f\" role=\"img\"><title>",
            DRAWING_WIDTH, d->height);
    html_text(f, d->title);
    fputs("</title>\n", f);
    for (int64_t i = 0; i < d->count; i++) {
        const mark *m = &d->marks[i];
        if (m->kind == MARK_SYMBOL) put_symbol(f, m);
        if (m->kind == MARK_TEXT) put_text(f, m);
        if (m->kind != MARK_LINE) continue;
        fprintf(f, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke-width=\"%.1f\"%s",
                m->x0, m->y0, m->x1, m->y1, m->width, m->dashed ? " stroke-dasharray=\"5 4\"" : "");
        put_class(f, "stroke", m->ink);
        fputs("/>\n", f);
    }
    fputs("</svg></div>\n", f);
}

/* ---- axes ---- */

double scale_at(const scale *s, double value) {
    return s->first + (value - s->low) / (s->high - s->low) * (s->last - s->first);
}

double scale_step(const scale *s, int max) {
    double range = s->high - s->low, unit = pow(10, floor(log10(range / max)));
    double steps[] = {1, 2, 5};
    for (int i = 0; i < 3; i++)
        if (range / (steps[i] * unit) <= max) return steps[i] * unit;
    return 10 * unit;
}

int scale_digits(double step) {
    double digits = -floor(log10(step) + 1e-9);
    return digits > 0 ? (int)fmin(digits, 9) : 0;
}

void draw_value_axis(drawing *d, const scale *x, const scale *y) {
    double step = scale_step(y, 6);
    for (double v = ceil(y->low / step) * step; v <= y->high + step * 1e-9; v += step) {
        draw_line(d, INK_GRID, 1, false, x->first, scale_at(y, v), x->last, scale_at(y, v));
        draw_text(d, INK_TEXT, ANCHOR_END, x->first - 8, scale_at(y, v) + 4, "%.*f",
                  scale_digits(step), v);
    }
    draw_line(d, INK_AXIS, 1, false, x->first, y->first, x->last, y->first);
}
