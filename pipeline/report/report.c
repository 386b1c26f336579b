/* The report stage: writes one HTML page and one PDF from what the other stages have published.
 *
 * The page is written only if the metrics were measured for this study and these stores, which the
 * chain of fingerprints from the study to metrics.json shows. Rank 0 does the work; the other ranks
 * wait for its status.
 */
#include "pipeline/report/report.h"

#include "io/manifest.h"
#include "pipeline/common/fingerprint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_MAX = 64 << 20 };

/* "<out>/<a>/<b>". Local. */
static status output_path(const stage_context *s, const char *a, const char *b,
                          char path[PATH_SIZE]) {
    char directory[PATH_SIZE];
    status st = stage_path(s, a, directory);
    return st == ST_OK ? path_join(path, directory, b) : st;
}

/* Adds to the message of an ST_INPUT which verb makes the missing input. Local. */
static status name_verb(status st, const char *verb) {
    if (st != ST_INPUT) return st;
    return status_fail(st, "%.800s (ctaug %s makes it)", status_message(), verb);
}

/* Opens both stores and checks that they belong together. Local. */
static status open_stores(report *r) {
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(stage_path(r->stage, "store", path));
    TRY(name_verb(store_open(path, &r->real), "ingest"));
    TRY(stage_path(&r->first.stage, "synthetic", path));
    TRY(name_verb(store_open(path, &r->synthetic), "generate"));
    TRY(fingerprint_check_synthetic(&r->first.study, r->real, r->synthetic, &r->checkpoint_step));
done:
    return st;
}

/* ST_INPUT unless `fingerprint` is that of the metrics of this study and its stores. Local. */
static status check_metrics(const report *r, const char *fingerprint) {
    status st = ST_OK;
    char metrics[SHA256_HEX];
    const study *s = r->stage->study;
    TRY(cells_fingerprint(r->stage, store_manifest(r->real)->seal, metrics));
    if (strcmp(metrics, fingerprint) != 0)
        st = status_fail(ST_INPUT,
                         "%s/metrics was measured on other data or for another study: run ctaug "
                         "evaluate first",
                         s->out);
done:
    return st;
}

