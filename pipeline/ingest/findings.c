/* The table is for a terminal: one row a finding, at most ROWS, the rest by number. */
#include "pipeline/ingest/findings.h"

#include "io/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { VERSION = 1, ROWS = 20, REPORT_MAX = 1 << 30, SHOWN = 4 * PATH_SIZE };

static const char *const scope_names[FAULT_SCOPES] = {[FAULT_FILE] = "file",
                                                      [FAULT_SEG] = "segmentation",
                                                      [FAULT_SERIES] = "series",
                                                      [FAULT_NOTE] = "nothing"};

static const char *const text_names[FAULT_TEXTS] = {
    [FAULT_PATH] = "file",   [FAULT_UID] = "series",    [FAULT_TAG] = "tag",
    [FAULT_VALUE] = "value", [FAULT_REASON] = "reason", [FAULT_ADVICE] = "advice"};

int64_t findings_faults(const fault_list *faults) {
    int64_t count = 0;
    for (int64_t i = 0; i < faults->count; i++) count += !faults->items[i].ordinary;
    return count;
}

/* The path without that of the archive. */
static const char *inside(const stage_context *s, const char *path) {
    const char *archive = s->study->ingest.dicom;
    const size_t length = strlen(archive);
    if (strncmp(path, archive, length) != 0) return path;
    path += length;
    return path + strspn(path, "/");
}

/* ---- the table ---- */

static void print_row(const stage_context *s, const fault *f) {
    char path[SHOWN], reason[SHOWN], advice[SHOWN], what[64];
    printable(f->text[FAULT_PATH], 0, path, sizeof path);
    printable(f->text[FAULT_REASON], 0, reason, sizeof reason);
    printable(f->text[FAULT_ADVICE], 0, advice, sizeof advice);
    const char *word = f->scope == FAULT_NOTE ? "note" : scope_names[f->scope];
    snprintf(what, sizeof what, "%s", word);
    if (f->files > 1 && f->scope == FAULT_FILE)
        snprintf(what, sizeof what, "%" PRId64 " files", f->files);
    else if (f->files > 1)
        snprintf(what, sizeof what, "%s (%" PRId64 " files)", word, f->files);
    /* The reason of a reader names the tag itself. */
    const bool named = f->text[FAULT_TAG][0] && !strstr(reason, f->text[FAULT_TAG]);
    log_info(s->log, "  %-18s %s: %s%s%s%s%s", what, path, named ? f->text[FAULT_TAG] : "",
             named ? ": " : "", reason, advice[0] ? "; to do: " : "", advice);
}

