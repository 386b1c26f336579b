/* Rank 0 reads and writes the record; every rank hashes each n-th file, in rounds, so that a stop
 * request is noticed on a large archive. */
#include "pipeline/ingest/input_hashes.h"

#include "io/activity.h"
#include "io/real_path.h"
#include "io/seal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define KIND "ingest-files"

enum { VERSION = 1, RECORD_MAX = 1 << 30, ROUND = 64, ESCAPED = 3 * PATH_SIZE };

/* Times of file systems have steps of up to 2 s. */
static const int64_t SECOND_NS = 1000000000, STEP_NS = 2000000000;

typedef struct hashing {
    const stage_context *stage;
    const char *const *paths;
    int64_t count;
    char record[PATH_SIZE], archive[ESCAPED]; /* the latter escaped; both on rank 0 only */
    int64_t time_ns;                          /* when the hashing began; rank 0 */
    int64_t recorded;                         /* entries of the old record; rank 0 */
    int64_t hashed;                           /* files that were read; summed at the end */
    int64_t mine;                             /* number of files of this rank */
    input_file *known;                        /* by the record; sha256 "": not known */
    input_file *own;                          /* this rank's files: rank, rank + ranks, ... */
    bool stopped;
} hashing;

/* ---- files ---- */

/* Times beyond the range of int64_t ns are cut to it. */
static int64_t ns_of(struct timespec t) {
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)t.tv_sec, SECOND_NS, &ns) ||
        __builtin_add_overflow(ns, (int64_t)t.tv_nsec, &ns))
        return t.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static status inspect(const char *path, input_file *file) {
    struct stat what;
    if (stat(path, &what) != 0)
        return status_fail(ST_INPUT, "%s: cannot inspect: %s", path, strerror(errno));
    file->bytes = what.st_size;
    file->mtime_ns = ns_of(what.st_mtim);
    return ST_OK;
}

static bool is_same(const input_file *a, const input_file *b) {
    return a->bytes == b->bytes && a->mtime_ns == b->mtime_ns;
}

status input_file_check(const input_file *file, const char *path) {
    input_file now = {0};
    status st = inspect(path, &now);
    if (st == ST_OK && !is_same(file, &now))
        st = status_fail(ST_INPUT, "%s: was changed while it was read; run again", path);
    return st;
}

/* Takes the hash of file i from the record or from its content. */
static status hash_file(hashing *h, int64_t i, input_file *file) {
    status st;
    TRY(inspect(h->paths[i], file));
    if (h->known[i].sha256[0] && is_same(file, &h->known[i])) {
        memcpy(file->sha256, h->known[i].sha256, sizeof file->sha256);
        goto done;
    }
    TRY(file_sha256(h->paths[i], file->sha256));
    TRY(input_file_check(file, h->paths[i]));
    h->hashed++;
done:
    return st;
}

/* ---- the record ---- */

/* Everything but plain ASCII becomes %xx, so that any name fits into JSON and no two are alike. */
static void escape(const char *text, char out[ESCAPED]) {
    for (; *text; text++) {
        const unsigned char byte = (unsigned char)*text;
        const bool plain = byte > ' ' && byte <= '~' && byte != '%' && byte != '"' && byte != '\\';
        out += snprintf(out, 4, plain ? "%c" : "%%%02x", byte);
    }
    *out = '\0';
}

/* The key of a file: its path relative to the archive. */
static void key_of(const hashing *h, int64_t i, char out[ESCAPED]) {
    const char *path = h->paths[i], *archive = h->stage->study->ingest.dicom;
    const size_t length = strlen(archive);
    if (strncmp(path, archive, length) == 0) path += length;
    escape(path + strspn(path, "/"), out);
}

/* The record as a new reference; *out is NULL if there is none. ST_INTEGRITY if it is damaged. */
static status record_load(const char *path, json_t **out, bool *newer) {
    status st = ST_OK;
    char *text = NULL, seal[SHA256_HEX];
    int64_t bytes = 0;
    json_t *object = NULL;
    json_error_t error;
    *out = NULL;
    *newer = false;
    TRY(file_refuse_link(path));
    if (!file_exists(path)) goto done;
    TRY(file_read(path, RECORD_MAX, &text, &bytes));
    object = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &error);
    if (!object) TRY(status_fail(ST_INTEGRITY, "%s: no JSON: %s", path, error.text));
    *newer = json_integer_value(json_object_get(object, "version")) > VERSION;
    if (*newer)
        TRY(status_fail(ST_INTEGRITY,
                        "%s was written by a newer version of ctaug: use that version, or move "
                        "the file away",
                        path));
    TRY(seal_check(object, path, seal));
    *out = json_incref(object);
done:
    json_decref(object);
    free(text);
    return st == ST_INPUT ? ST_INTEGRITY : st;
}

typedef struct contents {
    json_t *files; /* borrowed */
    const char *archive;
    int64_t time_ns;
} contents;

