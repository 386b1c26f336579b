/* Lays a document out on pages: text in lines of whole words, tables with columns as wide as their
 * words need, charts and pictures scaled to the page. A head is repeated on each page of a table.
 */
#include "pipeline/report/document_pdf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double LEFT = 48, TOP = 52, BOTTOM = PDF_HEIGHT - 48, WIDE = PDF_WIDTH - 2 * 48;

enum { COLUMNS_MAX = 16, LINE_BYTES = 512 };

/* The light colours of report.css. */
static const double inks[][3] = {
    {0.106, 0.106, 0.106}, {0.333, 0.333, 0.333}, {0.886, 0.886, 0.886}, {0.106, 0.106, 0.106}};
static const double series[DRAWING_SERIES][3] = {
    {0, 0.447, 0.698},   {0.835, 0.369, 0}, {0, 0.620, 0.451},     {0.467, 0.467, 0.467},
    {0.8, 0.475, 0.655}, {0.71, 0.537, 0},  {0.337, 0.706, 0.914}, {0.533, 0.133, 0.333}};

static const double *ink_rgb(int ink) {
    return ink < INK_SERIES ? inks[ink] : series[(ink - INK_SERIES) % DRAWING_SERIES];
}

pdf_cursor pdf_cursor_begin(pdf *to) { return (pdf_cursor){to, TOP}; }

/* Begins a new page unless `height` fits on this one. */
static void need(pdf_cursor *at, double height) {
    if (at->y + height <= BOTTOM || at->y <= TOP) return;
    pdf_next_page(at->to);
    at->y = TOP;
}

/* Bytes of the UTF-8 character at `text`; of what is no UTF-8, 1. */
static size_t character(const char *text) {
    size_t n = 1;
    while (n < 4 && ((unsigned char)text[n] & 0xC0) == 0x80) n++;
    return n;
}

/* Takes the words of the next line from *text, no wider than `width`, into `line`. A word that is
 * wider is cut. Returns false at the end. */
static bool next_line(pdf *p, const char **text, double width, char line[LINE_BYTES]) {
    const char *at = *text + strspn(*text, " \n");
    size_t fits = 0;
    bool bounds = false; /* within "[0.1, 0.2]", which stays together */
    if (!*at) return false;
    for (size_t n = 0; at[n] && n + 5 < LINE_BYTES;) {
        bounds = at[n] == '[' || (bounds && at[n] != ']');
        n += character(at + n);
        bool ends = at[n] == 0 || (!bounds && (at[n] == ' ' || at[n] == '\n'));
        if (!ends && fits > 0) continue;
        snprintf(line, LINE_BYTES, "%.*s", (int)n, at);
        if (pdf_text_width(p, line) > width) break;
        if (ends) fits = n;
    }
    for (size_t n = 0; fits == 0 && at[n] && n + 5 < LINE_BYTES;) { /* cut a long word */
        n += character(at + n);
        snprintf(line, LINE_BYTES, "%.*s", (int)n, at);
        if (pdf_text_width(p, line) > width && n > character(at)) {
            fits = n;
            while (((unsigned char)at[--fits] & 0xC0) == 0x80) {
            }
        }
    }
    if (fits == 0) fits = strlen(line) < strlen(at) ? strlen(line) : strlen(at);
    snprintf(line, LINE_BYTES, "%.*s", (int)fits, at);
    *text = at + fits;
    return true;
}

/* Lines that a text needs. */
static int count_lines(pdf *p, const char *text, double width) {
    char line[LINE_BYTES];
    int n = 0;
    while (next_line(p, &text, width, line)) n++;
    return n;
}

/* Height of what must be on the page of a heading: the chart or pictures that follow it. */
static double height_after(const document *d, int64_t i) {
    if (i + 1 >= d->count) return 0;
    const block *next = &d->blocks[i + 1];
    if (next->kind == BLOCK_DRAWING) return next->drawing.height * WIDE / DRAWING_WIDTH + 12;
    return next->kind == BLOCK_PICTURES ? WIDE / 4 : 0;
}

static void put_paragraph(pdf_cursor *at, const char *text, double size, bool bold, int ink,
                          double before, double after) {
    char line[LINE_BYTES];
    pdf_font(at->to, size, bold);
    at->y += at->y > TOP ? before : 0;
    need(at, (bold ? 5 : 1.4) * size); /* a heading is not the last line of a page */
    while (next_line(at->to, &text, WIDE, line)) {
        need(at, 1.4 * size);
        pdf_font(at->to, size, bold);
        pdf_colour(at->to, ink_rgb(ink));
        at->y += 1.4 * size;
        pdf_text(at->to, LEFT, at->y - 0.35 * size, line);
    }
    at->y += after;
}

