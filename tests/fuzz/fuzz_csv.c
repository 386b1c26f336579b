/* Tables of comma-separated values. What is read and written again with all fields in quotes is the
 * same table. */
#include "tests/fuzz/fuzz.h"

#include "io/csv.h"

enum { COLUMNS = 2 };
static const csv_limits limits = {.bytes = 1 << 16, .rows = 1 << 10};

/* Writes the fields of t, each in quotes, to out, which has room; returns the bytes. */
static size_t quote(const csv_table *t, char *out) {
    char *at = out;
    for (int64_t k = 0; k < t->rows * COLUMNS; k++) {
        *at++ = '"';
        for (const char *c = t->cell[k]; *c; c++) {
            if (*c == '"') *at++ = '"';
            *at++ = *c;
        }
        *at++ = '"';
        *at++ = (k + 1) % COLUMNS ? ',' : '\n';
    }
    return (size_t)(at - out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char text[1 << 18];
    csv_table first, again;
    if (!fuzz_read(csv_read(fuzz_file(".csv", data, size), COLUMNS, &limits, &first), ST_INPUT))
        return 0;
    const size_t bytes = quote(&first, text);
    if (bytes > (size_t)limits.bytes) {
        csv_free(&first);
        return 0;
    }
    fuzz_must(csv_read(fuzz_file(".csv", text, bytes), COLUMNS, &limits, &again));
    if (again.rows != first.rows) abort();
    for (int64_t k = 0; k < first.rows * COLUMNS; k++)
        if (strcmp(first.cell[k], again.cell[k]) != 0) abort();
    csv_free(&first);
    csv_free(&again);
    return 0;
}
