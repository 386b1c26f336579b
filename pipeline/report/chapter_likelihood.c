/* The chapter on likelihood: bits per pixel of held-out real slices under the diffusion model, the
 * terms of the bound, and the terms by time step as a curve. */
#include "pipeline/report/chapters.h"

#include <math.h>

enum { CURVES = 5 }; /* at most, in one chart */

static interval term(const json_t *e, const char *name) {
    return figure_interval(json_object_get(json_object_get(e, "terms"), name), "value");
}

static void likelihood_row(document *d, const json_t *e) {
    table_number(d, figure_number(e, "labelled"), 0);
    table_number(d, figure_number(e, "set"), 0);
    table_text(d, "%s", figure_text(e, "variance"));
    table_number(d, figure_number(e, "n_patients"), 0);
    table_number(d, figure_number(e, "n_slices"), 0);
    table_interval(d, figure_interval(e, "value"), 4);
    table_interval(d, term(e, "decoder"), 4);
    table_interval(d, term(e, "steps"), 4);
    table_interval(d, term(e, "prior"), 4);
}

/* log10 of the middle of the times of a point; t = 1 is the left end of the axis. */
static double place_of(const json_t *point) {
    return log10((figure_number(point, "from") + figure_number(point, "to")) / 2);
}

/* Extends the axes to the entry: x to its last time, y to its positive terms. */
static void extend(const json_t *e, scale *x, scale *y) {
    const json_t *curve = json_object_get(e, "curve");
    const double first = term(e, "decoder").value;
    for (size_t i = 0; i < json_array_size(curve); i++) {
        const json_t *point = json_array_get(curve, i);
        const double value = figure_number(point, "value");
        x->high = fmax(x->high, log10(figure_number(point, "to")));
        if (!(value > 0)) continue;
        y->low = fmin(y->low, log10(value));
        y->high = fmax(y->high, log10(value));
    }
    if (first > 0) y->high = fmax(y->high, log10(first));
}

/* Lines and values at powers of ten, on both axes. */
static void draw_axes(drawing *g, const scale *x, const scale *y) {
    for (double power = ceil(y->low); power <= y->high; power++) {
        draw_line(g, INK_GRID, 1, false, x->first, scale_at(y, power), x->last, scale_at(y, power));
        draw_text(g, INK_TEXT, ANCHOR_END, x->first - 8, scale_at(y, power) + 4, "%g",
                  pow(10, power));
    }
    for (double power = 0; power <= x->high; power++) {
        draw_line(g, INK_GRID, 1, false, scale_at(x, power), y->first, scale_at(x, power), y->last);
        draw_text(g, INK_TEXT, ANCHOR_MIDDLE, scale_at(x, power), y->first + 20, "%g",
                  pow(10, power));
    }
    draw_line(g, INK_AXIS, 1, false, x->first, y->first, x->last, y->first);
    draw_text(g, INK_TEXT, ANCHOR_MIDDLE, (x->first + x->last) / 2, y->first + 42,
              "time step t, logarithmic");
    draw_text(g, INK_MUTED, ANCHOR_START, 4, 16, "bits per pixel of the step, logarithmic");
}

static void draw_point(drawing *g, int series, double at, const scale *y, interval v,
                       const json_t *point) {
    if (v.low > 0 && isfinite(v.high))
        draw_line(g, INK_SERIES + series, 2, false, at, scale_at(y, fmax(y->low, log10(v.low))), at,
                  scale_at(y, fmin(y->high, log10(v.high))));
    if (point)
        draw_symbol(g, series, at, scale_at(y, log10(v.value)), "t %s to %s: %s bits",
                    show(figure_number(point, "from"), 0).text,
                    show(figure_number(point, "to"), 0).text, show_interval(v, 6).text);
    else
        draw_symbol(g, series, at, scale_at(y, log10(v.value)), "L_0: %s bits",
                    show_interval(v, 4).text);
}

static void draw_entry(drawing *g, int series, const json_t *e, const scale *x, const scale *y) {
    const json_t *curve = json_object_get(e, "curve");
    const interval first = term(e, "decoder");
    double last_x = NAN, last_y = NAN;
    if (first.value > 0) draw_point(g, series, scale_at(x, 0), y, first, NULL);
    for (size_t i = 0; i < json_array_size(curve); i++) {
        const json_t *point = json_array_get(curve, i);
        const interval v = figure_interval(point, "value");
        if (!(v.value > 0)) continue;
        const double at = scale_at(x, place_of(point)), up = scale_at(y, log10(v.value));
        if (!isnan(last_x)) draw_line(g, INK_SERIES + series, 1.5, false, last_x, last_y, at, up);
        draw_point(g, series, at, y, v, point);
        last_x = at;
        last_y = up;
    }
}

/* Entry `nth` of those that are drawn: the first of each number of labelled patients; NULL: there
 * are no more. Borrowed. */
static const json_t *drawn_entry(const json_t *list, int nth) {
    double last = NAN;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        const double labelled = figure_number(e, "labelled");
        if (i > 0 && labelled == last) continue;
        last = labelled;
        if (nth-- == 0) return e;
    }
    return NULL;
}

static void draw_curve(document *d, const json_t *list) {
    const json_t *e;
    scale x = {.high = 0.1, .first = 90, .last = DRAWING_WIDTH - 14};
    scale y = {.low = INFINITY, .high = -INFINITY, .first = 280, .last = 30};
    for (int k = 0; k < CURVES && (e = drawn_entry(list, k)) != NULL; k++) extend(e, &x, &y);
    if (!isfinite(y.low) || !isfinite(y.high) || !isfinite(x.high)) return;
    y.low -= 0.2;
    y.high += 0.2;
    drawing *g = document_drawing(d, "Bits per pixel by time step", 334);
    draw_axes(g, &x, &y);
    for (int k = 0; k < CURVES && (e = drawn_entry(list, k)) != NULL; k++) {
        const double at = 340 + 96 * k;
        draw_entry(g, k, e, &x, &y);
        draw_symbol(g, k, at, 12, "%s labelled", show(figure_number(e, "labelled"), 0).text);
        draw_text(g, INK_TEXT, ANCHOR_START, at + 12, 16, "%s labelled",
                  show(figure_number(e, "labelled"), 0).text);
    }
}

void chapter_likelihood(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "likelihood");
    if (json_array_size(list) == 0) return;
    document_text(d, BLOCK_CHAPTER, "Likelihood");
    document_text(
        d, BLOCK_TEXT,
        "How many bits a pixel of a held-out real slice costs at most, if the slice, "
        "rounded to whole HU within the window, is coded with the diffusion model and its "
        "own conditions are known; fewer are better. It is the variational bound, of "
        "which L_0 codes the slice from its least noised form, L_1 to L_(T-1) code each "
        "step of the noise, and L_T the noise itself.");
    document_table(d, "Bits per pixel; lower is better",
                   "#Labelled|#Set|Variance|#Patients|#Slices|#Total|#L_0|#L_1 to L_(T-1)|#L_T");
    for (size_t i = 0; i < json_array_size(list); i++) likelihood_row(d, json_array_get(list, i));
    draw_curve(d, list);
    document_text(d, BLOCK_NOTE,
                  "Values of another window, size or set of conditions cannot be compared. "
                  "Intervals: 95 %%, over patients. A curve has L_0 at t = 1 and the mean L_(t-1) "
                  "of groups of time steps behind it, for the first set of each number of labelled "
                  "patients.");
}
