/* Several runs in one table and one picture. A run with labelled sets has a row for each number of
 * labelled patients, a plain run one row. */
#include "pipeline/report/compare_page.h"

#include "pipeline/report/chapters.h"
#include "pipeline/report/forest.h"
#include "pipeline/report/page.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>

/* What one row says. */
typedef struct compared {
    const json_t *metrics;
    const char *from;
    int64_t labelled; /* -1: a plain run */
    double patients, p_holm;
    interval without, with, difference;
    int resolved; /* 1 gain, -1 loss, 0 not resolved */
} compared;

/* Means over the structures that both arms of a plain run have. */
static void read_plain(compared *c) {
    const char *structure;
    json_t *one;
    double without = 0, with = 0;
    int count = 0;
    json_object_foreach(json_object_get(c->metrics, "dice"), structure, one) {
        double a = figure_number(one, ARM_WITHOUT), b = figure_number(one, ARM_WITH);
        if (isnan(a) || isnan(b)) continue;
        without += a;
        with += b;
        count++;
    }
    if (count == 0) return;
    c->without.value = without / count;
    c->with.value = with / count;
    c->difference.value = c->with.value - c->without.value;
}

static interval summary_of(const compared *c, const char *arm) {
    figure_key key = {.labelled = c->labelled,
                      .arm = arm,
                      .test = chapter_test(c->metrics),
                      .structure = "mean",
                      .metric = "dice"};
    return figure_interval(figure_find(json_object_get(c->metrics, "summary"), &key, 0), "value");
}

static compared read_row(const json_t *metrics, const char *from, int64_t labelled) {
    interval none = {NAN, NAN, NAN};
    compared c = {metrics, from, labelled, figure_number(metrics, "split.test.patients"), NAN, none,
                  none,    none, 0};
    if (labelled < 0) {
        read_plain(&c);
        return c;
    }
    const json_t *comparison = chapter_comparison(metrics, labelled);
    c.without = summary_of(&c, ARM_WITHOUT);
    c.with = summary_of(&c, ARM_WITH);
    c.difference = figure_interval(comparison, "difference");
    c.p_holm = figure_number(comparison, "p_holm");
    c.patients = figure_number(comparison, "n_patients");
    c.resolved = figure_resolved(comparison);
    return c;
}

/* The row after *c, or false. Begin with *run = 0 and *k = 0. */
static bool next_row(json_t *const *metrics, const char *const *from, int n, int *run, size_t *k,
                     compared *c) {
    for (; *run < n; ++*run, *k = 0) {
        const json_t *list = figure_at(metrics[*run], "protocol.labelled");
        size_t rows = json_array_size(list) > 0 ? json_array_size(list) : 1;
        if (*k >= rows) continue;
        *c =
            read_row(metrics[*run], from[*run],
                     json_array_size(list) > 0 ? json_integer_value(json_array_get(list, *k)) : -1);
        ++*k;
        return true;
    }
    return false;
}

/* FID of the first entry of "distribution" for this number of labelled patients, or of a plain run.
 */
static void fid_cells(document *d, const compared *c) {
    figure_key key = {.labelled = c->labelled};
    const json_t *list = json_object_get(c->metrics, "distribution");
    const json_t *e = figure_find(list, &key, 0);
    if (!e) {
        key.labelled = -1;
        e = figure_find(list, &key, 0);
    }
    double fid = figure_number(e, "fid"), floor = figure_number(e, "fid_floor");
    if (!e) {
        fid = figure_number(c->metrics, "fid.value");
        floor = figure_number(c->metrics, "fid.floor");
    }
    table_number(d, fid, figure_distance_digits(fid));
    table_number(d, floor, figure_distance_digits(floor));
    table_text(d, "%s", e ? figure_text(e, "network") : isnan(fid) ? "n/a" : "segmenter");
}

static double core_hours(const json_t *metrics) {
    const json_t *list = json_object_get(metrics, "costs");
    double sum = json_array_size(list) > 0 ? 0 : NAN;
    for (size_t i = 0; i < json_array_size(list); i++) {
        double hours = figure_number(json_array_get(list, i), "core_hours");
        if (!isnan(hours)) sum += hours;
    }
    return sum;
}

