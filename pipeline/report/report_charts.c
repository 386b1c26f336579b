/* The charts as SVG: loss by optimiser step, and Dice by structure. The colours are of Okabe & Ito
 * 2008, which colour-blind readers can distinguish; series also differ in shape, for grey prints.
 */
#include "pipeline/report/drawing.h"
#include "pipeline/report/report.h"

#include "io/html.h"

#include <math.h>
#include <string.h>

#define BLUE "#0072B2"
#define ORANGE "#D55E00"

enum { WIDTH = 820 };

/* The plot area in SVG units, and the range of values that it shows. */
typedef struct axes {
    double left, right, top, bottom;
    double x_low, x_high, y_low, y_high; /* in the loss chart y is log10(loss) */
} axes;

/* SVG coordinates of a value. */
static double at_x(const axes *a, double x) {
    return a->left + (x - a->x_low) / (a->x_high - a->x_low) * (a->right - a->left);
}

static double at_y(const axes *a, double y) {
    return a->bottom - (y - a->y_low) / (a->y_high - a->y_low) * (a->bottom - a->top);
}

static void begin_svg(FILE *f, double height, const char *title) {
    fprintf(f,
            "<div class=\"chart\"><svg viewBox=\"0 0 %d %.0f\" role=\"img\" "
            "aria-label=\"%s\">\n<title>%s</title>\n",
            WIDTH, height, title, title);
}

static void line(FILE *f, const char *class, double x0, double y0, double x1, double y1) {
    fprintf(f, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x0,
            y0, x1, y1);
}

static void x_tick(FILE *f, const axes *a, double x, int digits) {
    line(f, "grid", at_x(a, x), a->top, at_x(a, x), a->bottom);
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.*f</text>\n", at_x(a, x),
            a->bottom + 18, digits, x);
}

/* ---- loss ---- */

/* Extends the axes to the curve. */
static void extend_to_curve(const history_curve *c, axes *a) {
    for (int64_t i = 0; i < c->count; i++) {
        if (!isfinite(c->value[i]) || c->value[i] <= 0) continue;
        a->x_high = fmax(a->x_high, c->step[i]);
        a->y_low = fmin(a->y_low, log10(c->value[i]));
        a->y_high = fmax(a->y_high, log10(c->value[i]));
    }
}

/* Ticks at 1, 2 and 5 times powers of ten; at 1 to 9 times powers of ten if the range is short. */
static void loss_ticks(FILE *f, const axes *a) {
    bool all_digits = a->y_high - a->y_low < 0.8;
    for (int power = (int)floor(a->y_low); power <= (int)floor(a->y_high); power++)
        for (int digit = 1; digit <= 9; digit++) {
            double value = digit * pow(10, power), y = log10(value);
            if (y < a->y_low || y > a->y_high) continue;
            if (!all_digits && digit != 1 && digit != 2 && digit != 5) continue;
            line(f, "grid", a->left, at_y(a, y), a->right, at_y(a, y));
            fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", a->left - 8,
                    at_y(a, y) + 4, value);
        }
    double step =
        fmax(1, scale_step(&(scale){.high = a->x_high}, 8)); /* ticks at whole steps only */
    for (double x = 0; x <= a->x_high * (1 + 1e-9); x += step) x_tick(f, a, x, 0);
    line(f, "axis", a->left, a->bottom, a->right, a->bottom);
    line(f, "axis", a->left, a->top, a->left, a->bottom);
    fprintf(f,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">optimiser step</text>\n"
            "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\">loss, "
            "logarithmic</text>\n",
            (a->left + a->right) / 2, a->bottom + 40, (a->top + a->bottom) / 2);
}

/* A line through the means of groups of `group` neighbouring points; a group without values leaves
 * a gap. */
static void loss_line(FILE *f, const axes *a, const history_curve *c, int64_t group,
                      const char *class) {
    bool drawing = false;
    fprintf(f, "<path class=\"%s\" d=\"", class);
    for (int64_t i = 0; i < c->count; i += group) {
        double sum = 0, step = 0;
        int n = 0;
        for (int64_t k = i; k < i + group && k < c->count; k++) {
            if (!isfinite(c->value[k]) || c->value[k] <= 0) continue;
            sum += c->value[k];
            step += c->step[k];
            n++;
        }
        if (n > 0)
            fprintf(f, "%s%.1f %.1f", drawing ? "L" : "M", at_x(a, step / n),
                    at_y(a, log10(sum / n)));
        drawing = n > 0;
    }
    fputs("\"/>\n", f);
}

static void loss_dots(FILE *f, const axes *a, const history_curve *c) {
    for (int64_t i = 0; i < c->count; i++)
        if (isfinite(c->value[i]) && c->value[i] > 0)
            fprintf(f,
                    "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"" ORANGE "\"><title>step %.0f: "
                    "%.4g</title></circle>\n",
                    at_x(a, c->step[i]), at_y(a, log10(c->value[i])), c->step[i], c->value[i]);
}

static void loss_legend(FILE *f, const axes *a, bool validation) {
    double x = a->right - 250, y = a->top + 16;
    line(f, "train", x, y, x + 24, y);
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\">training</text>\n", x + 30, y + 4);
    if (!validation) return;
    line(f, "validation", x + 106, y, x + 130, y);
    fprintf(f,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"" ORANGE "\"/>\n"
            "<text x=\"%.1f\" y=\"%.1f\">validation</text>\n",
            x + 118, y, x + 136, y + 4);
}

