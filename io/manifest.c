/* Writing manifest.json, and reading it as untrusted input.
 *
 *   {"kind", "version", "fingerprint", "files": [{"name", "bytes", "sha256"}], "detail", "seal"}
 *
 * The seal is the SHA-256 of all other keys in compact sorted form. The manifest protects the
 * files; the seal protects the manifest against changed bits (in a spacing, in a fingerprint), and
 * what is read must be written as manifest_write() does, to the byte.
 */
#include "io/manifest.h"
#include "io/alloc.h"
#include "io/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MANIFEST "manifest.json"
#define FORMAT (JSON_INDENT(1) | JSON_SORT_KEYS)

enum { VERSION = 1, MANIFEST_MAX = 256 << 20, FILES_MAX = 1 << 20 };

static bool name_is_good(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length >= sizeof((manifest_file *)0)->name || name[0] == '.') return false;
    for (const char *at = name; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == '/' || *at == '\\') return false;
    return strcmp(name, MANIFEST) != 0;
}

static bool hash_is_good(const char *hex) {
    return strlen(hex) == SHA256_HEX - 1 && strspn(hex, "0123456789abcdef") == SHA256_HEX - 1;
}

status manifest_add_file(manifest *m, const char *directory, const char *name) {
    status st;
    char path[PATH_SIZE];
    manifest_file file = {0};
    int64_t at = 0;
    if (!name_is_good(name))
        TRY(status_fail(ST_INTERNAL, "%s: no file name for a manifest: \"%s\"", directory, name));
    TRY(path_join(path, directory, name));
    snprintf(file.name, sizeof file.name, "%s", name);
    TRY(file_size(path, &file.bytes));
    TRY(file_sha256(path, file.sha256));
    while (at < m->count && strcmp(m->files[at].name, name) < 0) at++;
    if (at < m->count && strcmp(m->files[at].name, name) == 0)
        TRY(status_fail(ST_INTERNAL, "%s: twice in the manifest", path));
    manifest_file *more = realloc(m->files, (size_t)(m->count + 1) * sizeof *more);
    if (!more) TRY(status_memory("a manifest", (m->count + 1) * (int64_t)sizeof *more));
    memmove(more + at + 1, more + at, (size_t)(m->count - at) * sizeof *more);
    more[at] = file;
    m->files = more;
    m->count++;
done:
    return st;
}

/* The manifest as a new JSON object, sealed. */
static status to_json(const manifest *m, json_t **out) {
    status st = ST_OK;
    json_t *files = json_array(), *object = NULL;
    for (int64_t i = 0; i < m->count; i++) {
        const manifest_file *f = &m->files[i];
        json_t *file = json_pack("{s:s, s:I, s:s}", "name", f->name, "bytes", (json_int_t)f->bytes,
                                 "sha256", f->sha256);
        if (json_array_append_new(files, file) != 0) TRY(status_memory("a manifest", 0));
    }
    object = json_pack("{s:s, s:i, s:s, s:O, s:O*}", "kind", m->kind, "version", VERSION,
                       "fingerprint", m->fingerprint, "files", files, "detail", m->detail);
    if (!object)
        TRY(status_fail(ST_INTERNAL, "a manifest of kind \"%s\" is no UTF-8 text or too large",
                        m->kind));
    TRY(seal_put(object));
    *out = json_incref(object);
done:
    json_decref(object);
    json_decref(files);
    return st;
}

status manifest_write(const manifest *m, const char *directory) {
    status st;
    char path[PATH_SIZE];
    json_t *object = NULL;
    char *text = NULL;
    TRY(path_join(path, directory, MANIFEST));
    TRY(to_json(m, &object));
    text = json_dumps(object, FORMAT);
    if (!text) TRY(status_memory("a manifest", 0));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
done:
    free(text);
    json_decref(object);
    return st;
}

status manifest_remove(const char *directory) {
    status st;
    char path[PATH_SIZE];
    TRY(path_join(path, directory, MANIFEST));
    TRY(file_remove_tree(path));
    TRY(file_sync(directory));
done:
    return st;
}

/* An entry of "files": exactly {"name", "bytes", "sha256"}, sorted behind `before` (NULL: none). */
static status file_from_json(json_t *item, const manifest_file *before, manifest_file *out,
                             const char *path) {
    const char *name = NULL, *sha256 = NULL;
    json_int_t bytes = -1;
    json_error_t error;
    if (json_unpack_ex(item, &error, JSON_STRICT, "{s:s, s:I, s:s}", "name", &name, "bytes", &bytes,
                       "sha256", &sha256) != 0)
        return status_fail(ST_INTEGRITY, "%s: a broken entry in \"files\": %s", path, error.text);
    if (!name_is_good(name))
        return status_fail(ST_INTEGRITY, "%s: \"%s\" is no plain file name", path, name);
    if (before && strcmp(before->name, name) >= 0)
        return status_fail(ST_INTEGRITY, "%s: the files are not in ascending order at %s", path,
                           name);
    if (bytes < 0 || !hash_is_good(sha256))
        return status_fail(ST_INTEGRITY, "%s: bad size or SHA-256 of %s", path, name);
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->sha256, sizeof out->sha256, "%s", sha256);
    out->bytes = bytes;
    return ST_OK;
}

