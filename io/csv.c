/* Reads fields in place: what a field holds is never longer than how it is written. */
#include "io/csv.h"

#include "io/alloc.h"
#include "io/file.h"
#include "io/printable.h"

#include <inttypes.h>
#include <string.h>

typedef struct reader {
    const char *path;
    char *at, *end; /* what is left of the text */
    int64_t line;
    const char *fault; /* NULL: none */
} reader;

/* What ended a field. */
typedef enum ending { ENDS_FIELD, ENDS_RECORD, ENDS_WRONG } ending;

/* The length of the line break at the cursor; 0: none. */
static int line_break(const reader *r) {
    if (r->at == r->end) return 0;
    if (*r->at == '\n') return 1;
    return *r->at == '\r' && r->end - r->at > 1 && r->at[1] == '\n' ? 2 : 0;
}

static ending wrong(reader *r, const char *fault) {
    r->fault = fault;
    return ENDS_WRONG;
}

/* Moves the content of a quoted field, behind the cursor, to *to and goes to the quote that closes
 * it. */
static bool take_quoted(reader *r, char **to) {
    for (r->at++; r->at < r->end; r->at++) {
        const int jump = line_break(r);
        if (jump > 0) {
            r->at += jump - 1;
            r->line++;
        } else if (*r->at == '"') {
            if (r->end - r->at < 2 || r->at[1] != '"') return true;
            r->at++;
        }
        *(*to)++ = *r->at;
    }
    return false;
}

/* Reads the field at the cursor, which is left behind its end. */
static ending take_field(reader *r, char **cell) {
    char *to = r->at;
    *cell = to;
    if (r->at < r->end && *r->at == '"') {
        if (!take_quoted(r, &to)) return wrong(r, "a quote is not closed");
        r->at++;
    }
    const bool quoted = r->at > *cell;
    for (; r->at < r->end && *r->at != ',' && line_break(r) == 0; r->at++) {
        if (quoted) return wrong(r, "there is text behind a closing quote");
        if (*r->at == '"') return wrong(r, "a quote stands within a field without quotes");
    }
    to = quoted ? to : r->at;
    const bool more = r->at < r->end && *r->at == ',';
    const int jump = line_break(r);
    *to = '\0'; /* over the comma, the line break, a quote or the final 0 */
    r->at += more ? 1 : jump;
    r->line += jump > 0;
    return more ? ENDS_FIELD : ENDS_RECORD;
}

/* Whether a terminal and every reader of UTF-8 take the text as it is. */
static bool is_clean(const char *text) {
    char piece[256];
    while (*text) {
        const size_t n = printable(text, 1, piece, sizeof piece);
        if (n == 0 || strncmp(text, piece, n) != 0) return false;
        text += n;
    }
    return true;
}

static ending take_record(reader *r, int64_t columns, char **cells) {
    ending last = ENDS_FIELD;
    for (int64_t k = 0; k < columns; k++) {
        if (last == ENDS_RECORD) return wrong(r, "there are too few fields");
        last = take_field(r, &cells[k]);
        if (last == ENDS_WRONG) return last;
        if (!is_clean(cells[k])) return wrong(r, "a text is not UTF-8 or has control characters");
    }
    return last == ENDS_RECORD ? last : wrong(r, "there are too many fields");
}

/* More lines than this there are not. */
static int64_t count_lines(const char *text, int64_t bytes) {
    int64_t lines = 1;
    for (int64_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    return lines;
}

status csv_read(const char *path, int64_t columns, const csv_limits *limits, csv_table *out) {
    status st;
    int64_t bytes = 0, room = 0;
    *out = (csv_table){.columns = columns};
    TRY(file_read(path, limits->bytes, &out->text, &bytes));
    reader r = {.path = path, .at = out->text, .end = out->text + bytes, .line = 1};
    if (strlen(out->text) != (size_t)bytes)
        TRY(status_fail(ST_INPUT, "%s: has null bytes, so it is no text", path));
    if (strncmp(r.at, "\xef\xbb\xbf", 3) == 0) r.at += 3;
    room = count_lines(out->text, bytes);
    if (room > limits->rows) room = limits->rows;
    TRY(array_alloc(&out->line, room, sizeof *out->line, path));
    TRY(array_alloc(&out->cell, room * columns, sizeof *out->cell, path));
    if (r.at == r.end) TRY(status_fail(ST_INPUT, "%s: is empty", path));
    for (; r.at < r.end; out->rows++) {
        if (out->rows == limits->rows)
            TRY(status_fail(ST_INPUT, "%s: has more than %" PRId64 " records", path, limits->rows));
        out->line[out->rows] = r.line;
        if (take_record(&r, columns, out->cell + out->rows * columns) != ENDS_RECORD)
            TRY(csv_fault(path, out, out->rows, r.fault));
    }
done:
    if (st != ST_OK) csv_free(out);
    return st;
}

status csv_fault(const char *path, const csv_table *t, int64_t row, const char *reason) {
    return status_fail(ST_INPUT, "%s:%" PRId64 ": %s", path, t->line[row], reason);
}

void csv_free(csv_table *t) {
    free(t->cell);
    free(t->line);
    free(t->text);
    *t = (csv_table){0};
}
