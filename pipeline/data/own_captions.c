/* Checks the records of captions.csv and sorts them by pseudonym. */
#include "pipeline/data/own_captions.h"

#include "io/alloc.h"
#include "io/volume.h"
#include "model/text/grammar.h"

#include <string.h>

enum { PSEUDONYM, TEXT, COLUMNS };
static const csv_limits limits = {.bytes = INT64_C(1) << 28, .rows = (INT64_C(1) << 20) + 1};

/* Records are in one array of cells: of equal pseudonyms the earlier line comes first. */
static int by_pseudonym(const void *left, const void *right) {
    char **const *a = left, **const *b = right;
    const int order = strcmp((*a)[PSEUDONYM], (*b)[PSEUDONYM]);
    return order ? order : (*a > *b) - (*a < *b);
}

/* What is wrong with a record; NULL: nothing. */
static const char *fault_of(char *const *record) {
    const size_t id = strlen(record[PSEUDONYM]), text = strlen(record[TEXT]);
    if (id == 0) return "the pseudonym is missing";
    if (id >= VOLUME_ID) return "this is no pseudonym: it is too long";
    if (text == 0) return "the text is missing";
    return text >= CAPTION_SIZE ? "the text is longer than 2047 bytes" : NULL;
}

status own_captions_read(const char *path, own_captions *out) {
    status st;
    *out = (own_captions){0};
    TRY(csv_read(path, COLUMNS, &limits, &out->table));
    const csv_table *t = &out->table;
    if (strcmp(t->cell[PSEUDONYM], "pseudonym") != 0 || strcmp(t->cell[TEXT], "text") != 0)
        TRY(csv_fault(path, t, 0, "the header is not pseudonym,text"));
    out->count = t->rows - 1;
    TRY(array_alloc(&out->sorted, out->count, sizeof *out->sorted, "captions"));
    for (int64_t row = 1; row < t->rows; row++) {
        out->sorted[row - 1] = &t->cell[row * COLUMNS];
        const char *fault = fault_of(out->sorted[row - 1]);
        if (fault) TRY(csv_fault(path, t, row, fault));
    }
    qsort(out->sorted, (size_t)out->count, sizeof *out->sorted, by_pseudonym);
    for (int64_t i = 1; i < out->count; i++)
        if (strcmp(out->sorted[i - 1][PSEUDONYM], out->sorted[i][PSEUDONYM]) == 0)
            TRY(csv_fault(path, t, (out->sorted[i] - t->cell) / COLUMNS,
                          "the pseudonym has a caption already"));
done:
    if (st != ST_OK) own_captions_free(out);
    return st;
}

void own_captions_free(own_captions *c) {
    csv_free(&c->table);
    free(c->sorted);
    *c = (own_captions){0};
}

const char *own_captions_find(const own_captions *c, const char *pseudonym) {
    int64_t low = 0, high = c->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(c->sorted[middle][PSEUDONYM], pseudonym);
        if (order == 0) return c->sorted[middle][TEXT];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