void report_loss_chart(FILE *f, const history *h) {
    enum { POINTS_MAX = 300 };
    axes a = {.left = 70, .right = WIDTH - 14, .top = 10, .bottom = 270};
    a.y_low = INFINITY;
    a.y_high = -INFINITY;
    extend_to_curve(&h->train, &a);
    extend_to_curve(&h->validation, &a);
    if (!(a.y_high >= a.y_low) || !(a.x_high > 0)) {
        fputs("<p class=\"note\">No loss curve was kept with this run.</p>\n", f);
        return;
    }
    double edge = 0.05 * (a.y_high - a.y_low) + 0.02;
    a.y_low -= edge;
    a.y_high += 3 * edge; /* space for the legend */
    int64_t group = (h->train.count + POINTS_MAX - 1) / POINTS_MAX;
    begin_svg(f, 320, "Training and validation loss by optimiser step, logarithmic axis");
    loss_ticks(f, &a);
    loss_line(f, &a, &h->train, group > 0 ? group : 1, "train");
    loss_line(f, &a, &h->validation, 1, "validation");
    loss_dots(f, &a, &h->validation);
    loss_legend(f, &a, h->validation.count > 0);
    fputs("</svg></div>\n", f);
}

/* ---- Dice ---- */

/* One arm of a structure: a line for the range over the seeds, small circles for the seeds and a
 * large mark for the mean. */
static void dice_marks(FILE *f, const axes *a, const dice_row *row, int arm, double y) {
    const char *colour = arm == ARM_REAL ? BLUE : ORANGE;
    if (isnan(row->mean[arm])) return;
    if (row->seeds > 1)
        fprintf(f,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                "stroke-width=\"1.5\"/>\n",
                at_x(a, row->low[arm]), y, at_x(a, row->high[arm]), y, colour);
    for (size_t i = 0; row->seeds > 1 && i < json_array_size(row->by_seed[arm]); i++) {
        const json_t *value = json_array_get(row->by_seed[arm], i);
        if (json_is_number(value))
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"#fff\" stroke=\"%s\"/>\n",
                    at_x(a, json_number_value(value)), y, colour);
    }
    double x = at_x(a, row->mean[arm]);
    if (arm == ARM_REAL)
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n", x, y, colour);
    else
        fprintf(f, "<path d=\"M%.1f %.1fl6 6l-6 6l-6 -6z\" fill=\"%s\"/>\n", x, y - 6, colour);
}

/* The name of a structure, cut to SHOWN characters; the table below the chart has it in full. */
static void dice_name(FILE *f, const axes *a, const char *name, double y) {
    enum { SHOWN = 26 };
    char text[4 * (SHOWN + 2)];
    size_t n = 0, characters = 0;
    snprintf(text, sizeof text, "%s", name);
    /* Cut between UTF-8 characters only. */
    while (text[n] && (characters < SHOWN || ((unsigned char)text[n] & 0xC0) == 0x80)) {
        characters += ((unsigned char)text[n] & 0xC0) != 0x80;
        n++;
    }
    bool cut = text[n] != 0;
    text[n] = 0;
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", a->left - 12, y + 4);
    html_text(f, text);
    fprintf(f, "%s</text>\n", cut ? "\xE2\x80\xA6" : "");
}

static void dice_legend(FILE *f, const axes *a, bool seeds) {
    double y = a->top - 18;
    fprintf(f,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"" BLUE "\"/>\n"
            "<text x=\"%.1f\" y=\"%.1f\">real only</text>\n"
            "<path d=\"M%.1f %.1fl6 6l-6 6l-6 -6z\" fill=\"" ORANGE "\"/>\n"
            "<text x=\"%.1f\" y=\"%.1f\">real + synthetic</text>\n",
            a->left + 6, y, a->left + 16, y + 4, a->left + 106, y - 6, a->left + 118, y + 4);
    if (seeds)
        fprintf(f,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"#fff\" stroke=\"#555\"/>\n"
                "<text x=\"%.1f\" y=\"%.1f\">single seeds</text>\n",
                a->left + 246, y, a->left + 255, y + 4);
}

void report_dice_chart(FILE *f, const report *r) {
    enum { ROW = 34 };
    axes a = {.left = 210, .right = WIDTH - 24, .top = 40, .x_high = 1};
    dice_row row;
    int rows = 0;
    bool seeds = false;
    for (void *at = NULL; report_dice_next(r, &at, &row); rows++) seeds |= row.seeds > 1;
    if (rows == 0) return;
    a.bottom = a.top + ROW * rows;
    begin_svg(f, a.bottom + 48, "Dice of each structure, for both training sets");
    for (int i = 0; i <= 10; i++) x_tick(f, &a, i / 10.0, 1);
    line(f, "axis", a.left, a.bottom, a.right, a.bottom);
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">Dice (1: full overlap)</text>\n",
            (a.left + a.right) / 2, a.bottom + 40);
    dice_legend(f, &a, seeds);
    double y = a.top + ROW / 2.0;
    for (void *at = NULL; report_dice_next(r, &at, &row); y += ROW) {
        dice_name(f, &a, row.name, y);
        dice_marks(f, &a, &row, ARM_REAL, y - 7);
        dice_marks(f, &a, &row, ARM_REAL_PLUS_SYNTHETIC, y + 7);
    }
    fputs("</svg></div>\n", f);
}