static status record_parse(json_t *object, const char *path, contents *out) {
    const char *kind = NULL, *seal = NULL;
    json_int_t version = 0, time_ns = 0;
    json_error_t error;
    *out = (contents){0};
    if (json_unpack_ex(object, &error, JSON_STRICT, "{s:s, s:I, s:s, s:I, s:o, s:s}", "kind", &kind,
                       "version", &version, "archive", &out->archive, "time_ns", &time_ns, "files",
                       &out->files, "seal", &seal) != 0 ||
        strcmp(kind, KIND) != 0 || version != VERSION || !json_is_object(out->files))
        return status_fail(ST_INTEGRITY, "%s: no record of input files", path);
    out->time_ns = time_ns;
    return ST_OK;
}

/* One entry; false if it is not as it is written. */
static bool entry_parse(json_t *entry, input_file *out) {
    json_int_t bytes = -1, mtime_ns = 0;
    const char *hex = NULL;
    if (json_unpack_ex(entry, NULL, JSON_STRICT, "{s:I, s:I, s:s}", "bytes", &bytes, "mtime_ns",
                       &mtime_ns, "sha256", &hex) != 0)
        return false;
    *out = (input_file){.bytes = bytes, .mtime_ns = mtime_ns};
    if (bytes < 0 || strlen(hex) != SHA256_HEX - 1 ||
        strspn(hex, "0123456789abcdef") != SHA256_HEX - 1)
        return false;
    memcpy(out->sha256, hex, SHA256_HEX);
    return true;
}

/* Fills h->known from the files of the record. */
static status take_known(hashing *h, const contents *record) {
    char key[ESCAPED];
    const int64_t trusted_until =
        record->time_ns > INT64_MIN + STEP_NS ? record->time_ns - STEP_NS : INT64_MIN;
    for (int64_t i = 0; i < h->count; i++) {
        key_of(h, i, key);
        json_t *entry = json_object_get(record->files, key);
        if (!entry) continue;
        if (!entry_parse(entry, &h->known[i]))
            return status_fail(ST_INTEGRITY, "%s: a broken entry", h->record);
        if (h->known[i].mtime_ns >= trusted_until) h->known[i] = (input_file){0};
    }
    h->recorded = (int64_t)json_object_size(record->files);
    return ST_OK;
}

/* Local; called on rank 0. */
static status read_record(hashing *h) {
    const stage_context *s = h->stage;
    status st;
    char archive[PATH_SIZE];
    json_t *object = NULL;
    contents record;
    bool newer = false;
    TRY(stage_path(s, INPUT_RECORD, h->record));
    TRY(real_path(s->study->ingest.dicom, archive));
    escape(archive, h->archive);
    st = record_load(h->record, &object, &newer);
    if (newer || st == ST_INTERNAL || (st == ST_OK && !object)) goto done;
    if (st == ST_OK) st = record_parse(object, h->record, &record);
    if (st == ST_OK && strcmp(record.archive, h->archive) != 0)
        st = status_fail(ST_INTEGRITY, "%s: is the record of another archive", h->record);
    if (st == ST_OK && !s->rehash) st = take_known(h, &record);
    if (st == ST_INTEGRITY) {
        log_warning(s->log, "%s: it is ignored, and every file is hashed", status_message());
        memset(h->known, 0, (size_t)h->count * sizeof *h->known);
        h->recorded = 0;
        st = ST_OK;
    }
done:
    json_decref(object);
    return st;
}

/* The entries of all files that have a hash. NULL if out of memory. New reference. */
static json_t *entries_of(const hashing *h, const input_file *files) {
    char key[ESCAPED];
    json_t *entries = json_object();
    for (int64_t i = 0; i < h->count; i++) {
        if (!files[i].sha256[0]) continue;
        key_of(h, i, key);
        json_t *entry =
            json_pack("{s:I, s:I, s:s}", "bytes", (json_int_t)files[i].bytes, "mtime_ns",
                      (json_int_t)files[i].mtime_ns, "sha256", files[i].sha256);
        if (json_object_set_new(entries, key, entry) == 0) continue;
        json_decref(entries);
        return NULL;
    }
    return entries;
}

/* Local; called on rank 0. */
static status write_record(const hashing *h, const input_file *files) {
    status st = ST_OK;
    char *text = NULL;
    json_t *entries = entries_of(h, files), *object = NULL;
    if (entries)
        object = json_pack("{s:s, s:i, s:s, s:I, s:O}", "kind", KIND, "version", VERSION, "archive",
                           h->archive, "time_ns", (json_int_t)h->time_ns, "files", entries);
    if (!object) TRY(status_memory("the record of input files", 0));
    TRY(seal_put(object));
    text = json_dumps(object, JSON_INDENT(1) | JSON_SORT_KEYS);
    if (!text) TRY(status_memory("the record of input files", 0));
    TRY(file_make_dirs(h->stage->study->out));
    TRY(file_write_atomic(h->record, text, (int64_t)strlen(text)));
done:
    free(text);
    json_decref(object);
    json_decref(entries);
    return st;
}

