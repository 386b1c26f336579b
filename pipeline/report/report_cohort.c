/* The section on the data: the flow of patients, their numbers in each part, the geometry. */
#include "pipeline/report/report.h"

#include "io/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void data_row(FILE *f, const char *name, double patients, double volumes, double slices) {
    const double n[] = {patients, volumes, slices};
    fprintf(f, "<tr><td>%s</td>", name);
    for (int i = 0; i < 3; i++)
        if (isnan(n[i]))
            fputs("<td>&ndash;</td>", f);
        else
            fprintf(f, "<td>%.0f</td>", n[i]);
    fputs("</tr>\n", f);
}

/* The range "data.<what>": [min, max] of the real store, with its unit. */
static void put_range(FILE *f, const report *r, const char *what, const char *unit) {
    char path[64];
    snprintf(path, sizeof path, "data.%s.0", what);
    double low = report_number(r, path);
    snprintf(path, sizeof path, "data.%s.1", what);
    double high = report_number(r, path);
    if (isnan(low) || isnan(high))
        fputs("n/a", f);
    else if (low == high)
        fprintf(f, "%.4g", low);
    else
        fprintf(f, "%.4g to %.4g", low, high);
    fputs(unit, f);
}

static void geometry_text(FILE *f, const report *r) {
    fputs("<p>Real CT: ", f);
    put_range(f, r, "rows", " rows, ");
    put_range(f, r, "columns", " columns, pixels of ");
    put_range(f, r, "pixel_mm", " mm, slices every ");
    put_range(f, r, "slice_distance_mm", " mm; ");
    put_number(f, report_number(r, "data.contrast_volumes"), 0);
    fputs(" of ", f);
    put_count(f, report_number(r, "data.volumes"), "volume", "volumes");
    fputs(" with contrast agent.</p>\n", f);
}

void report_cohort(FILE *f, const report *r) {
    static const char *const names[] = {"Training", "Validation", "Test, held out"};
    const study *s = r->stage->study;
    fputs("<h2>Data</h2>\n", f);
    report_flow(f, r);
    fputs("<table><thead><tr><th>n</th><th>patients</th><th>volumes</th><th>slices</th></tr>"
          "</thead><tbody>\n",
          f);
    data_row(f, "Real CT", report_number(r, "data.patients"), report_number(r, "data.volumes"),
             report_number(r, "data.slices"));
    for (int p = 0; p < SPLIT_UNLABELLED; p++)
        data_row(f, names[p], report_split_number(r, p, "patients"),
                 report_split_number(r, p, "volumes"), report_split_number(r, p, "slices"));
    data_row(f, "Synthetic CT", NAN, report_number(r, "synthetic.volumes"),
             report_number(r, "synthetic.slices"));
    fputs("</tbody></table>\n", f);
    geometry_text(f, r);
    fprintf(f, "<p>%s; networks see %" PRId64 " &times; %" PRId64 " pixels, ",
            r->split.by_blocks ? "The slices of the one patient are split in contiguous blocks"
                               : "The slices are split by patient",
            s->data.size, s->data.size);
    put_window(f, s->data.window);
    fprintf(f, ". Labels come from %s.</p>\n", report_label_source(r));
}
