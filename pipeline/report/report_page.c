/* The report's page: one self-contained HTML file (page.h).
 *
 * A study with labelled sets begins with its verdict and has a chapter for each part of the
 * evaluation (report_content.c); a plain study begins with its summary.
 */
#include "pipeline/report/chapters.h"
#include "pipeline/report/page.h"
#include "pipeline/report/report.h"

#include "io/html.h"

static void title(FILE *f, const report *r) {
    fputs("<p class=\"kicker\">ctaug report &middot; study ", f);
    html_text(f, r->stage->study->name);
    fputs(" &middot; measured ", f);
    html_text(f, report_text(r, "created"));
    fputs("</p>\n<h1>Synthetic CT, evaluated: ", f);
    html_text(f, r->stage->study->name);
    fputs("</h1>\n", f);
}

static void warnings(FILE *f, const document *d) {
    fputs("<aside><h2>Read with care</h2>\n<ul>\n", f);
    for (int64_t i = 0; i < d->count; i++) {
        fputs("<li>", f);
        html_text(f, d->blocks[i].text ? d->blocks[i].text : "");
        fputs("</li>\n", f);
    }
    fputs("</ul></aside>\n", f);
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

bool report_has_plain(const report *r) {
    return !chapters_present(r->metrics) ||
           json_object_size(json_object_get(r->metrics, "dice")) > 0;
}

status report_page(FILE *f, const report *r, const report_content *c) {
    status st = ST_OK;
    bool sets = chapters_present(r->metrics);
    TRY(page_head(f, r->stage->study->name, "synthetic CT report", false));
    title(f, r);
    TRY(document_html(f, &c->front));
    if (!sets) report_summary(f, r);
    warnings(f, &c->warnings);
    if (sets) TRY(document_html(f, &c->fidelity));
    if (!sets) report_cohort(f, r);
    TRY(pictures(f, r, c));
    TRY(document_html(f, &c->chapters));
    if (report_has_plain(r)) report_dice(f, r);
    if (report_has_plain(r)) report_fid(f, r);
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
