/* Writes safetensors files: the header first, padded with spaces so that the data begin at a
 * multiple of 8 bytes, then the tensors without gaps. */
#include "io/safetensors.h"
#include "io/alloc.h"
#include "io/file.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they are");

enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };

/* ST_INTERNAL if the tensor is larger than any memory. */
static status bytes_of(const safetensors_tensor *t, int64_t *bytes) {
    *bytes = sizeof *t->at;
    for (int k = 0; k < t->rank; k++)
        if (!size_mul(*bytes, t->shape[k], bytes))
            return status_fail(ST_INTERNAL, "tensor %s is larger than any file", t->name);
    return ST_OK;
}

/* Adds a tensor of bytes begin..end of the data to the header. */
static status add_entry(json_t *header, const safetensors_tensor *t, int64_t begin, int64_t end) {
    json_t *shape = json_array();
    for (int k = 0; k < t->rank; k++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape[k])) != 0) {
            json_decref(shape);
            return status_memory("the header of a file", 0);
        }
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape,
                              "data_offsets", (json_int_t)begin, (json_int_t)end);
    if (!entry || json_object_set_new(header, t->name, entry) != 0)
        return status_memory("the header of a file", 0);
    return ST_OK;
}

/* The header as text; *data: bytes of all tensors. The caller frees *text. */
static status make_header(const safetensors_tensor *tensors, int64_t n, json_t *metadata,
                          char **text, int64_t *data) {
    status st = ST_OK;
    json_t *header = json_pack("{s:o}", "__metadata__", metadata);
    *data = 0;
    if (!header) TRY(status_memory("the header of a file", 0));
    for (int64_t i = 0; i < n; i++) {
        int64_t bytes = 0, end = 0;
        TRY(bytes_of(&tensors[i], &bytes));
        if (!size_add(*data, bytes, &end))
            TRY(status_fail(ST_INTERNAL, "%" PRId64 " tensors are larger than any file", n));
        TRY(add_entry(header, &tensors[i], *data, end));
        *data = end;
    }
    *text = json_dumps(header, JSON_COMPACT);
    if (!*text) st = status_memory("the header of a file", 0);
done:
    json_decref(header);
    return st;
}

status safetensors_write(const char *path, const safetensors_tensor *tensors, int64_t n,
                         json_t *metadata) {
    status st = ST_OK;
    char *header = NULL, *file = NULL;
    int64_t data = 0;
    TRY(make_header(tensors, n, metadata, &header, &data));
    const int64_t used = (int64_t)strlen(header);
    const uint64_t length = (uint64_t)(used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    int64_t at = LENGTH_BYTES + (int64_t)length, whole = 0;
    if (!size_add(at, data, &whole)) whole = -1;
    TRY(array_alloc(&file, whole, 1, "a file of weights"));
    memcpy(file, &length, sizeof length);
    memset(file + LENGTH_BYTES, ' ', length);
    memcpy(file + LENGTH_BYTES, header, (size_t)used);
    for (int64_t i = 0; i < n; i++) {
        int64_t bytes = 0;
        TRY(bytes_of(&tensors[i], &bytes));
        memcpy(file + at, tensors[i].at, (size_t)bytes);
        at += bytes;
    }
    TRY(file_write_atomic(path, file, whole));
done:
    free(header);
    free(file);
    return st;
}
