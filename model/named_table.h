/* Tables of named choices: engines, schedules, objectives, samplers, ... The rows are indexed by an
 * enum, and the names are those that a study and the command line use, so that a text is turned
 * into its enum once, where it is read.
 */
#ifndef CTAUG_MODEL_NAMED_TABLE_H
#define CTAUG_MODEL_NAMED_TABLE_H

#include "io/status.h"

#include <stddef.h>

typedef struct named_table {
    const char *what; /* in messages: "noise schedule" */
    const void *rows; /* any struct whose first member is the name (const char *), or the names */
    int count;
    size_t row_size;
} named_table;

/* The initialiser for an array of rows. */
#define NAMED_TABLE(what, rows)                                                                    \
    { what, rows, sizeof(rows) / sizeof *(rows), sizeof *(rows) }

/* "cosine". Static. Local. */
const char *named_table_name(const named_table *t, int row);

/* *row = index of the row called `name`; ST_USAGE naming the known ones if none is. Local. */
status named_table_find(const named_table *t, const char *name, int *row);

#endif
