/* The report as a PDF: the content of the page with fewer pictures, and without the slice viewer,
 * the methods and the study. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/document_pdf.h"
#include "pipeline/report/report.h"

/* What the PDF has besides the content that it shares with the page. */
static void write_title(document *d, const report *r) {
    document_text(d, BLOCK_CHAPTER, "Synthetic CT, evaluated: %s", r->stage->study->name);
    document_text(d, BLOCK_NOTE, "ctaug report; measured %s", report_text(r, "created"));
}

static void write_end(document *d, const report *r) {
    document_text(d, BLOCK_CHAPTER, "Citation");
    document_text(
        d, BLOCK_TEXT,
        "ctaug %s, report on study %s, %s, metrics fingerprint %s. The page report.html beside "
        "this file has the methods, the study and a slice viewer; every number is in "
        "metrics/metrics.json of the run.",
        report_text(r, "versions.ctaug"), r->stage->study->name, report_text(r, "created"),
        report_text(r, "fingerprints.metrics"));
}

status report_pdf(const report *r, const report_content *c, uint8_t **bytes, int64_t *n) {
    status st = ST_OK;
    document nothing = {0}, title = {0}, plain = {0}, care = {0}, look = {0}, end = {0};
    pdf *p = NULL;
    *bytes = NULL;
    write_title(&title, r);
    if (report_has_plain(r)) report_plain(&plain, r);
    document_text(&care, BLOCK_CHAPTER, "Read with care");
    document_text(&look, BLOCK_CHAPTER, "Real and synthetic slices");
    TRY(report_examples(&look, r));
    write_end(&end, r);
    bool sets = chapters_present(r->metrics); /* else the plain results come first */
    const document *parts[] = {&title,
                               &c->front,
                               sets ? &nothing : &plain,
                               &care,
                               &c->warnings,
                               &c->fidelity,
                               &look,
                               &c->pictures,
                               &c->chapters,
                               sets ? &plain : &nothing,
                               &c->release,
                               &c->cards,
                               &end};
    enum { PARTS = sizeof parts / sizeof *parts };
    for (int i = 0; i < PARTS; i++) TRY(document_status(parts[i]));
    TRY(pdf_create(r->stage->study->name, report_text(r, "created"), &p));
    pdf_cursor at = pdf_cursor_begin(p);
    for (int i = 0; i < PARTS; i++) document_pdf(&at, parts[i]);
    st = pdf_finish(p, bytes, n);
done:
    document_free(&title);
    document_free(&plain);
    document_free(&care);
    document_free(&look);
    document_free(&end);
    return st;
}
