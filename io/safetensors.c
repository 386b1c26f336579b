/* Checks the header entry by entry, then the ranges of all tensors together. */
#include "io/safetensors.h"
#include "io/alloc.h"
#include "io/file.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they are");

enum { LENGTH_BYTES = 8, HEADER_MAX = 8 << 20, RANK_MAX = 8, SHAPE_TEXT = 192 };
static const int64_t file_max = (int64_t)4 << 30;

typedef struct number_type {
    const char *name;
    int64_t bytes;
    float (*to_f32)(const char *at); /* NULL: tensors of this type are only skipped */
} number_type;

typedef struct entry {
    const char *name; /* of the header */
    const number_type *type;
    int rank;
    int64_t shape[RANK_MAX];
    int64_t begin, end; /* bytes of the data */
} entry;

struct safetensors {
    char *path;
    char hash[SHA256_HEX];
    char *file;
    int64_t bytes;
    const char *data;
    json_t *header; /* owns the names */
    entry *entries; /* in the order of the data */
    int64_t count;
};

static float of_f32(const char *at) {
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}

static float of_bf16(const char *at) {
    uint16_t upper;
    float value;
    memcpy(&upper, at, sizeof upper);
    const uint32_t bits = (uint32_t)upper << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction. */
static float of_f16(const char *at) {
    uint16_t bits;
    memcpy(&bits, at, sizeof bits);
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                            : exponent == 0 ? ldexpf((float)fraction, -24)
                                            : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

static const number_type types[] = {
    {"F32", 4, of_f32}, {"F16", 2, of_f16}, {"BF16", 2, of_bf16}, {"F64", 8, NULL},
    {"I64", 8, NULL},   {"I32", 4, NULL},   {"I16", 2, NULL},     {"I8", 1, NULL},
    {"U64", 8, NULL},   {"U32", 4, NULL},   {"U16", 2, NULL},     {"U8", 1, NULL},
    {"BOOL", 1, NULL},
};

/* A JSON integer that is not negative. */
static bool is_size(const json_t *value, int64_t *out) {
    *out = json_is_integer(value) ? json_integer_value(value) : -1;
    return *out >= 0;
}

static status bad(const safetensors *s, const char *tensor, const char *why) {
    return status_fail(ST_INPUT, "%s: tensor %.100s: %s", s->path, tensor, why);
}

static status read_type(const safetensors *s, const json_t *value, entry *e) {
    const char *name = json_string_value(value);
    for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) e->type = &types[i];
    if (e->type) return ST_OK;
    return status_fail(ST_INPUT, "%s: tensor %.100s: its dtype %.20s is not known", s->path,
                       e->name, name ? name : "(no text)");
}

/* Shape and range of a tensor, and whether they agree. */
static status read_ranges(const safetensors *s, const json_t *shape, const json_t *offsets,
                          entry *e) {
    int64_t bytes = e->type->bytes;
    if (!json_is_array(shape) || json_array_size(shape) > RANK_MAX)
        return bad(s, e->name, "its shape is not a list of at most 8 numbers");
    e->rank = (int)json_array_size(shape);
    for (int i = 0; i < e->rank; i++)
        if (!is_size(json_array_get(shape, (size_t)i), &e->shape[i]))
            return bad(s, e->name, "its shape has something else than whole numbers from 0");
    for (int i = 0; i < e->rank; i++)
        if (!size_mul(bytes, e->shape[i], &bytes))
            return bad(s, e->name, "its shape is larger than any file");
    if (json_array_size(offsets) != 2 || !is_size(json_array_get(offsets, 0), &e->begin) ||
        !is_size(json_array_get(offsets, 1), &e->end) || e->begin > e->end)
        return bad(s, e->name, "data_offsets is not two whole numbers, begin and end");
    if (e->end - e->begin == bytes) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: tensor %.100s: its shape takes %" PRId64
                       " bytes, but its data_offsets span %" PRId64,
                       s->path, e->name, bytes, e->end - e->begin);
}

static status read_entry(const safetensors *s, const char *name, const json_t *value, entry *e) {
    *e = (entry){.name = name};
    status st = ST_OK;
    if (!json_is_object(value)) TRY(bad(s, name, "its entry is not an object"));
    TRY(read_type(s, json_object_get(value, "dtype"), e));
    TRY(read_ranges(s, json_object_get(value, "shape"), json_object_get(value, "data_offsets"), e));
done:
    return st;
}

