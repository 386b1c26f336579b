/* Finding a row by its name, and the message when there is none. */
#include "model/choice.h"

#include <stdio.h>
#include <string.h>

static const char *row_name(const void *table, size_t row_size, int row) {
    const char *name;
    memcpy(&name, (const char *)table + (size_t)row * row_size, sizeof name);
    return name;
}

status choice_find(const char *what, const char *name, const void *table, int rows, size_t row_size,
                   int *row) {
    char known[256] = "";
    for (int i = 0; i < rows; i++) {
        const char *candidate = row_name(table, row_size, i);
        if (strcmp(candidate, name) == 0) {
            *row = i;
            return ST_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", candidate);
    }
    return status_fail(ST_USAGE, "%s \"%s\" is not known; choose one of: %s", what, name, known);
}
