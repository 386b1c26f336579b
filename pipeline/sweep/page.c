/* sweep.html: the points in one table, their differences, and a chart for each key. */
#include "pipeline/sweep/outputs.h"

#include "io/alloc.h"
#include "pipeline/report/forest.h"
#include "pipeline/report/page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 16 }; /* of one key in a chart */

static interval interval_of(const sweep_mean *m) { return (interval){m->mean, m->low, m->high}; }

static void title_of(const sweep_results *r, int64_t p, char *out, size_t size) {
    sweep_point point;
    sweep_point_of(r->stage->study, p, &point);
    sweep_title(&point, out, size);
}

static void put_table(document *d, const sweep_results *r) {
    static const char heads[] =
        "Point|#FID|#Floor|#KID|#Label fidelity|#Dice, real + synthetic|#Dice, real|#Bits a "
        "pixel|#Evaluations|#Core s a slice|#Core hours|#Seeds|Note";
    document_table(d, "Points of the sweep, means over seeds", heads);
    for (int64_t p = 0; p < r->points; p++) {
        char title[STUDY_TEXT];
        title_of(r, p, title, sizeof title);
        table_text(d, "%s", title);
        for (int c = 0; c < COLUMNS; c++)
            table_interval(d, interval_of(&r->mean[p][c]), sweep_columns[c].digits);
        const int64_t n = r->mean[p][r->measure].n;
        table_value(d, (double)n, "%" PRId64, n);
        table_text(d, "%s%s", p == r->best ? "best" : "", n < r->seeds ? " seeds failed" : "");
    }
}

static void put_differences(document *d, const sweep_results *r) {
    forest_row *rows = NULL;
    char(*titles)[STUDY_TEXT] = NULL;
    if (array_alloc(&rows, r->points, sizeof *rows, "a chart") != ST_OK ||
        array_alloc(&titles, r->points, sizeof *titles, "a chart") != ST_OK) {
        d->failed = true;
    } else {
        for (int64_t p = 1; p < r->points; p++) {
            const interval x = interval_of(&r->difference[p]);
            title_of(r, p, titles[p], sizeof titles[p]);
            rows[p - 1] = (forest_row){.name = titles[p], .difference = x};
            rows[p - 1].resolved = x.low > 0 ? 1 : x.high < 0 ? -1 : 0;
        }
        forest_chart(d, rows, r->points - 1, "Differences from the first point",
                     "difference in the measure, seed by seed");
    }
    free(rows);
    free(titles);
}

/* The distinct values of a key, in the order of the points; returns their number. */
static int values_of(const sweep_results *r, const char *key, char values[][STUDY_TEXT],
                     int *of_point) {
    int n = 0;
    for (int64_t p = 0; p < r->points; p++) {
        sweep_point point;
        sweep_point_of(r->stage->study, p, &point);
        of_point[p] = -1;
        for (int k = 0; k < point.count; k++) {
            int v = 0;
            if (strcmp(point.set[k].key, key) != 0) continue;
            while (v < n && strcmp(values[v], point.set[k].value) != 0) v++;
            if (v == VALUES_MAX) continue;
            if (v == n) memcpy(values[n++], point.set[k].value, sizeof values[0]);
            of_point[p] = v;
        }
    }
    return n;
}

/* Every point above its value of the key, and a line through the means of the values. */
static void draw_key(drawing *g, const sweep_results *r, const char *key, char values[][STUDY_TEXT],
                     int n, const int *of_point) {
    const scale x = {-0.5, n - 0.5, 80, DRAWING_WIDTH - 40};
    scale y = {INFINITY, -INFINITY, 230, 16};
    for (int64_t p = 0; p < r->points; p++) {
        const sweep_mean *m = &r->mean[p][r->measure];
        if (of_point[p] < 0 || isnan(m->mean)) continue;
        y.low = fmin(y.low, fmin(m->mean, m->low));
        y.high = fmax(y.high, fmax(m->mean, m->high));
    }
    if (!(y.high >= y.low)) return;
    const double edge = fmax(0.06 * (y.high - y.low), 1e-6);
    y.low -= edge;
    y.high += edge;
    draw_value_axis(g, &x, &y);
    double last_x = NAN, last_y = NAN;
    for (int v = 0; v < n; v++) {
        double sum = 0;
        int count = 0;
        for (int64_t p = 0; p < r->points; p++) {
            const sweep_mean *m = &r->mean[p][r->measure];
            if (of_point[p] != v || isnan(m->mean)) continue;
            sum += m->mean;
            count++;
            if (!isnan(m->low))
                draw_line(g, INK_MUTED, 1, false, scale_at(&x, v), scale_at(&y, m->low),
                          scale_at(&x, v), scale_at(&y, m->high));
            draw_symbol(g, 0, scale_at(&x, v), scale_at(&y, m->mean), "%s", values[v]);
        }
        draw_text(g, INK_TEXT, ANCHOR_MIDDLE, scale_at(&x, v), 250, "%s", values[v]);
        if (count == 0) continue;
        const double at_x = scale_at(&x, v), at_y = scale_at(&y, sum / count);
        if (!isnan(last_x)) draw_line(g, INK_SERIES, 2, false, last_x, last_y, at_x, at_y);
        last_x = at_x;
        last_y = at_y;
    }
    draw_text(g, INK_TEXT, ANCHOR_MIDDLE, (x.first + x.last) / 2, 272, "%s", key);
}

