/* `ctaug compare`: the results of several runs in one page. */
#include "pipeline/cli/verb.h"

#include "io/alloc.h"
#include "io/file.h"
#include "io/manifest.h"
#include "pipeline/report/compare_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { RUNS_MAX = 64, METRICS_MAX = 64 << 20 };

const char compare_help[] =
    "usage: ctaug compare RUN... [--out FILE] [--share]\n"
    "\n"
    "Writes the results of several runs into one HTML page: Dice with and without synthetic data,\n"
    "their difference, FID and its floor, gate and costs. RUN is the folder of a run, or a\n"
    "metrics.json.\n"
    "  --out FILE  the page (default compare.html); it must not exist yet\n"
    "  --share     it is made with your umask instead of for you alone (0600)\n"
    "\n"
    "  ctaug compare runs/small runs/large --out sizes.html\n";

/* The path of the metrics.json that an argument names. A folder is published: its manifest vouches
 * for the file. Local. */
static status find_metrics(const char *run, char path[PATH_SIZE]) {
    static const char name[] = "metrics.json";
    status st = ST_OK;
    manifest m = {0};
    char directory[PATH_SIZE];
    size_t n = strlen(run), end = sizeof name - 1;
    if (n >= end && strcmp(run + n - end, name) == 0) {
        if (n >= PATH_SIZE) return status_fail(ST_USAGE, "compare: too long a path: %s", run);
        memcpy(path, run, n + 1);
        return ST_OK;
    }
    TRY(path_join(directory, run, "metrics"));
    TRY(path_join(path, directory, name));
    TRY(manifest_read(directory, "metrics", &m));
    for (int64_t i = 0; i < m.count; i++) TRY(manifest_check_file(&m, directory, i));
done:
    manifest_free(&m);
    return st;
}

/* *out: owned by the caller (json_decref()). Local. */
static status read_metrics(const char *run, json_t **out) {
    status st = ST_OK;
    char path[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    json_error_t error;
    TRY(find_metrics(run, path));
    TRY(file_read(path, METRICS_MAX, &text, &bytes));
    *out = json_loadb(text, (size_t)bytes, 0, &error);
    if (!*out)
        st = status_fail(ST_INPUT, "%s:%d: %s", path, error.line, error.text);
    else if (!json_is_object(*out) || !json_is_string(json_object_get(*out, "study")))
        st = status_fail(ST_INPUT, "%s is no metrics.json of ctaug: it names no study", path);
done:
    free(text);
    return st;
}

/* Local. */
static status write_page(const char *out, json_t *const *metrics, const char *const *runs, int n) {
    char *page = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&page, &bytes);
    if (!f) return status_memory("the page", 0);
    char numbers[RUNS_MAX][16]; /* the page may be passed on: no paths */
    const char *names[RUNS_MAX];
    for (int i = 0; i < n; i++) {
        snprintf(numbers[i], sizeof numbers[i], "run %d", i + 1);
        names[i] = numbers[i];
        verb_print("run %d: %s\n", i + 1, runs[i]);
    }
    status st = compare_page(f, metrics, names, n);
    bool full = ferror(f) != 0;
    if ((fclose(f) != 0 || full) && st == ST_OK) st = status_memory("the page", (int64_t)bytes);
    if (st == ST_OK) st = file_write_atomic(out, page, (int64_t)bytes);
    free(page);
    return st;
}

static status compare_local(int argc, char **argv) {
    status st = ST_OK;
    const char *runs[RUNS_MAX], *out = "compare.html";
    json_t *metrics[RUNS_MAX] = {NULL};
    bool share = false;
    const verb_option options[] = {
        {.name = "--out", .text = &out}, {.name = "--share", .flag = &share}, {0}};
    int n = 0;
    TRY(verb_parse(argc, argv, options, runs, RUNS_MAX, &n));
    if (n == 0) TRY(status_fail(ST_USAGE, "compare: which runs? See `ctaug compare --help`"));
    if (file_exists(out))
        TRY(status_fail(ST_USAGE, "compare: %s exists already and is not changed", out));
    for (int i = 0; i < n; i++) TRY(read_metrics(runs[i], &metrics[i]));
    if (!share) umask(077); /* as in a run directory */
    TRY(write_page(out, metrics, runs, n));
    verb_print("wrote %s\n", out);
done:
    for (int i = 0; i < RUNS_MAX; i++) json_decref(metrics[i]);
    return st;
}

status compare_verb(const comm *c, int argc, char **argv) {
    return comm_agree(c, comm_rank(c) == 0 ? compare_local(argc, argv) : ST_OK);
}