static status from_json(json_t *object, const char *path, manifest *m) {
    status st;
    const char *kind, *fingerprint, *sealed; /* sealed: seal_check() compares it */
    json_t *files;
    json_error_t error;
    if (json_unpack_ex(object, &error, JSON_STRICT, "{s:s, s:i, s:s, s:o, s?O, s:s}", "kind", &kind,
                       "version", &m->version, "fingerprint", &fingerprint, "files", &files,
                       "detail", &m->detail, "seal", &sealed) != 0)
        TRY(status_fail(ST_INTEGRITY, "%s: not a manifest: %s", path, error.text));
    if (m->version != VERSION)
        TRY(status_fail(ST_INTEGRITY, "%s: schema version %d; this program reads version %d", path,
                        m->version, VERSION));
    if (strlen(kind) >= sizeof m->kind || strlen(fingerprint) >= sizeof m->fingerprint)
        TRY(status_fail(ST_INTEGRITY, "%s: kind or fingerprint is too long", path));
    snprintf(m->kind, sizeof m->kind, "%s", kind);
    snprintf(m->fingerprint, sizeof m->fingerprint, "%s", fingerprint);
    if (!json_is_array(files) || json_array_size(files) > FILES_MAX)
        TRY(status_fail(ST_INTEGRITY, "%s: \"files\" is no list of at most %d", path, FILES_MAX));
    int64_t n = (int64_t)json_array_size(files);
    TRY(array_alloc(&m->files, n, sizeof *m->files, path));
    for (int64_t i = 0; i < n; i++) {
        const manifest_file *before = i > 0 ? &m->files[i - 1] : NULL;
        TRY(file_from_json(json_array_get(files, (size_t)i), before, &m->files[i], path));
        m->count = i + 1;
    }
    TRY(seal_check(object, path, m->seal));
done:
    return st;
}

status manifest_check_size(const manifest *m, const char *directory, int64_t index) {
    status st;
    char path[PATH_SIZE];
    const manifest_file *f = &m->files[index];
    int64_t bytes = 0;
    TRY(path_join(path, directory, f->name));
    TRY(file_refuse_link(path));
    if (file_size(path, &bytes) != ST_OK)
        TRY(status_fail(ST_INTEGRITY, "%s, which is in the manifest", status_message()));
    if (bytes != f->bytes)
        TRY(status_fail(ST_INTEGRITY, "%s: %" PRId64 " bytes, but %" PRId64 " in the manifest",
                        path, bytes, f->bytes));
done:
    return st;
}

status manifest_read(const char *directory, const char *kind, manifest *out) {
    status st = manifest_read_alone(directory, kind, out);
    for (int64_t i = 0; i < out->count && st == ST_OK; i++)
        st = manifest_check_size(out, directory, i);
    if (st != ST_OK) manifest_free(out);
    return st;
}

status manifest_read_alone(const char *directory, const char *kind, manifest *out) {
    status st;
    char path[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    json_t *object = NULL;
    json_error_t error;
    manifest m = {0};
    *out = m;
    TRY(path_join(path, directory, MANIFEST));
    TRY(file_refuse_link(path));
    if (!file_exists(path))
        TRY(status_fail(ST_INPUT,
                        "%s: nothing is published here (no " MANIFEST "): has the stage "
                        "that makes it run?",
                        directory));
    TRY(file_read(path, MANIFEST_MAX, &text, &bytes));
    object = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        TRY(status_fail(ST_INTEGRITY, "%s:%d: broken JSON: %s", path, error.line, error.text));
    TRY(from_json(object, path, &m));
    TRY(seal_check_text(object, FORMAT, text, bytes, path));
    if (kind && strcmp(m.kind, kind) != 0)
        TRY(status_fail(ST_INPUT, "%s: holds a %s, not a %s", directory, m.kind, kind));
    *out = m;
    m = (manifest){0};
done:
    manifest_free(&m);
    json_decref(object);
    free(text);
    return st;
}

status manifest_check_file(const manifest *m, const char *directory, int64_t index) {
    status st;
    char path[PATH_SIZE], hex[SHA256_HEX];
    const manifest_file *f = &m->files[index];
    TRY(path_join(path, directory, f->name));
    if (file_sha256(path, hex) != ST_OK)
        TRY(status_fail(ST_INTEGRITY, "%s, which is in the manifest", status_message()));
    if (strcmp(hex, f->sha256) != 0)
        TRY(status_fail(ST_INTEGRITY, "%s: damaged: its SHA-256 is %s, but %s in the manifest",
                        path, hex, f->sha256));
done:
    return st;
}

status manifest_refuse_newer(const char *directory) {
    status st;
    char path[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    json_t *object = NULL;
    TRY(path_join(path, directory, MANIFEST));
    /* What cannot be read is damaged or missing, and not newer. */
    if (!file_exists(path) || file_read(path, MANIFEST_MAX, &text, &bytes) != ST_OK) goto done;
    object = json_loadb(text, (size_t)bytes, 0, NULL);
    if (json_integer_value(json_object_get(object, "version")) > VERSION)
        st = status_fail(ST_INTEGRITY,
                         "%s was written by a newer version of ctaug (schema %" JSON_INTEGER_FORMAT
                         ", this program knows %d): use that version, or move %s away",
                         path, json_integer_value(json_object_get(object, "version")), VERSION,
                         directory);
done:
    json_decref(object);
    free(text);
    return st;
}

void manifest_free(manifest *m) {
    free(m->files);
    json_decref(m->detail);
    *m = (manifest){0};
}
