/* Tables of text in files of comma-separated values, as RFC 4180 describes them: a record a line, a
 * field in double quotes if it holds a comma, a quote (written twice) or a line break. Lines end
 * with LF or CRLF; a byte order mark before the first one is skipped. */
#ifndef CTAUG_IO_CSV_H
#define CTAUG_IO_CSV_H

#include "io/status.h"

#include <stdint.h>

typedef struct csv_limits {
    int64_t bytes; /* of the file */
    int64_t rows;  /* records, with the header */
} csv_limits;

typedef struct csv_table {
    int64_t rows;    /* records, with the header */
    int64_t columns; /* fields of each record */
    char **cell;     /* [rows][columns]: UTF-8, terminated; owned */
    int64_t *line;   /* [rows]: where the record begins, from 1; owned */
    char *text;      /* what the cells point into; owned */
} csv_table;

/* Reads a table of `columns` columns. CRLF within quotes becomes LF. ST_INPUT naming file and line
 * where a record has another number of fields, a quote is not closed or stands alone, or a text is
 * not UTF-8 or has control characters other than line feeds and tabs; ST_INPUT naming the file if
 * it cannot be read, is empty or beyond the limits. No message shows a field. csv_free() frees
 * *out. Local. */
status csv_read(const char *path, int64_t columns, const csv_limits *limits, csv_table *out);
void csv_free(csv_table *t);

/* ST_INPUT: "<path>:<line of a row>: <reason>". Local. */
status csv_fault(const char *path, const csv_table *t, int64_t row, const char *reason);

#endif
