/* Header of 136 bytes, then the content: "CTPART1\n", the fingerprint, the SHA-256 of name and
 * content. */
#include "io/part_file.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <string.h>

static const char magic[] = "CTPART1\n";

enum { MAGIC = sizeof magic - 1, HEX = SHA256_HEX - 1, HEADER = MAGIC + 2 * HEX };

/* Of the file name and the content: parts of equal size must not take each other's place. */
static status hash_of(const char *path, const char *content, int64_t bytes, char hex[SHA256_HEX]) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char of_name[SHA256_HEX], of_content[SHA256_HEX], both[2 * HEX];
    status st = bytes_sha256(name, (int64_t)strlen(name), of_name);
    if (st == ST_OK) st = bytes_sha256(content, bytes, of_content);
    if (st != ST_OK) return st;
    memcpy(both, of_name, HEX);
    memcpy(both + HEX, of_content, HEX);
    return bytes_sha256(both, sizeof both, hex);
}

status part_write(const char *path, const char fingerprint[SHA256_HEX], const void *data,
                  int64_t bytes) {
    status st;
    char hex[SHA256_HEX], *all = NULL;
    int64_t size = 0;
    if (!size_add(bytes, HEADER, &size)) TRY(status_memory(path, bytes));
    TRY(array_alloc(&all, size, 1, path));
    memcpy(all, magic, MAGIC);
    memcpy(all + MAGIC, fingerprint, HEX);
    memcpy(all + HEADER, data, (size_t)bytes);
    TRY(hash_of(path, all + HEADER, bytes, hex));
    memcpy(all + MAGIC + HEX, hex, HEX);
    TRY(file_write_atomic(path, all, size));
done:
    free(all);
    return st;
}

static status damaged(const char *path, const char *why) {
    return status_fail(ST_INTEGRITY, "%s: %s", path, why);
}

status part_load(const char *path, const char fingerprint[SHA256_HEX], void **data,
                 int64_t *bytes) {
    status st;
    char hex[SHA256_HEX], *all = NULL;
    int64_t got = 0;
    *data = NULL;
    *bytes = 0;
    if (!file_exists(path)) TRY(status_fail(ST_INPUT, "%s: not there", path));
    if (file_read(path, INT64_MAX - 1, &all, &got) != ST_OK || got < HEADER)
        TRY(damaged(path, "not as long as it was written"));
    if (memcmp(all, magic, MAGIC) != 0) TRY(damaged(path, "not a part file"));
    if (memcmp(all + MAGIC, fingerprint, HEX) != 0) TRY(damaged(path, "belongs to other inputs"));
    TRY(hash_of(path, all + HEADER, got - HEADER, hex));
    if (memcmp(all + MAGIC + HEX, hex, HEX) != 0)
        TRY(damaged(path, "was changed after it was written"));
    *bytes = got - HEADER;
    memmove(all, all + HEADER, (size_t)*bytes);
    *data = all;
    all = NULL;
done:
    free(all);
    return st;
}

status part_read(const char *path, const char fingerprint[SHA256_HEX], void *data, int64_t bytes) {
    void *content = NULL;
    int64_t got = 0;
    status st = part_load(path, fingerprint, &content, &got);
    if (st == ST_OK && got != bytes) st = damaged(path, "not as long as it was written");
    if (st == ST_OK) memcpy(data, content, (size_t)bytes);
    free(content);
    return st;
}