void findings_print(const stage_context *s, const fault_list *faults, int64_t from) {
    int64_t rows = 0, more = 0;
    if (comm_rank(s->comm) != 0) return;
    for (int ordinary = 0; ordinary < 2; ordinary++)
        for (int64_t i = from; i < faults->count; i++) {
            const fault *f = &faults->items[i];
            if (f->ordinary != (ordinary == 1)) continue;
            if (rows == ROWS) {
                more++;
                continue;
            }
            if (rows++ == 0) log_info(s->log, "  %-18s %s", "left out", "file: reason; to do");
            print_row(s, f);
        }
    if (more > 0) log_info(s->log, "  and %" PRId64 " more: see " INGEST_REPORT, more);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The number of different series that are left out. Of a shortage of memory it is the number of
 * records. */
static int64_t count_series(const fault_list *faults) {
    const char **uids = NULL;
    int64_t count = 0, different = 0;
    if (array_alloc(&uids, faults->count, sizeof *uids, "series") != ST_OK)
        return faults_count(faults, FAULT_SERIES, false, NULL);
    for (int64_t i = 0; i < faults->count; i++)
        if (faults->items[i].scope == FAULT_SERIES)
            uids[count++] = faults->items[i].text[FAULT_UID];
    qsort(uids, (size_t)count, sizeof *uids, by_text);
    for (int64_t i = 0; i < count; i++) different += i == 0 || strcmp(uids[i], uids[i - 1]) != 0;
    free(uids);
    return different;
}

void findings_sum(const stage_context *s, const series_list *list, const stored_counts *stored) {
    const fault_list *faults = &list->faults;
    int64_t files = 0;
    char text[320];
    if (comm_rank(s->comm) != 0) return;
    const int64_t series = count_series(faults);
    const int64_t segs = faults_count(faults, FAULT_SEG, false, NULL);
    faults_count(faults, FAULT_FILE, false, &files);
    if (series + segs + files == 0) return;
    snprintf(text, sizeof text,
             "left out: %" PRId64 " series, %" PRId64 " segmentations and %" PRId64
             " single files (%" PRId64 " of them not DICOM); %" PRId64 " volumes of %" PRId64
             " patients are sound; " INGEST_REPORT " in the run directory says why",
             series, segs, files, list->not_dicom, stored->volumes, stored->patients);
    if (findings_faults(faults) > 0)
        log_warning(s->log, "%s", text);
    else
        log_info(s->log, "%s", text);
}

/* ---- the file ---- */

/* Replaces quoted text that is no number by '...': values of headers may name a person. */
static void redact(const char *text, char *out, size_t size) {
    size_t used = 0;
    while (*text && used + 8 < size) {
        const char *end = *text == '\'' ? strchr(text + 1, '\'') : NULL;
        const size_t length = end ? (size_t)(end - text - 1) : 0;
        if (end && strspn(text + 1, "0123456789+-.,eE\\ ") != length) {
            memcpy(out + used, "'...'", 5);
            used += 5;
            text = end + 1;
        } else {
            out[used++] = *text++;
        }
    }
    out[used] = '\0';
}

static json_t *finding_json(const stage_context *s, const fault *f, bool late) {
    char plain[SHOWN], shown[SHOWN];
    json_t *object =
        json_pack("{s:s, s:b, s:b, s:I}", "left_out", scope_names[f->scope], "ordinary",
                  f->ordinary, "late", late, "files", (json_int_t)f->files);
    for (int k = 0; k < FAULT_TEXTS && object; k++) {
        const char *text = k == FAULT_PATH ? inside(s, f->text[k]) : f->text[k];
        if (k == FAULT_REASON) {
            redact(text, plain, sizeof plain);
            text = plain;
        }
        printable(text, 0, shown, sizeof shown);
        if (json_object_set_new(object, text_names[k], json_string(shown)) == 0) continue;
        json_decref(object);
        object = NULL;
    }
    return object;
}

static json_t *report_json(const stage_context *s, const series_list *list, int64_t late,
                           const stored_counts *stored, const char *fingerprint) {
    const fault_list *faults = &list->faults;
    int64_t files = 0;
    json_t *findings = json_array();
    for (int64_t i = 0; i < faults->count; i++) {
        if (json_array_append_new(findings, finding_json(s, &faults->items[i], i >= late)) == 0)
            continue;
        json_decref(findings);
        return NULL;
    }
    faults_count(faults, FAULT_FILE, false, &files);
    return json_pack(
        "{s:s, s:i, s:s, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I}, s:o}", "kind",
        "ingest", "version", VERSION, "fingerprint", fingerprint, "files", (json_int_t)list->files,
        "not_dicom", (json_int_t)list->not_dicom, "other_objects", (json_int_t)list->others,
        "stored", "volumes", (json_int_t)stored->volumes, "patients", (json_int_t)stored->patients,
        "slices", (json_int_t)stored->slices, "unlabelled", (json_int_t)stored->unlabelled,
        "left_out", "series", (json_int_t)count_series(faults), "segmentations",
        (json_int_t)faults_count(faults, FAULT_SEG, false, NULL), "files", (json_int_t)files,
        "findings", findings);
}

status findings_write(const stage_context *s, const series_list *list, int64_t late,
                      const stored_counts *stored, const char *fingerprint) {
    status st = ST_OK;
    char path[PATH_SIZE];
    char *text = NULL;
    json_t *report = report_json(s, list, late, stored, fingerprint);
    const mode_t mask = umask(077); /* also with --share: it holds paths */
    if (report) text = json_dumps(report, JSON_INDENT(1) | JSON_SORT_KEYS);
    if (!text) TRY(status_memory("the report of ingest", 0));
    TRY(path_join(path, s->study->out, INGEST_REPORT));
    TRY(file_make_dirs(s->study->out));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
done:
    umask(mask);
    free(text);
    json_decref(report);
    return st;
}

/* Appends a late finding as it was written; nothing if it is none. */
static void recall_one(const stage_context *s, const json_t *object, fault_list *faults,
                       status *st) {
    fault f = {.scope = FAULT_SCOPES,
               .files = json_integer_value(json_object_get(object, "files"))};
    char path[PATH_SIZE];
    const char *scope = json_string_value(json_object_get(object, "left_out"));
    if (!json_is_true(json_object_get(object, "late")) || !scope) return;
    for (int k = 0; k < FAULT_SCOPES; k++)
        if (strcmp(scope, scope_names[k]) == 0) f.scope = (fault_scope)k;
    f.ordinary = json_is_true(json_object_get(object, "ordinary"));
    for (int k = 0; k < FAULT_TEXTS; k++)
        f.text[k] = json_string_value(json_object_get(object, text_names[k]));
    if (f.scope == FAULT_SCOPES || !f.text[FAULT_PATH]) return;
    if (path_join(path, s->study->ingest.dicom, f.text[FAULT_PATH]) != ST_OK) return;
    f.text[FAULT_PATH] = path;
    *st = fault_add(faults, &f);
}

/* Local; for rank 0. A report that cannot be read says nothing. */
static status recall(const stage_context *s, const char *fingerprint, fault_list *late) {
    status st;
    char path[PATH_SIZE];
    char *text = NULL;
    int64_t bytes = 0;
    json_t *report = NULL;
    TRY(path_join(path, s->study->out, INGEST_REPORT));
    if (!file_exists(path)) goto done;
    TRY(file_read(path, REPORT_MAX, &text, &bytes));
    report = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, NULL);
    const char *of = json_string_value(json_object_get(report, "fingerprint"));
    if (!of || strcmp(of, fingerprint) != 0) goto done;
    const json_t *findings = json_object_get(report, "findings");
    for (size_t i = 0; i < json_array_size(findings) && st == ST_OK; i++)
        recall_one(s, json_array_get(findings, i), late, &st);
done:
    free(text);
    json_decref(report);
    return st == ST_INPUT ? ST_OK : st;
}

status findings_recall(const stage_context *s, const char *fingerprint, fault_list *faults) {
    fault_list late = {0};
    status st = comm_rank(s->comm) == 0 ? recall(s, fingerprint, &late) : ST_OK;
    TRY(comm_agree(s->comm, st));
    TRY(faults_gather(s->comm, &late));
    for (int64_t i = 0; i < late.count && st == ST_OK; i++) st = fault_add(faults, &late.items[i]);
    TRY(comm_agree(s->comm, st));
done:
    faults_free(&late);
    return st;
}