status input_record_check(const char *path, int64_t *files) {
    status st;
    json_t *object = NULL, *entry;
    const char *key;
    contents record;
    input_file file;
    bool newer = false;
    *files = -1;
    TRY(record_load(path, &object, &newer));
    if (!object) goto done;
    TRY(record_parse(object, path, &record));
    json_object_foreach(record.files, key, entry) if (!entry_parse(entry, &file))
        TRY(status_fail(ST_INTEGRITY, "%s: a broken entry", path));
    *files = (int64_t)json_object_size(record.files);
done:
    json_decref(object);
    return st;
}

/* ---- all files ---- */

/* Hashes this rank's files number `from` to `from` + ROUND. Local. */
static status hash_round(hashing *h, int64_t from) {
    const int64_t rank = comm_rank(h->stage->comm), ranks = comm_size(h->stage->comm);
    for (int64_t j = from; j < from + ROUND && j < h->mine; j++) {
        status st = hash_file(h, rank + j * ranks, &h->own[j]);
        if (st != ST_OK) return st;
        activity_step(j + 1);
        /* The other ranks are about as far. */
        const int64_t done = (j + 1) * ranks;
        log_progress_set(h->stage->log, done < h->count ? done : h->count, "files");
    }
    return ST_OK;
}

/* Collective. */
static status hash_all(hashing *h) {
    const stage_context *s = h->stage;
    const int64_t ranks = comm_size(s->comm), most = (h->count + ranks - 1) / ranks;
    status st = ST_OK;
    log_progress_begin(s->log, "hash", h->count);
    for (int64_t from = 0; from < most && !h->stopped; from += ROUND) {
        TRY(comm_agree(s->comm, hash_round(h, from)));
        if (from + ROUND < most) TRY(stage_should_stop(s, &h->stopped));
    }
    if (!h->stopped) log_progress_set(s->log, h->count, "files");
done:
    log_progress_end(s->log);
    return st;
}

/* Every rank's results in the order of the paths. Collective. */
static status gather(hashing *h, input_file *files) {
    const comm *c = h->stage->comm;
    const int64_t ranks = comm_size(c), size = (int64_t)sizeof *files;
    status st;
    void *gathered = NULL;
    int64_t total = 0;
    TRY(comm_all_gather(c, h->own, h->mine * size, &gathered, &total, NULL));
    if (total != h->count * size)
        TRY(status_fail(ST_INTERNAL, "the ranks hashed a different number of files"));
    const input_file *next = gathered;
    for (int64_t r = 0; r < ranks; r++)
        for (int64_t i = r; i < h->count; i += ranks, next++)
            files[i] = next->sha256[0] ? *next : h->known[i]; /* after a stop */
    TRY(comm_sum_i64(c, &h->hashed, 1));
done:
    free(gathered);
    return st;
}

/* Logs, records, and stops if that was asked. Collective. */
static status conclude(hashing *h, const input_file *files) {
    const stage_context *s = h->stage;
    status st = ST_OK;
    int64_t done = 0;
    for (int64_t i = 0; i < h->count; i++) done += files[i].sha256[0] != '\0';
    if (comm_rank(s->comm) == 0 && (h->hashed > 0 || h->recorded != done))
        st = write_record(h, files);
    TRY(comm_agree(s->comm, st));
    log_info(s->log,
             "archive: %" PRId64 " input files, %" PRId64 " hashed, %" PRId64
             " unchanged since they were",
             h->count, h->hashed, done - h->hashed);
    log_event(
        s->log, "hash",
        json_pack("{s:I, s:I}", "files", (json_int_t)h->count, "hashed", (json_int_t)h->hashed));
    if (h->stopped)
        TRY(status_fail(ST_STOPPED,
                        "stopped with the hashes of %" PRId64 " of %" PRId64
                        " input files, which are kept: run again",
                        done, h->count));
done:
    return st;
}

status input_hashes(const stage_context *s, const char *const *paths, int64_t n, input_file **out) {
    const int64_t rank = comm_rank(s->comm), ranks = comm_size(s->comm);
    status st;
    struct timespec now;
    hashing *h = NULL;
    input_file *files = NULL;
    *out = NULL;
    st = array_alloc(&h, 1, sizeof *h, "the hashes of input files");
    if (st == ST_OK) st = array_alloc(&h->known, n, sizeof *h->known, "hashes of input files");
    if (st == ST_OK) st = array_alloc(&files, n, sizeof *files, "hashes of input files");
    if (st == ST_OK)
        st = array_alloc(&h->own, (n + ranks - 1 - rank) / ranks, sizeof *h->own,
                         "hashes of input files");
    TRY(comm_agree(s->comm, st));
    h->stage = s;
    h->paths = paths;
    h->count = n;
    h->mine = (n + ranks - 1 - rank) / ranks;
    clock_gettime(CLOCK_REALTIME, &now);
    h->time_ns = ns_of(now);
    TRY(comm_agree(s->comm, rank == 0 ? read_record(h) : ST_OK));
    TRY(comm_broadcast(s->comm, h->known, n * (int64_t)sizeof *h->known, 0));
    TRY(hash_all(h));
    TRY(gather(h, files));
    TRY(conclude(h, files));
    *out = files;
    files = NULL;
done:
    if (h) {
        free(h->known);
        free(h->own);
    }
    free(h);
    free(files);
    return st;
}
