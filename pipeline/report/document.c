/* Building a document: blocks, tables and rows of pictures. */
#include "pipeline/report/document.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for one more element of `size` bytes. */
static bool make_room(document *d, void **list, int64_t count, int64_t *capacity, size_t size) {
    if (count < *capacity) return true;
    int64_t more = *capacity > 0 ? 2 * *capacity : 16;
    void *moved = reallocarray(*list, (size_t)more, size);
    if (!moved) {
        d->failed = true;
        return false;
    }
    *list = moved;
    *capacity = more;
    return true;
}

static char *format_text(document *d, const char *format, va_list list) {
    char *text = NULL;
    if (vasprintf(&text, format, list) >= 0) return text;
    d->failed = true;
    return NULL;
}

static char *copy_text(document *d, const char *text) {
    char *copy = strdup(text);
    d->failed |= !copy;
    return copy;
}

/* A new block at the end; NULL if there is no memory. */
static block *add(document *d, block_kind kind) {
    void *blocks = d->blocks;
    bool room = make_room(d, &blocks, d->count, &d->capacity, sizeof *d->blocks);
    d->blocks = blocks;
    if (!room) return NULL;
    d->blocks[d->count] = (block){.kind = kind};
    return &d->blocks[d->count++];
}

/* The last block if it is of this kind. */
static block *last(document *d, block_kind kind) {
    if (d->count == 0 || d->blocks[d->count - 1].kind != kind) return NULL;
    return &d->blocks[d->count - 1];
}

void document_free(document *d) {
    for (int64_t i = 0; i < d->count; i++) {
        block *b = &d->blocks[i];
        for (int64_t k = 0; b->cells && k < b->count; k++) free(b->cells[k].text);
        for (int64_t k = 0; b->pictures && k < b->count; k++) {
            free(b->pictures[k].caption);
            image_free(&b->pictures[k].raster);
        }
        free(b->cells);
        free(b->pictures);
        free(b->text);
        drawing_free(&b->drawing);
    }
    drawing_free(&d->spare);
    free(d->blocks);
    *d = (document){0};
}

status document_status(const document *d) {
    bool failed = d->failed;
    for (int64_t i = 0; i < d->count; i++) failed |= d->blocks[i].drawing.failed;
    return failed ? status_memory("the report", 0) : ST_OK;
}

void document_text(document *d, block_kind kind, const char *format, ...) {
    va_list list;
    block *b = add(d, kind);
    if (!b) return;
    va_start(list, format);
    b->text = format_text(d, format, list);
    va_end(list);
}

void document_table(document *d, const char *caption, const char *columns) {
    block *b = add(d, BLOCK_TABLE);
    if (!b) return;
    b->text = copy_text(d, caption);
    b->columns = columns;
    b->column_count = 1;
    for (const char *at = columns; *at; at++) b->column_count += *at == '|';
}

static void add_cell(document *d, double sort, char *text) {
    block *b = last(d, BLOCK_TABLE);
    void *cells = b ? b->cells : NULL;
    bool room = b && make_room(d, &cells, b->count, &b->capacity, sizeof *b->cells);
    if (b) b->cells = cells;
    if (!room) {
        free(text);
        return;
    }
    b->cells[b->count++] = (table_cell){.text = text, .sort = sort};
}

void table_text(document *d, const char *format, ...) {
    va_list list;
    va_start(list, format);
    add_cell(d, NAN, format_text(d, format, list));
    va_end(list);
}

void table_value(document *d, double sort, const char *format, ...) {
    va_list list;
    va_start(list, format);
    add_cell(d, sort, format_text(d, format, list));
    va_end(list);
}

void table_number(document *d, double x, int digits) {
    table_value(d, x, "%s", show(x, digits).text);
}

void table_interval(document *d, interval x, int digits) {
    table_value(d, x.value, "%s", show_interval(x, digits).text);
}

drawing *document_drawing(document *d, const char *title, double height) {
    block *b = add(d, BLOCK_DRAWING);
    if (!b) return &d->spare;
    b->drawing.title = title;
    b->drawing.height = height;
    return &b->drawing;
}

void document_pictures(document *d, const char *caption) {
    block *b = add(d, BLOCK_PICTURES);
    if (b) b->text = copy_text(d, caption);
}

void document_picture(document *d, image *raster, const char *format, ...) {
    va_list list;
    block *b = last(d, BLOCK_PICTURES);
    void *pictures = b ? b->pictures : NULL;
    bool room = b && make_room(d, &pictures, b->count, &b->capacity, sizeof *b->pictures);
    if (b) b->pictures = pictures;
    if (!room) {
        image_free(raster);
        return;
    }
    va_start(list, format);
    b->pictures[b->count++] = (picture){.caption = format_text(d, format, list), .raster = *raster};
    va_end(list);
    *raster = (image){0};
}

int table_column(const block *b, int k, const char **words, bool *numbers) {
    const char *at = b->columns;
    for (; k > 0; k--) at += strcspn(at, "|") + 1;
    *numbers = *at == '#';
    at += *numbers;
    *words = at;
    return (int)strcspn(at, "|");
}
