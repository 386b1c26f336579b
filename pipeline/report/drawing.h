/* A chart as a list of marks, which is written as SVG (drawing.c) or into a PDF (document_pdf.c).
 *
 * Coordinates are in units of a page DRAWING_WIDTH wide, y downwards. Colours are named by what
 * they mean, so that the page can choose them for a light, a dark and a printed one. Series differ
 * in the shape of their symbols, too, for grey prints.
 */
#ifndef CTAUG_PIPELINE_REPORT_DRAWING_H
#define CTAUG_PIPELINE_REPORT_DRAWING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { DRAWING_WIDTH = 820, DRAWING_SERIES = 8 };

/* INK_SERIES + k is the colour of series k % DRAWING_SERIES. */
typedef enum ink { INK_TEXT, INK_MUTED, INK_GRID, INK_AXIS, INK_SERIES } ink;

typedef enum mark_kind { MARK_LINE, MARK_SYMBOL, MARK_TEXT } mark_kind;
typedef enum anchor { ANCHOR_START, ANCHOR_MIDDLE, ANCHOR_END } anchor;
/* Symbol k % SYMBOLS belongs to series k. */
typedef enum symbol {
    SYMBOL_CIRCLE,
    SYMBOL_DIAMOND,
    SYMBOL_SQUARE,
    SYMBOL_TRIANGLE,
    SYMBOLS
} symbol;

typedef struct mark {
    mark_kind kind;
    int ink;
    double x0, y0, x1, y1; /* a line has two ends, the others x0, y0 */
    double width;          /* of a line */
    bool dashed;
    int symbol, anchor;
    char *text; /* of a text; of a symbol: what a reader learns who points at it, or NULL; owned */
} mark;

typedef struct drawing {
    double height;
    const char *title; /* static text */
    mark *marks;
    int64_t count, capacity;
    bool failed; /* out of memory: the drawing is incomplete */
} drawing;

/* These append a mark. A failure is kept in d->failed. Texts are printf-style. Local. */
void draw_line(drawing *d, int ink, double width, bool dashed, double x0, double y0, double x1,
               double y1);
void draw_symbol(drawing *d, int series, double x, double y, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void draw_text(drawing *d, int ink, int anchor, double x, double y, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void drawing_free(drawing *d);

/* The corners of a symbol about (0, 0): n of them, clockwise; 0 for a circle. Local. */
int symbol_corners(int symbol, double xy[4][2]);

/* Writes it as an <svg>. Errors stay in f. Local. */
void drawing_svg(FILE *f, const drawing *d);

/* ---- axes ---- */

/* A range of values on a range of the page; low < high. */
typedef struct scale {
    double low, high;   /* values */
    double first, last; /* units of the page */
} scale;

/* The place of a value. Local. */
double scale_at(const scale *s, double value);
/* The smallest of 1, 2 and 5 times powers of ten that divides the range of values into at most
 * `max` steps. Local. */
double scale_step(const scale *s, int max);
/* Draws lines of the grid with their values along y, and the line of x below. Local. */
void draw_value_axis(drawing *d, const scale *x, const scale *y);
/* Digits behind the point that multiples of a step need. Local. */
int scale_digits(double step);

#endif
