/* Documents as the pages of a PDF. */
#ifndef CTAUG_PIPELINE_REPORT_DOCUMENT_PDF_H
#define CTAUG_PIPELINE_REPORT_DOCUMENT_PDF_H

#include "io/pdf.h"
#include "pipeline/report/document.h"

/* Where the next block goes. */
typedef struct pdf_cursor {
    pdf *to;
    double y;
} pdf_cursor;

/* The top of the first page. Local. */
pdf_cursor pdf_cursor_begin(pdf *to);
/* Appends all blocks, on new pages as needed. Local. */
void document_pdf(pdf_cursor *at, const document *d);

#endif
