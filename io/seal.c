/* Making and checking seals. */
#include "io/seal.h"

#include <stdlib.h>
#include <string.h>

status seal_of(const json_t *object, char hex[SHA256_HEX]) {
    status st;
    char *text = NULL;
    json_t *rest = json_copy((json_t *)object); /* shallow: the values are only read */
    if (!rest) TRY(status_memory("a seal", 0));
    json_object_del(rest, "seal");
    text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text) TRY(status_fail(ST_INTERNAL, "a sealed object cannot be written as JSON"));
    TRY(bytes_sha256(text, (int64_t)strlen(text), hex));
done:
    free(text);
    json_decref(rest);
    return st;
}

status seal_put(json_t *object) {
    char hex[SHA256_HEX];
    status st = seal_of(object, hex);
    if (st == ST_OK && json_object_set_new(object, "seal", json_string(hex)) != 0)
        st = status_memory("a seal", 0);
    return st;
}

status seal_check(const json_t *object, const char *path, char hex[SHA256_HEX]) {
    const char *sealed = json_string_value(json_object_get(object, "seal"));
    status st = seal_of(object, hex);
    if (st != ST_OK) return st;
    if (!sealed) return status_fail(ST_INTEGRITY, "%s: its seal is missing", path);
    if (strcmp(hex, sealed) == 0) return ST_OK;
    return status_fail(
        ST_INTEGRITY, "%s: was changed after it was written (its seal is %s, its content gives %s)",
        path, sealed, hex);
}

status seal_check_text(const json_t *object, size_t flags, const char *text, int64_t bytes,
                       const char *path) {
    char *written = json_dumps(object, flags);
    if (!written) return status_memory(path, bytes);
    const bool same = strlen(written) == (size_t)bytes && memcmp(written, text, (size_t)bytes) == 0;
    free(written);
    if (same) return ST_OK;
    return status_fail(ST_INTEGRITY,
                       "%s: was changed after it was written (in the spelling of a value)", path);
}