static void put_row(document *d, const compared *c) {
    const json_t *passed = figure_at(c->metrics, "gate.passed");
    table_text(d, "%s", figure_text(c->metrics, "study"));
    if (c->labelled < 0)
        table_text(d, "all");
    else
        table_value(d, (double)c->labelled, "%" PRId64, c->labelled);
    table_number(d, c->patients, 0);
    table_interval(d, c->without, 3);
    table_interval(d, c->with, 3);
    table_value(d, c->difference.value, "%s", show_difference(c->difference, 3).text);
    table_value(d, c->p_holm, "%s", show_p(c->p_holm).text);
    fid_cells(d, c);
    table_text(d, "%s",
               json_is_true(passed)    ? "passed"
               : json_is_false(passed) ? "not passed"
                                       : "not measured");
    table_number(d, core_hours(c->metrics), 2);
}

static void run_table(document *d, json_t *const *metrics, const char *const *from, int n) {
    document_table(d, "Runs", "Study|Measured|#Seed|#Pixels|Metrics fingerprint|Place");
    for (int i = 0; i < n; i++) {
        table_text(d, "%s", figure_text(metrics[i], "study"));
        table_text(d, "%s", figure_text(metrics[i], "created"));
        table_number(d, figure_number(metrics[i], "seed"), 0);
        table_number(d, figure_number(metrics[i], "pixels"), 0);
        table_text(d, "%.12s", figure_text(metrics[i], "fingerprints.metrics"));
        table_text(d, "%s", from[i]);
    }
}

static void difference_chart(document *d, json_t *const *metrics, const char *const *from, int n) {
    compared c;
    forest_row *rows = NULL;
    int64_t count = 0;
    int run = 0;
    size_t k = 0;
    while (next_row(metrics, from, n, &run, &k, &c)) count++;
    if (array_alloc(&rows, count, sizeof *rows, "a chart") != ST_OK) {
        d->failed = true;
        return;
    }
    count = run = 0;
    for (k = 0; next_row(metrics, from, n, &run, &k, &c); count++) {
        rows[count] = (forest_row){.name = figure_text(c.metrics, "study"),
                                   .difference = c.difference,
                                   .resolved = c.resolved};
        snprintf(rows[count].detail, sizeof rows[count].detail, ", %.40s",
                 c.labelled < 0 ? "all" : show((double)c.labelled, 0).text);
    }
    forest_chart(d, rows, count, "Differences in mean Dice of all runs",
                 "difference in mean Dice, real + synthetic against real");
    free(rows);
}

status compare_page(FILE *f, json_t *const *metrics, const char *const *from, int n) {
    status st = ST_OK;
    document d = {0};
    compared c;
    int run = 0;
    size_t k = 0;
    difference_chart(&d, metrics, from, n);
    document_text(
        &d, BLOCK_NOTE,
        "Behind the name of a study: its labelled patients. Bars: 95 %% intervals. Triangles: "
        "differences that are not resolved, or not tested.");
    document_table(
        &d, "Mean Dice with and without synthetic slices",
        "Study|#Labelled|#Patients|#Real|#Real + synthetic|#Difference|#p (Holm)|#FID|#Floor|"
        "Network|Gate|#Core hours");
    while (next_row(metrics, from, n, &run, &k, &c)) put_row(&d, &c);
    document_text(
        &d, BLOCK_NOTE,
        "Runs on other patients or structures differ by these, too. FID of different networks "
        "cannot be compared.");
    run_table(&d, metrics, from, n);
    TRY(document_status(&d));
    TRY(page_head(f, "ctaug", "comparison of runs", true));
    fprintf(f, "<p class=\"kicker\">ctaug compare</p>\n<h1>Comparison of %d run%s</h1>\n", n,
            n == 1 ? "" : "s");
    TRY(document_html(f, &d));
    page_end(f, false);
done:
    document_free(&d);
    return st;
}
