/* Each function packs its arguments, asks the child, and unpacks the reply. */
#include "io/decoder_jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const int64_t MEMORY_BASE = INT64_C(1) << 30, MEMORY_FACTOR = 16; /* bytes */
static const int64_t SECONDS_BASE = 60, BYTES_PER_SECOND = INT64_C(4) << 20;

static const int64_t CLOCK_FACTOR = 10; /* processors are shared, and file systems slow */

static helper *child; /* of this process; NULL: it decodes by itself */

/* The one argument of the child. */
static const char verb[] = "decode-for-ctaug";

static bool answers; /* this program, started with `verb`, is a decoder */

bool decoder_is_wanted(int argc, char **argv) {
    answers = true;
    return argc == 2 && strcmp(argv[1], verb) == 0;
}

status decoder_begin(void) { return child || !answers ? ST_OK : helper_start(verb, &child); }

void decoder_end(void) {
    helper_stop(child);
    child = NULL;
}

/* Size of a file; 0 if it cannot be told, which its reader will say. */
static int64_t bytes_of(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 ? (int64_t)s.st_size : 0;
}

/* The limits of work on so many files of together `file_bytes` bytes, whose largest array has
 * `voxels` elements. */
static helper_limits limits_of(int64_t files, int64_t file_bytes, int64_t voxels) {
    int64_t size = 0, memory = 0;
    if (!size_add(file_bytes, voxels, &size) || !size_mul(size, MEMORY_FACTOR, &memory) ||
        !size_add(memory, MEMORY_BASE, &memory))
        memory = INT64_MAX / 2;
    const int64_t seconds = files * SECONDS_BASE + file_bytes / BYTES_PER_SECOND;
    return (helper_limits){memory, seconds, CLOCK_FACTOR * seconds};
}

/* What ended the child is the fault of the file, and so is that it needs too much memory. */
static status blame(status st, const char *path, const helper_request *request,
                    const helper_reply *reply) {
    if (!reply->ended && st == ST_INPUT)
        return status_fail(ST_INPUT, "%s: cannot be decoded: the decoder %s", path,
                           status_message());
    if (reply->ended && st == ST_INTERNAL)
        return status_fail(ST_INPUT, "%s: cannot be decoded within %" PRId64 " MiB: %s", path,
                           request->limits.memory >> 20, status_message());
    if (!reply->ended && st == ST_INTERNAL)
        return status_fail(st, "%s: %s", path, status_message());
    return st;
}

static status ask(helper_request *request, const char *path, int64_t voxels, helper_reply *reply) {
    request->limits = limits_of(1, bytes_of(path), voxels);
    return blame(helper_ask(child, request, reply), path, request, reply);
}

/* ---- headers ---- */

static status put_path(char out[PATH_SIZE], const char *path) {
    memset(out, 0, PATH_SIZE);
    return path_join(out, "", path);
}

status decoder_read_headers(const char *path, dicom_header **frames, int64_t *count) {
    char packed[PATH_SIZE];
    helper_reply reply = {0};
    *frames = NULL;
    *count = 0;
    if (!child) return read_headers_here(path, frames, count);
    status st = put_path(packed, path);
    if (st != ST_OK) return st;
    st = ask(&(helper_request){.job = JOB_HEADERS, .data = packed, .bytes = sizeof packed}, path, 0,
             &reply);
    if (st != ST_OK) {
        free(reply.data);
        return st;
    }
    *frames = reply.data;
    *count = reply.bytes / (int64_t)sizeof **frames;
    return ST_OK;
}

/* Checks and copies a reply of known size. */
static status take(status st, helper_reply *reply, void *out, int64_t bytes) {
    if (st == ST_OK && reply->bytes != bytes)
        st = status_fail(ST_INTERNAL, "the decoder gave a reply of another size");
    if (st == ST_OK) memcpy(out, reply->data, (size_t)bytes);
    free(reply->data);
    return st;
}

status decoder_salvage(const char *path, dicom_header *out, dicom_remains *remains) {
    char packed[PATH_SIZE];
    salvage_reply both;
    helper_reply reply = {0};
    if (!child) return dicom_salvage(path, out, remains);
    status st = put_path(packed, path);
    if (st != ST_OK) return st;
    st = ask(&(helper_request){.job = JOB_SALVAGE, .data = packed, .bytes = sizeof packed}, path, 0,
             &reply);
    st = take(st, &reply, &both, sizeof both);
    if (st != ST_OK) return st;
    *out = both.header;
    *remains = both.remains;
    return ST_OK;
}

/* ---- pixels ---- */

status decoder_read_ct(const dicom_header *h, int16_t *hu) {
    int64_t pixels = 0, bytes = 0;
    helper_reply reply = {0};
    void *shared;
    if (!child) return dicom_read_ct(h, hu);
    if (!size_mul(h->rows, h->columns, &pixels) || !size_mul(pixels, sizeof *hu, &bytes))
        return status_fail(ST_INPUT, "%s: too large to be decoded", h->path);
    status st = helper_share(child, bytes, &shared);
    if (st != ST_OK) return st;
    st = ask(&(helper_request){.job = JOB_CT, .data = h, .bytes = sizeof *h}, h->path, pixels,
             &reply);
    free(reply.data);
    if (st == ST_OK) memcpy(hu, shared, (size_t)bytes);
    return st;
}

/* ---- labels ---- */