/* ---- tables ---- */

static const double CELL_SIZE = 7.2, CELL_LINE = 9.4, CELL_GAP = 6;

typedef struct layout {
    double x[COLUMNS_MAX + 1]; /* left borders, and the right one of the last column */
    int columns;
} layout;

static void head_text(const block *b, int k, char out[128], bool *numbers) {
    const char *words;
    int n = table_column(b, k, &words, numbers);
    snprintf(out, 128, "%.*s", n, words);
}

/* Columns get what their widest cell needs; if the page is too narrow, the wide ones give. */
static layout lay_out(pdf *p, const block *b) {
    layout l = {.columns = b->column_count < COLUMNS_MAX ? b->column_count : COLUMNS_MAX};
    double wanted[COLUMNS_MAX], sum = 0, cap = WIDE;
    pdf_font(p, CELL_SIZE, true);
    for (int k = 0; k < l.columns; k++) {
        char head[128];
        bool numbers;
        head_text(b, k, head, &numbers);
        wanted[k] = fmin(pdf_text_width(p, head), 60) + CELL_GAP;
    }
    pdf_font(p, CELL_SIZE, false);
    for (int64_t i = 0; i < b->count; i++) {
        int k = (int)(i % b->column_count);
        if (k < l.columns && b->cells[i].text)
            wanted[k] = fmax(wanted[k], pdf_text_width(p, b->cells[i].text) + CELL_GAP);
    }
    do { /* lower the cap on the widths until they fit */
        sum = 0;
        for (int k = 0; k < l.columns; k++) sum += fmin(wanted[k], cap);
        cap *= 0.97;
    } while (sum > WIDE);
    cap /= 0.97;
    l.x[0] = LEFT;
    for (int k = 0; k < l.columns; k++)
        l.x[k + 1] = l.x[k] + fmin(wanted[k], cap) + (WIDE - sum) / l.columns;
    return l;
}

/* The lines of one cell from y downwards. */
static void put_cell(pdf *p, const layout *l, int k, bool numbers, const char *text, double y) {
    char line[LINE_BYTES];
    double width = l->x[k + 1] - l->x[k] - CELL_GAP;
    while (next_line(p, &text, width + 0.01, line)) {
        y += CELL_LINE;
        pdf_text(p, numbers ? l->x[k + 1] - CELL_GAP - pdf_text_width(p, line) : l->x[k], y - 1.2,
                 line);
    }
}

/* Row -1 is the head. */
static const char *cell_text(const block *b, int64_t row, int k, char head[128], bool *numbers) {
    head_text(b, k, head, numbers);
    if (row < 0) return head;
    int64_t i = row * b->column_count + k;
    return i < b->count && b->cells[i].text ? b->cells[i].text : "";
}

static double row_height(pdf *p, const block *b, const layout *l, int64_t row) {
    char head[128];
    bool numbers;
    int lines = 1;
    pdf_font(p, CELL_SIZE, row < 0);
    for (int k = 0; k < l->columns; k++) {
        int n = count_lines(p, cell_text(b, row, k, head, &numbers),
                            l->x[k + 1] - l->x[k] - CELL_GAP + 0.01);
        lines = n > lines ? n : lines;
    }
    return lines * CELL_LINE + 3;
}

static void put_row(pdf_cursor *at, const block *b, const layout *l, int64_t row) {
    char head[128];
    bool numbers;
    double height = row_height(at->to, b, l, row);
    pdf_colour(at->to, inks[INK_TEXT]);
    for (int k = 0; k < l->columns; k++) {
        const char *text = cell_text(b, row, k, head, &numbers);
        put_cell(at->to, l, k, numbers, text, at->y);
    }
    at->y += height;
    pdf_colour(at->to, inks[row < 0 ? INK_AXIS : INK_GRID]);
    pdf_line(at->to, 0.5, false, LEFT, at->y, LEFT + WIDE, at->y);
}

