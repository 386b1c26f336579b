/* Look-up of a row by its name, and the error message for an unknown name. */
#include "model/named_table.h"

#include <stdio.h>
#include <string.h>

const char *named_table_name(const named_table *t, int row) {
    const char *name;
    memcpy(&name, (const char *)t->rows + (size_t)row * t->row_size, sizeof name);
    return name;
}

status named_table_find(const named_table *t, const char *name, int *row) {
    char known[256] = "";
    for (int i = 0; i < t->count; i++) {
        const char *candidate = named_table_name(t, i);
        if (strcmp(candidate, name) == 0) {
            *row = i;
            return ST_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", candidate);
    }
    return status_fail(ST_USAGE, "%s \"%s\" is not known; choose one of: %s", t->what, name, known);
}
