/* Pages of a PDF in memory: text, lines, shapes and pictures, drawn with Cairo.
 *
 * Pages are A4, coordinates in points (1/72 inch) from the upper left corner. Failures stay in the
 * document until pdf_finish() returns them. The bytes follow from what is drawn; only the fonts are
 * those of the machine. All functions are Local.
 */
#ifndef CTAUG_IO_PDF_H
#define CTAUG_IO_PDF_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { PDF_WIDTH = 595, PDF_HEIGHT = 842 };

typedef struct pdf pdf;

/* A document with one page. `created` is an ISO 8601 time, which becomes the date of the document;
 * anything else becomes the beginning of 1970. pdf_finish() or pdf_free() frees *out. */
status pdf_create(const char *title, const char *created, pdf **out);
/* *bytes (free()) = the file; frees p in any case. */
status pdf_finish(pdf *p, uint8_t **bytes, int64_t *n);
void pdf_free(pdf *p);

void pdf_next_page(pdf *p);
void pdf_colour(pdf *p, const double rgb[3]); /* 0..1, for what follows */
void pdf_font(pdf *p, double size, bool bold);

/* Text is UTF-8; what is not, and control characters, are shown as escapes. */
double pdf_text_width(pdf *p, const char *text);
void pdf_text(pdf *p, double x, double y, const char *text); /* y: of the base line */

void pdf_line(pdf *p, double width, bool dashed, double x0, double y0, double x1, double y1);
/* Filled. */
void pdf_polygon(pdf *p, const double (*xy)[2], int n);
void pdf_circle(pdf *p, double x, double y, double radius);
/* 8-bit RGB (height x width x 3), `shown` points wide, its pixels visible. */
void pdf_picture(pdf *p, const uint8_t *rgb, int64_t height, int64_t width, double x, double y,
                 double shown);

#endif