static int by_range(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Sorts the entries by their ranges and checks that these cover the data. */
static status check_cover(safetensors *s, int64_t data_bytes) {
    int64_t at = 0;
    qsort(s->entries, (size_t)s->count, sizeof *s->entries, by_range);
    for (int64_t i = 0; i < s->count; i++) {
        const entry *e = &s->entries[i];
        if (e->end > data_bytes)
            return status_fail(ST_INPUT,
                               "%s: tensor %.100s ends at byte %" PRId64
                               " of the data, which has %" PRId64 ": the file is cut or damaged",
                               s->path, e->name, e->end, data_bytes);
        if (e->begin < at) return bad(s, e->name, "its bytes overlap those of another tensor");
        if (e->begin > at) return bad(s, e->name, "before it are bytes of no tensor");
        at = e->end;
    }
    if (at == data_bytes) return ST_OK;
    return status_fail(ST_INPUT, "%s: the last %" PRId64 " bytes belong to no tensor", s->path,
                       data_bytes - at);
}

static status read_header(safetensors *s) {
    status st = ST_OK;
    uint64_t length = 0;
    json_error_t error;
    const char *name;
    json_t *value;
    if (s->bytes < LENGTH_BYTES)
        TRY(status_fail(ST_INPUT, "%s: is no safetensors file: %" PRId64 " bytes", s->path,
                        s->bytes));
    memcpy(&length, s->file, sizeof length);
    if (length > HEADER_MAX || (int64_t)length > s->bytes - LENGTH_BYTES)
        TRY(status_fail(ST_INPUT,
                        "%s: is no safetensors file, or is cut: a header of %" PRIu64
                        " bytes in a file of %" PRId64 " (at most %d are read)",
                        s->path, length, s->bytes, HEADER_MAX));
    s->header = json_loadb(s->file + LENGTH_BYTES, length, JSON_REJECT_DUPLICATES, &error);
    if (!s->header)
        TRY(status_fail(ST_INPUT, "%s: its header is no JSON: %s at byte %d", s->path, error.text,
                        error.position));
    if (!json_is_object(s->header))
        TRY(status_fail(ST_INPUT, "%s: its header is no JSON object", s->path));
    s->data = s->file + LENGTH_BYTES + length;
    TRY(array_alloc(&s->entries, (int64_t)json_object_size(s->header), sizeof *s->entries,
                    "tensors of a file"));
    json_object_foreach(s->header, name, value) {
        if (strcmp(name, "__metadata__") == 0) continue;
        TRY(read_entry(s, name, value, &s->entries[s->count]));
        s->count++;
    }
    TRY(check_cover(s, s->bytes - LENGTH_BYTES - (int64_t)length));
done:
    return st;
}

status safetensors_open(const char *path, safetensors **out) {
    status st = ST_OK;
    safetensors *s = NULL;
    *out = NULL;
    TRY(array_alloc(&s, 1, sizeof *s, path));
    TRY(array_alloc(&s->path, (int64_t)strlen(path) + 1, 1, path));
    memcpy(s->path, path, strlen(path));
    TRY(file_read(path, file_max, &s->file, &s->bytes));
    TRY(bytes_sha256(s->file, s->bytes, s->hash));
    TRY(read_header(s));
    *out = s;
    s = NULL;
done:
    safetensors_close(s);
    return st;
}

void safetensors_close(safetensors *s) {
    if (!s) return;
    json_decref(s->header);
    free(s->entries);
    free(s->file);
    free(s->path);
    free(s);
}

const char *safetensors_hash(const safetensors *s) { return s->hash; }
int64_t safetensors_count(const safetensors *s) { return s->count; }

/* "3 x 32 x 32"; "one number" for rank 0. */
static const char *shape_text(int rank, const int64_t *shape, char text[SHAPE_TEXT]) {
    int at = snprintf(text, SHAPE_TEXT, "%s", rank == 0 ? "one number" : "");
    for (int i = 0; i < rank; i++)
        at += snprintf(text + at, (size_t)(SHAPE_TEXT - at), "%s%" PRId64, i > 0 ? " x " : "",
                       shape[i]);
    return text;
}

static const entry *find(const safetensors *s, const char *name) {
    for (int64_t i = 0; i < s->count; i++)
        if (strcmp(s->entries[i].name, name) == 0) return &s->entries[i];
    return NULL;
}

status safetensors_read(const safetensors *s, const char *name, int rank, const int64_t *shape,
                        float *out) {
    char has[SHAPE_TEXT], wanted[SHAPE_TEXT];
    const entry *e = find(s, name);
    if (!e) return status_fail(ST_INPUT, "%s: has no tensor %s", s->path, name);
    if (e->rank != rank || memcmp(e->shape, shape, (size_t)rank * sizeof *shape) != 0)
        return status_fail(ST_INPUT, "%s: tensor %s has the shape %s, needed is %s", s->path, name,
                           shape_text(e->rank, e->shape, has), shape_text(rank, shape, wanted));
    if (!e->type->to_f32)
        return status_fail(ST_INPUT, "%s: tensor %s is of type %s, needed is F32, F16 or BF16",
                           s->path, name, e->type->name);
    const int64_t count = (e->end - e->begin) / e->type->bytes;
    for (int64_t i = 0; i < count; i++)
        out[i] = e->type->to_f32(s->data + e->begin + i * e->type->bytes);
    return ST_OK;
}