/* Checks the files of the metrics and reads metrics.json. Local. */
static status read_metrics(report *r) {
    status st = ST_OK;
    char directory[PATH_SIZE], path[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    manifest m = {0};
    json_error_t error;
    TRY(stage_path(r->stage, "metrics", directory));
    TRY(path_join(path, directory, "metrics.json"));
    TRY(name_verb(manifest_read(directory, "metrics", &m), "evaluate"));
    for (int64_t i = 0; i < m.count; i++) {
        st = manifest_check_file(&m, directory, i);
        if (st != ST_OK)
            TRY(status_fail(st, "%.500s; remove %s and run ctaug evaluate again", status_message(),
                            directory));
    }
    TRY(check_metrics(r, m.fingerprint));
    TRY(file_read(path, METRICS_MAX, &text, &bytes));
    r->metrics = json_loadb(text, (size_t)bytes, 0, &error);
    if (!r->metrics)
        st = status_fail(ST_INTEGRITY, "%s:%d: %s; remove %s and run ctaug evaluate again", path,
                         error.line, error.text, directory);
done:
    manifest_free(&m);
    free(text);
    return st;
}

/* Adds the finding of the gate to the metrics, as "gate", if there is one of this synthetic store.
 * Local. */
static status read_gate(report *r) {
    status st = ST_OK;
    char directory[PATH_SIZE], path[PATH_SIZE], expected[SHA256_HEX];
    manifest m = {0};
    json_error_t error;
    TRY(stage_path(&r->first.stage, "gate", directory));
    st = manifest_read(directory, "gate", &m);
    if (st == ST_INPUT) return ST_OK;
    TRY(st);
    TRY(fingerprint_of_gate(&r->first.study, store_manifest(r->real)->seal,
                            store_manifest(r->synthetic)->seal, expected));
    if (strcmp(m.fingerprint, expected) != 0) goto done; /* of another store */
    for (int64_t i = 0; i < m.count; i++) TRY(manifest_check_file(&m, directory, i));
    TRY(path_join(path, directory, "gate.json"));
    json_t *found = json_load_file(path, 0, &error);
    if (!found) TRY(status_fail(ST_INTEGRITY, "%s:%d: %s", path, error.line, error.text));
    if (json_object_set_new(r->metrics, "gate", found) != 0) st = status_memory("gate.json", 0);
    memcpy(r->gate_seal, m.seal, sizeof r->gate_seal);
done:
    manifest_free(&m);
    return st;
}

static status write_study_text(report *r) {
    int64_t bytes = 0;
    study shown = *r->stage->study;
    study_hide_paths(&shown);
    return study_text(&shown, false, &r->study_text, &bytes);
}

static status open_report(report *r) {
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(cell_open(r->stage, cells_first(r->stage->study), &r->first));
    TRY(open_stores(r));
    TRY(read_metrics(r));
    TRY(read_gate(r));
    TRY(split_create(r->real, &r->first.study, &r->split));
    TRY(denoiser_source_of(&r->first.stage, store_manifest(r->real)->seal, &r->source));
    TRY(path_join(path, r->source.folder, "history.json"));
    TRY(history_read(path, INFINITY, &r->history));
    TRY(write_study_text(r));
done:
    return st;
}

static void close_report(report *r) {
    json_decref(r->metrics);
    split_free(&r->split);
    history_free(&r->history);
    store_close(r->real);
    store_close(r->synthetic);
    free(r->study_text);
}

/* SHA-256 over what the page is made from: metrics.json, the loss curve and the study. Local. */
static status report_fingerprint(const report *r, char hex[SHA256_HEX]) {
    status st = ST_OK;
    char path[PATH_SIZE], metrics[SHA256_HEX], curve[SHA256_HEX] = "", *text = NULL;
    TRY(output_path(r->stage, "metrics", "metrics.json", path));
    TRY(file_sha256(path, metrics));
    TRY(path_join(path, r->source.folder, "history.json"));
    if (file_exists(path)) TRY(file_sha256(path, curve));
    int n = asprintf(&text, "report 2 %s\n%s\n%s\n%s\n%s", CTAUG_VERSION, metrics, curve,
                     r->gate_seal, r->study_text);
    if (n < 0) {
        text = NULL;
        st = status_memory("a fingerprint", 0);
        goto done;
    }
    TRY(bytes_sha256(text, n, hex));
done:
    free(text);
    return st;
}

/* Writes the page to memory; *page is owned by the caller (free()). Local. */
static status write_page(const report *r, const report_content *c, char **page, size_t *bytes) {
    FILE *f = open_memstream(page, bytes);
    if (!f) return status_memory("the report", 0);
    status st = report_page(f, r, c);
    bool full = ferror(f) != 0;
    if ((fclose(f) != 0 || full) && st == ST_OK) st = status_memory("the report", (int64_t)*bytes);
    return st;
}

/* Writes the page, the PDF and their manifest. Local. */
static status publish(const report *r, const char *directory, const char *fingerprint) {
    status st = ST_OK;
    manifest m = {.kind = "report"};
    char path[PATH_SIZE], *page = NULL;
    uint8_t *print = NULL;
    size_t bytes = 0;
    int64_t print_bytes = 0;
    report_content content = {0};
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", fingerprint);
    TRY(report_content_create(r, &content));
    TRY(write_page(r, &content, &page, &bytes));
    TRY(report_pdf(r, &content, &print, &print_bytes));
    TRY(file_make_dirs(directory));
    TRY(path_join(path, directory, "report.html"));
    TRY(manifest_remove(directory));
    TRY(file_write_atomic(path, page, (int64_t)bytes));
    TRY(manifest_add_file(&m, directory, "report.html"));
    TRY(path_join(path, directory, "report.pdf"));
    TRY(file_write_atomic(path, print, print_bytes));
    TRY(manifest_add_file(&m, directory, "report.pdf"));
    TRY(manifest_write(&m, directory));
done:
    report_content_free(&content);
    manifest_free(&m);
    free(page);
    free(print);
    return st;
}

/* Whether the published report has this fingerprint and is whole. Local. */
static bool is_current(const stage_context *s, const char *directory, const char *fingerprint) {
    manifest m = {0};
    status st = manifest_read(directory, "report", &m);
    bool current = st == ST_OK && strcmp(m.fingerprint, fingerprint) == 0;
    for (int64_t i = 0; i < m.count && st == ST_OK && current; i++)
        st = manifest_check_file(&m, directory, i);
    if (st == ST_INTEGRITY) log_warning(s->log, "%s: it is made again", status_message());
    manifest_free(&m);
    return current && st == ST_OK;
}

/* Local; called on rank 0. */
static status make_report(const stage_context *s) {
    status st = ST_OK;
    report r = {.stage = s};
    char directory[PATH_SIZE], fingerprint[SHA256_HEX];
    TRY(open_report(&r));
    TRY(report_fingerprint(&r, fingerprint));
    TRY(stage_path(s, "report", directory));
    TRY(manifest_refuse_newer(directory));
    bool current = is_current(s, directory, fingerprint);
    if (!current) TRY(publish(&r, directory, fingerprint));
    log_info(s->log, "report: %s/report.html%s", directory, current ? " is current" : "");
    log_info(s->log, "next: ctaug export --store %s/synthetic --format dicom --out DIR",
             r.first.study.out);
    log_event(s->log, "report",
              json_pack("{s:s, s:b}", "fingerprint", fingerprint, "current", (int)current));
done:
    close_report(&r);
    return st;
}

status report_stage(const stage_context *s) {
    return comm_agree(s->comm, comm_rank(s->comm) == 0 ? make_report(s) : ST_OK);
}
