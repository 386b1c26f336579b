/* Writes sweep.json and sweep.csv, and publishes them with the page. */
#include "pipeline/sweep/outputs.h"

#include "io/manifest.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *outputs_failure(status failure) {
    return failure == ST_DIVERGED ? "diverged" : "refused";
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *mean_json(const sweep_mean *m) {
    return json_pack("{s:o, s:o, s:o, s:I}", "mean", number(m->mean), "low", number(m->low), "high",
                     number(m->high), "n", (json_int_t)m->n);
}

static json_t *arm_json(const sweep_results *r, int64_t i) {
    sweep_arm a;
    if (sweep_arm_open(r->stage, i, &a) != ST_OK) return NULL;
    json_t *one = json_pack("{s:o, s:I, s:o}", "folder", json_sprintf("arms/%s", a.name), "seed",
                            (json_int_t)sweep_seed(r->stage->study, a.seed), "failed",
                            r->failure[i] == ST_OK ? json_null()
                                                   : json_string(outputs_failure(r->failure[i])));
    bool failed = !one;
    for (int c = 0; c < COLUMNS && !failed; c++)
        failed = json_object_set_new(one, sweep_columns[c].name, number(r->value[i][c])) != 0;
    if (!failed) return one;
    json_decref(one);
    return NULL;
}

static json_t *point_json(const sweep_results *r, int64_t p) {
    sweep_point point;
    sweep_point_of(r->stage->study, p, &point);
    json_t *settings = json_object(), *arms = json_array();
    bool failed = false;
    for (int k = 0; k < point.count; k++)
        failed |=
            json_object_set_new(settings, point.set[k].key, json_string(point.set[k].value)) != 0;
    for (int64_t k = 0; k < r->seeds; k++)
        failed |= json_array_append_new(arms, arm_json(r, p * r->seeds + k)) != 0;
    json_t *one = json_pack("{s:I, s:o, s:o, s:o}", "point", (json_int_t)p, "settings", settings,
                            "arms", arms, "difference", mean_json(&r->difference[p]));
    failed |= !one;
    for (int c = 0; c < COLUMNS && !failed; c++)
        failed = json_object_set_new(one, sweep_columns[c].name, mean_json(&r->mean[p][c])) != 0;
    if (!failed) return one;
    json_decref(one);
    return NULL;
}

/* New reference; NULL: out of memory. */
static json_t *results_json(const sweep_results *r) {
    json_t *points = json_array();
    bool failed = !points;
    for (int64_t p = 0; p < r->points && !failed; p++)
        failed = json_array_append_new(points, point_json(r, p)) != 0;
    json_t *all =
        json_pack("{s:s, s:s, s:o, s:o}", "study", r->stage->study->name, "measure",
                  sweep_columns[r->measure].name, "best",
                  r->best < 0 ? json_null() : json_integer((json_int_t)r->best), "points", points);
    if (!failed) return all;
    json_decref(all);
    return NULL;
}

/* A field of a CSV file: in quotes if it needs them. */
static void put_field(FILE *f, const char *text) {
    if (!strpbrk(text, ",\"")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) fprintf(f, "%s%c", *text == '"' ? "\"" : "", *text);
    fputc('"', f);
}

/* Errors of writing stay in f. Local. */
static status write_csv(FILE *f, const sweep_results *r) {
    status st = ST_OK;
    fputs("point,settings,seed,folder,failed", f);
    for (int c = 0; c < COLUMNS; c++) fprintf(f, ",%s", sweep_columns[c].name);
    fputc('\n', f);
    for (int64_t i = 0; i < r->arms; i++) {
        char title[STUDY_TEXT];
        sweep_arm a;
        TRY(sweep_arm_open(r->stage, i, &a));
        sweep_title(&a.point, title, sizeof title);
        fprintf(f, "%" PRId64 ",", a.at);
        put_field(f, title);
        fprintf(f, ",%" PRId64 ",arms/%s,%s", sweep_seed(r->stage->study, a.seed), a.name,
                r->failure[i] == ST_OK ? "" : outputs_failure(r->failure[i]));
        for (int c = 0; c < COLUMNS; c++) {
            fputc(',', f);
            if (isfinite(r->value[i][c])) fprintf(f, "%.9g", r->value[i][c]);
        }
        fputc('\n', f);
    }
done:
    return st;
}

/* Writes one file of the folder with a function that takes a stream. Local. */
static status write_with(status (*write)(FILE *, const sweep_results *), const sweep_results *r,
                         const char *folder, const char *name) {
    char *text = NULL, path[PATH_SIZE];
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return status_memory(name, 0);
    status st = write(f, r);
    const bool full = ferror(f) != 0;
    if ((fclose(f) != 0 || full) && st == ST_OK) st = status_memory(name, (int64_t)bytes);
    if (st == ST_OK) st = path_join(path, folder, name);
    if (st == ST_OK) st = file_write_atomic(path, text, (int64_t)bytes);
    free(text);
    return st;
}

static status write_json(FILE *f, const sweep_results *r) {
    json_t *all = results_json(r);
    if (!all) return status_memory("sweep.json", 0);
    const bool failed = json_dumpf(all, f, JSON_INDENT(1)) != 0;
    json_decref(all);
    return failed ? status_memory("sweep.json", 0) : ST_OK;
}

/* One line for every point, and where the files are. Local. */
static void tell(const sweep_results *r, const char *folder) {
    for (int64_t p = 0; p < r->points; p++) {
        const sweep_mean *m = &r->mean[p][r->measure];
        char title[STUDY_TEXT];
        sweep_point point;
        sweep_point_of(r->stage->study, p, &point);
        sweep_title(&point, title, sizeof title);
        log_info(r->stage->log, "sweep: %s %-8s %.4g%s  %s", sweep_columns[r->measure].name,
                 p == r->best ? "(best)" : "", m->mean, m->n < r->seeds ? ", seeds failed" : "",
                 title);
    }
    log_info(r->stage->log, "sweep: %s/sweep.html, sweep.json, sweep.csv", folder);
}

status outputs_publish(const stage_context *stage, const sweep_groups *g) {
    status st = ST_OK;
    sweep_results r = {0};
    manifest m = {.kind = "sweep"};
    char folder[PATH_SIZE];
    static const char *const names[] = {"sweep.json", "sweep.csv", "sweep.html"};
    TRY(sweep_results_read(stage, g, &r));
    TRY(stage_path(stage, "sweep", folder));
    TRY(file_make_dirs(folder));
    TRY(manifest_remove(folder));
    TRY(write_with(write_json, &r, folder, names[0]));
    TRY(write_with(write_csv, &r, folder, names[1]));
    TRY(write_with(outputs_page, &r, folder, names[2]));
    for (int i = 0; i < 3; i++) TRY(manifest_add_file(&m, folder, names[i]));
    TRY(bytes_sha256(m.files, m.count * (int64_t)sizeof *m.files, m.fingerprint));
    TRY(manifest_write(&m, folder));
    tell(&r, folder);
    if (r.best < 0)
        st = status_fail(r.failure[0] != ST_OK ? r.failure[0] : ST_INPUT,
                         "sweep: no point was measured with all its seeds; the reasons are above");
done:
    manifest_free(&m);
    sweep_results_free(&r);
    return st;
}