/* A chart for every key that has more than one value, in the order in which keys come first. */
static status put_keys(document *d, const sweep_results *r) {
    status st = ST_OK;
    char(*seen)[SWEEP_KEY] = NULL, values[VALUES_MAX][STUDY_TEXT];
    int *of_point = NULL, keys = 0;
    TRY(array_alloc(&seen, r->points * STUDY_LIST, sizeof *seen, "keys"));
    TRY(array_alloc(&of_point, r->points, sizeof *of_point, "points"));
    for (int64_t p = 0; p < r->points; p++) {
        sweep_point point;
        sweep_point_of(r->stage->study, p, &point);
        for (int k = 0; k < point.count; k++) {
            int i = 0;
            while (i < keys && strcmp(seen[i], point.set[k].key) != 0) i++;
            if (i < keys) continue;
            memcpy(seen[keys++], point.set[k].key, SWEEP_KEY);
            const int n = values_of(r, point.set[k].key, values, of_point);
            if (n < 2) continue;
            document_text(d, BLOCK_HEADING, "%s", point.set[k].key);
            draw_key(document_drawing(d, "Measure by the values of a key", 280), r,
                     point.set[k].key, values, n, of_point);
        }
    }
done:
    free(seen);
    free(of_point);
    return st;
}

static void put_arms(document *d, const sweep_results *r) {
    document_table(d, "Arms", "Folder|Point|#Seed|Ended|#FID|#Core hours");
    for (int64_t i = 0; i < r->arms; i++) {
        sweep_arm a;
        char title[STUDY_TEXT];
        if (sweep_arm_open(r->stage, i, &a) != ST_OK) continue;
        sweep_title(&a.point, title, sizeof title);
        const int64_t seed = sweep_seed(r->stage->study, a.seed);
        table_text(d, "arms/%s", a.name);
        table_text(d, "%s", title);
        table_value(d, (double)seed, "%" PRId64, seed);
        table_text(d, "%s", r->failure[i] == ST_OK ? "done" : outputs_failure(r->failure[i]));
        table_number(d, r->value[i][COLUMN_FID], sweep_columns[COLUMN_FID].digits);
        table_number(d, r->value[i][COLUMN_HOURS], 2);
    }
}

static void put_verdict(document *d, const sweep_results *r) {
    char title[STUDY_TEXT];
    const int digits = sweep_columns[r->measure].digits;
    if (r->best < 0) {
        document_text(d, BLOCK_LEAD, "No point was measured with all seeds.");
        return;
    }
    const interval best = interval_of(&r->mean[r->best][r->measure]);
    title_of(r, r->best, title, sizeof title);
    document_text(d, BLOCK_LEAD, "%s of %" PRId64 " points: %s, %s %s.",
                  sweep_smaller_is_better(r->measure) ? "Lowest" : "Highest", r->points, title,
                  sweep_columns[r->measure].name, show_interval(best, digits).text);
    document_text(d, BLOCK_NOTE,
                  "Intervals are those of a mean over %" PRId64 " seeds (Student, 95 %%); a seed "
                  "draws the split of the patients, the training and the samples anew. The best "
                  "point was chosen on these figures: measure it again on other patients before "
                  "you cite it.",
                  r->seeds);
}

status outputs_page(FILE *f, const sweep_results *r) {
    status st = ST_OK;
    document d = {0};
    put_verdict(&d, r);
    put_table(&d, r);
    put_differences(&d, r);
    TRY(put_keys(&d, r));
    put_arms(&d, r);
    TRY(document_status(&d));
    TRY(page_head(f, r->stage->study->name, "sweep", true));
    fprintf(f, "<p class=\"kicker\">ctaug sweep</p>\n<h1>Sweep of %" PRId64 " points</h1>\n",
            r->points);
    TRY(document_html(f, &d));
    page_end(f, false);
done:
    document_free(&d);
    return st;
}