status decoder_seg_fits(const char *path, const geometry *space, const char *frame_of_reference_uid,
                        bool *fits) {
    fits_request packed = {.space = *space};
    helper_reply reply = {0};
    if (!child) return dicom_seg_fits(path, space, frame_of_reference_uid, fits);
    status st = put_path(packed.path, path);
    if (st != ST_OK) return st;
    snprintf(packed.frame_of_reference_uid, sizeof packed.frame_of_reference_uid, "%s",
             frame_of_reference_uid);
    st = ask(&(helper_request){.job = JOB_SEG_FITS, .data = &packed, .bytes = sizeof packed}, path,
             0, &reply);
    return take(st, &reply, fits, sizeof *fits);
}

status decoder_label_texts(const char *path, dicom_kind kind, structure_texts *texts) {
    texts_request packed = {.kind = kind};
    helper_reply reply = {0};
    if (!child) return label_file_texts(path, kind, texts);
    status st = put_path(packed.path, path);
    if (st != ST_OK) return st;
    st = ask(&(helper_request){.job = JOB_LABEL_TEXTS, .data = &packed, .bytes = sizeof packed},
             path, 0, &reply);
    const char(*found)[STRUCTURE_TEXT] = reply.data;
    for (int64_t k = 0; k < reply.bytes / STRUCTURE_TEXT && st == ST_OK; k++)
        st = structure_texts_add(texts, found[k]);
    free(reply.data);
    return st;
}

status decoder_label_grid(const char *path, dicom_kind kind, geometry *space) {
    texts_request packed = {.kind = kind};
    helper_reply reply = {0};
    if (!child) return label_file_grid(path, kind, space);
    status st = put_path(packed.path, path);
    if (st != ST_OK) return st;
    st = ask(&(helper_request){.job = JOB_LABEL_GRID, .data = &packed, .bytes = sizeof packed},
             path, 0, &reply);
    return take(st, &reply, space, sizeof *space);
}

/* The first file with the names of file k. */
static int64_t first_like(const label_files *files, int64_t k) {
    int64_t first = 0;
    while (files->items[first].names != files->items[k].names) first++;
    return first;
}

/* How many tables of names the first n files have. */
static int64_t count_tables(const label_files *files, int64_t n) {
    int64_t tables = 0;
    for (int64_t k = 0; k < n; k++) tables += first_like(files, k) == k;
    return tables;
}

static void put_name(const char *name, FILE *f) {
    char packed[LABEL_NAME] = "";
    snprintf(packed, sizeof packed, "%s", name);
    fwrite(packed, sizeof packed, 1, f);
}

static void put_table(const structure_names *names, FILE *f) {
    const size_t texts = (size_t)names->texts.count;
    fwrite(&names->texts.count, sizeof names->texts.count, 1, f);
    fwrite(names->texts.at, STRUCTURE_TEXT, texts, f);
    fwrite(names->values, sizeof *names->values, texts, f);
}

/* The arguments as one block. The caller frees *out. */
static status pack_labels(const label_files *files, const seg_target *to, char **out,
                          int64_t *bytes) {
    const overlap_rule *rule = &files->overlap;
    const label_set *set = &files->items[0].names->set;
    size_t length = 0;
    labels_request head = {.files = files->count,
                           .names = set->count,
                           .order = rule->order_count,
                           .tables = count_tables(files, files->count),
                           .overlap = rule->kind,
                           .space = *to->space,
                           .fractional = to->fractional};
    FILE *f = open_memstream(out, &length);
    if (!f) return status_memory("a request", 0);
    snprintf(head.frame_of_reference_uid, sizeof head.frame_of_reference_uid, "%s",
             to->frame_of_reference_uid);
    fwrite(&head, sizeof head, 1, f);
    for (int64_t k = 0; k < files->count; k++) {
        packed_file packed = {.kind = files->items[k].kind,
                              .table = count_tables(files, first_like(files, k))};
        snprintf(packed.path, sizeof packed.path, "%s", files->items[k].path);
        fwrite(&packed, sizeof packed, 1, f);
    }
    fwrite(set->name, LABEL_NAME, (size_t)set->count, f);
    for (int k = 0; k < rule->order_count; k++) put_name(rule->order[k], f);
    for (int64_t k = 0; k < files->count; k++)
        if (first_like(files, k) == k) put_table(files->items[k].names, f);
    const bool failed = ferror(f);
    if (fclose(f) != 0 || failed) return status_memory("a request", (int64_t)length);
    *bytes = (int64_t)length;
    return ST_OK;
}

status decoder_read_labels(const label_files *files, const seg_target *to, uint8_t *labels,
                           label_tally *tally) {
    status st;
    char *packed = NULL;
    int64_t bytes = 0, voxels = 0, file_bytes = 0;
    void *shared;
    helper_reply reply = {0};
    if (!child) return label_files_read(files, to, labels, tally);
    *tally = (label_tally){0};
    TRY(geometry_voxels(to->space, &voxels));
    TRY(pack_labels(files, to, &packed, &bytes));
    for (int64_t k = 0; k < files->count; k++) file_bytes += bytes_of(files->items[k].path);
    helper_request request = {.job = JOB_LABELS,
                              .limits = limits_of(files->count, file_bytes, voxels),
                              .data = packed,
                              .bytes = bytes};
    TRY(helper_share(child, LABELS_AT + voxels, &shared));
    memset(shared, 0, LABELS_AT);
    st = helper_ask(child, &request, &reply);
    memcpy(tally, shared, sizeof *tally);
    if (tally->file < 0 || tally->file >= files->count) tally->file = 0;
    TRY(blame(st, files->items[tally->file].path, &request, &reply));
    memcpy(labels, (uint8_t *)shared + LABELS_AT, (size_t)voxels);
done:
    free(reply.data);
    free(packed);
    return st;
}
