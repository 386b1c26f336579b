/* Tables of named choices: engines, schedules, objectives, samplers, ...
 *
 * The rows are indexed by an enum. Their names are those used in a study and on the command line; a
 * name is converted to its enum value once, where it is read.
 */
#ifndef CTAUG_MODEL_NAMED_TABLE_H
#define CTAUG_MODEL_NAMED_TABLE_H

#include "io/status.h"

#include <stddef.h>

typedef struct named_table {
    const char *what; /* the kind of choice, for messages: "noise schedule" */
    const void *rows; /* structs whose first member is the name (const char *), or the names */
    int count;
    size_t row_size;
} named_table;

/* Initialiser of a named_table from an array of rows. */
#define NAMED_TABLE(what, rows)                                                                    \
    { what, rows, sizeof(rows) / sizeof *(rows), sizeof *(rows) }

/* The name of a row, e.g. "cosine"; static storage. Local. */
const char *named_table_name(const named_table *t, int row);

/* *row = index of the row called `name`. If there is none: ST_USAGE with a message that lists the
 * known names; *row is unchanged. Local. */
status named_table_find(const named_table *t, const char *name, int *row);

#endif