static void put_table(pdf_cursor *at, const block *b) {
    int64_t rows = b->count / b->column_count;
    layout l = lay_out(at->to, b);
    if (b->text && *b->text) put_paragraph(at, b->text, 8, false, INK_MUTED, 4, 2);
    need(at, row_height(at->to, b, &l, -1) + 3 * CELL_LINE);
    put_row(at, b, &l, -1);
    for (int64_t row = 0; row < rows; row++) {
        double before = at->y;
        need(at, row_height(at->to, b, &l, row));
        if (at->y < before) put_row(at, b, &l, -1);
        put_row(at, b, &l, row);
    }
    at->y += 8;
}

/* ---- charts and pictures ---- */

static void put_mark(pdf *p, const mark *m, double top, double scale) {
    double x = LEFT + m->x0 * scale, y = top + m->y0 * scale, xy[4][2];
    pdf_colour(p, ink_rgb(m->ink));
    if (m->kind == MARK_LINE)
        pdf_line(p, m->width * scale, m->dashed, x, y, LEFT + m->x1 * scale, top + m->y1 * scale);
    if (m->kind == MARK_TEXT && m->text) {
        double width = pdf_text_width(p, m->text);
        pdf_text(p,
                 x - (m->anchor == ANCHOR_END      ? width
                      : m->anchor == ANCHOR_MIDDLE ? width / 2
                                                   : 0),
                 y, m->text);
    }
    if (m->kind != MARK_SYMBOL) return;
    int n = symbol_corners(m->symbol, xy);
    for (int i = 0; i < n; i++) {
        xy[i][0] = x + xy[i][0] * scale;
        xy[i][1] = y + xy[i][1] * scale;
    }
    if (n > 0)
        pdf_polygon(p, (const double(*)[2])xy, n);
    else
        pdf_circle(p, x, y, 5 * scale);
}

static void put_drawing(pdf_cursor *at, const drawing *d) {
    double scale = WIDE / DRAWING_WIDTH;
    need(at, d->height * scale + 6);
    pdf_font(at->to, 13 * scale, false);
    for (int64_t i = 0; i < d->count; i++) put_mark(at->to, &d->marks[i], at->y + 4, scale);
    at->y += d->height * scale + 6;
}

static void put_pictures(pdf_cursor *at, const block *b) {
    enum { ACROSS = 6 };
    const double gap = 6, side = (WIDE - (ACROSS - 1) * gap) / ACROSS, size = 6;
    for (int64_t i = 0; i < b->count; i++) {
        const picture *p = &b->pictures[i];
        const char *caption = p->caption ? p->caption : "";
        double x = LEFT + (double)(i % ACROSS) * (side + gap), y;
        char line[LINE_BYTES];
        double height = side * (double)p->raster.height / (double)p->raster.width + 4 * 1.3 * size;
        if (i % ACROSS == 0) need(at, height + 6);
        y = at->y + 4;
        pdf_picture(at->to, p->raster.rgb, p->raster.height, p->raster.width, x, y, side);
        y = at->y + height - 4 * 1.3 * size + 6;
        pdf_font(at->to, size, false);
        pdf_colour(at->to, inks[INK_MUTED]);
        for (int n = 0; n < 4 && next_line(at->to, &caption, side, line); n++)
            pdf_text(at->to, x, y += 1.3 * size, line);
        if (i % ACROSS == ACROSS - 1 || i == b->count - 1) at->y += height + 8;
    }
    put_paragraph(at, b->text ? b->text : "", 8, false, INK_MUTED, 0, 6);
}

void document_pdf(pdf_cursor *at, const document *d) {
    for (int64_t i = 0; i < d->count; i++) {
        const block *b = &d->blocks[i];
        const char *text = b->text ? b->text : "";
        switch (b->kind) {
        case BLOCK_CHAPTER:
            need(at, 40 + height_after(d, i));
            put_paragraph(at, text, 13, true, INK_TEXT, 14, 3);
            break;
        case BLOCK_HEADING:
            need(at, 30 + height_after(d, i));
            put_paragraph(at, text, 10.5, true, INK_TEXT, 8, 2);
            break;
        case BLOCK_LEAD:
            put_paragraph(at, text, 11.5, false, INK_TEXT, 6, 6);
            break;
        case BLOCK_TEXT:
            put_paragraph(at, text, 9.5, false, INK_TEXT, 2, 4);
            break;
        case BLOCK_NOTE:
            put_paragraph(at, text, 8, false, INK_MUTED, 0, 4);
            break;
        case BLOCK_TABLE:
            put_table(at, b);
            break;
        case BLOCK_DRAWING:
            put_drawing(at, &b->drawing);
            break;
        case BLOCK_PICTURES:
            put_pictures(at, b);
            break;
        }
    }
}
