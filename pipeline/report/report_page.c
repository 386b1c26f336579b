/* The report's page: one self-contained HTML file. Its Content-Security-Policy forbids everything
 * but its own style, embedded pictures, and the two scripts in it, which it names by their hashes.
 *
 * A study with labelled sets begins with its verdict and has a chapter for each part of the
 * evaluation (report_content.c); a plain study begins with its summary.
 */
#include "pipeline/report/assets.h"
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

#include "io/html.h"

status page_head(FILE *f, const char *name, const char *what) {
    status st = ST_OK;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "img-src data:; style-src 'unsafe-inline'; script-src '",
          f);
    TRY(html_script_hash(f, asset_tables));
    fputs("' '", f);
    TRY(html_script_hash(f, asset_viewer));
    fputs("'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          f);
    html_text(f, name);
    fprintf(f, ": %s</title>\n<style>%s</style>\n</head>\n<body>\n", what, asset_style);
done:
    return st;
}

void page_end(FILE *f, bool viewer) {
    fprintf(f, "<script>%s</script>\n", asset_tables);
    if (viewer) fprintf(f, "<script>%s</script>\n", asset_viewer);
    fputs("</body>\n</html>\n", f);
}

static void title(FILE *f, const report *r) {
    fputs("<p class=\"kicker\">ctaug report &middot; study ", f);
    html_text(f, r->stage->study->name);
    fputs(" &middot; measured ", f);
    html_text(f, report_text(r, "created"));
    fputs("</p>\n<h1>Synthetic CT, evaluated: ", f);
    html_text(f, r->stage->study->name);
    fputs("</h1>\n", f);
}

static status pictures(FILE *f, const report *r, const report_content *c) {
    status st = ST_OK;
    fputs("<h2>What does it look like? Real and synthetic slices</h2>\n", f);
    TRY(report_slices(f, r));
    TRY(report_viewer(f, r));
    TRY(document_html(f, &c->pictures));
done:
    return st;
}

/* Whether the file has results of the two arms of a plain study. */
static bool has_plain(const report *r) {
    return !chapters_present(r->metrics) ||
           json_object_size(json_object_get(r->metrics, "dice")) > 0;
}

status report_page(FILE *f, const report *r, const report_content *c) {
    status st = ST_OK;
    bool sets = chapters_present(r->metrics);
    TRY(page_head(f, r->stage->study->name, "synthetic CT report"));
    title(f, r);
    TRY(document_html(f, &c->front));
    if (!sets) report_summary(f, r);
    report_warnings(f, r);
    if (sets) TRY(document_html(f, &c->fidelity));
    if (!sets) report_cohort(f, r);
    TRY(pictures(f, r, c));
    TRY(document_html(f, &c->chapters));
    if (has_plain(r)) report_dice(f, r);
    if (has_plain(r)) report_fid(f, r);
    TRY(document_html(f, &c->release));
    if (sets) report_cohort(f, r);
    report_training(f, r);
    report_run(f, r);
    report_repeat(f, r);
    fputs("<h2>Methods, for a paper</h2>\n", f);
    report_methods(f, r);
    TRY(document_html(f, &c->cards));
    report_citation(f, r);
    page_end(f, true);
done:
    return st;
}
