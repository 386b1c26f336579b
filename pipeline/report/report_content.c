/* Builds the parts of the report that the page and the PDF share. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

status report_content_create(const report *r, report_content *out) {
    status st = ST_OK;
    const json_t *m = r->metrics;
    *out = (report_content){0};
    if (chapters_present(m)) {
        verdict(&out->front, m);
        verdict_picture(&out->front, m);
        chapter_protocol(&out->fidelity, m);
    }
    report_warnings(&out->warnings, r);
    chapter_fidelity(&out->fidelity, m);
    TRY(report_pictures(&out->pictures, r));
    chapter_arms(&out->chapters, m);
    chapter_structures(&out->chapters, m);
    chapter_statistics(&out->chapters, m);
    chapter_distribution(&out->chapters, m);
    chapter_likelihood(&out->chapters, m);
    chapter_obedience(&out->chapters, m);
    chapter_gate(&out->release, m);
    chapter_costs(&out->release, m);
    report_cards(&out->cards, r);
    report_checklist(&out->cards, r);
    const document *parts[] = {&out->front,    &out->warnings, &out->fidelity, &out->pictures,
                               &out->chapters, &out->release,  &out->cards};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) TRY(document_status(parts[i]));
done:
    return st;
}

void report_content_free(report_content *c) {
    document_free(&c->front);
    document_free(&c->warnings);
    document_free(&c->fidelity);
    document_free(&c->pictures);
    document_free(&c->chapters);
    document_free(&c->release);
    document_free(&c->cards);
}
