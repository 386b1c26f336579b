/* The content of a report in reading order: headings, sentences, tables, charts and pictures. It is
 * written as HTML (document_html.c) and as PDF (document_pdf.c), which therefore say the same.
 *
 * All text is plain UTF-8; the writers escape it. Functions that append keep a failure (out of
 * memory) in d->failed, which document_status() turns into a status at the end. All are Local.
 */
#ifndef CTAUG_PIPELINE_REPORT_DOCUMENT_H
#define CTAUG_PIPELINE_REPORT_DOCUMENT_H

#include "io/image.h"
#include "io/status.h"
#include "pipeline/report/drawing.h"
#include "pipeline/report/figures.h"

typedef enum block_kind {
    BLOCK_CHAPTER,
    BLOCK_HEADING, /* within a chapter */
    BLOCK_LEAD,    /* the verdict */
    BLOCK_TEXT,
    BLOCK_NOTE,
    BLOCK_TABLE,
    BLOCK_DRAWING,
    BLOCK_PICTURES /* a row */
} block_kind;

/* A cell of a table. `sort` orders the rows when a reader asks for it; NAN: by text. */
typedef struct table_cell {
    char *text;
    double sort;
} table_cell;

typedef struct picture {
    char *caption;
    image raster;
} picture;

typedef struct block {
    block_kind kind;
    char *text;          /* of a table: its caption */
    const char *columns; /* heads separated by "|"; "#" begins those of numbers; static text */
    int column_count;
    table_cell *cells; /* row by row */
    picture *pictures;
    int64_t count, capacity; /* of cells or pictures */
    drawing drawing;
} block;

typedef struct document {
    block *blocks;
    int64_t count, capacity;
    drawing spare; /* takes the marks of a chart for which there was no memory */
    bool failed;
} document;

void document_free(document *d);
/* ST_INTERNAL if anything could not be appended. */
status document_status(const document *d);

/* Appends a block of printf-style text. */
void document_text(document *d, block_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Begins a table; its cells follow. */
void document_table(document *d, const char *caption, const char *columns);
/* Appends a cell of text, or of a number with its value for sorting. */
void table_text(document *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_value(document *d, double sort, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void table_number(document *d, double x, int digits);
void table_interval(document *d, interval x, int digits);

/* Appends an empty chart; the pointer is valid until the next block is appended. */
drawing *document_drawing(document *d, const char *title, double height);

/* Begins a row of pictures with a caption; document_picture() moves `raster` into the document. */
void document_pictures(document *d, const char *caption);
void document_picture(document *d, image *raster, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The head of column k of a table: its words (not terminated) and their length; whether it has
 * numbers. */
int table_column(const block *b, int k, const char **words, bool *numbers);

/* Writes the blocks as HTML. Errors stay in f. ST_INTERNAL if a picture cannot be encoded. */
status document_html(FILE *f, const document *d);

#endif
