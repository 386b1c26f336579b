/* A document as HTML. Tables of the class "sort" are sorted by report.js. */
#include "pipeline/report/document.h"

#include "io/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_block_text(FILE *f, const char *tag, const char *class, const char *text) {
    fprintf(f, "<%s%s>", tag, class);
    html_text(f, text ? text : "");
    fprintf(f, "</%s>\n", tag);
}

static void put_head(FILE *f, const block *b) {
    fputs("<thead><tr>", f);
    for (int k = 0; k < b->column_count; k++) {
        const char *words;
        bool numbers;
        int n = table_column(b, k, &words, &numbers);
        fprintf(f, "<th scope=\"col\"%s>%.*s</th>", numbers ? "" : " class=\"words\"", n, words);
    }
    fputs("</tr></thead>\n", f);
}

/* A number, with its interval on a line of its own. */
static void put_value(FILE *f, const char *text, bool number) {
    const char *bounds = number ? strstr(text, " [") : NULL;
    char value[64];
    if (!bounds || (size_t)(bounds - text) >= sizeof value) {
        html_text(f, text);
        return;
    }
    snprintf(value, sizeof value, "%.*s", (int)(bounds - text), text);
    html_text(f, value);
    fputs("<br><small>", f);
    html_text(f, bounds + 1);
    fputs("</small>", f);
}

static void put_cell(FILE *f, const block *b, int64_t i) {
    const table_cell *c = &b->cells[i];
    const char *words;
    bool numbers;
    table_column(b, (int)(i % b->column_count), &words, &numbers);
    fprintf(f, "<td%s", numbers ? "" : " class=\"words\"");
    if (isfinite(c->sort)) fprintf(f, " data-sort=\"%.9g\"", c->sort);
    fputs(">", f);
    put_value(f, c->text ? c->text : "", numbers);
    fputs("</td>", f);
}

static void put_table(FILE *f, const block *b) {
    fputs("<div class=\"wide\"><table class=\"sort\">", f);
    if (b->text && *b->text) put_block_text(f, "caption", "", b->text);
    put_head(f, b);
    fputs("<tbody>\n", f);
    for (int64_t i = 0; i < b->count; i++) {
        if (i % b->column_count == 0) fputs("<tr>", f);
        put_cell(f, b, i);
        if ((i + 1) % b->column_count == 0) fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div>\n", f);
}

static status put_pictures(FILE *f, const block *b) {
    status st = ST_OK;
    uint8_t *png = NULL;
    int64_t bytes = 0;
    fputs("<figure class=\"row\">\n", f);
    for (int64_t i = 0; i < b->count; i++) {
        const picture *p = &b->pictures[i];
        TRY(image_encode(&p->raster, &png, &bytes));
        fputs("<div><img alt=\"", f);
        html_text(f, p->caption ? p->caption : "");
        fputs("\" src=\"", f);
        html_data_uri(f, "image/png", png, bytes);
        fputs("\"><span>", f);
        html_text(f, p->caption ? p->caption : "");
        fputs("</span></div>\n", f);
        free(png);
        png = NULL;
    }
    put_block_text(f, "figcaption", "", b->text);
    fputs("</figure>\n", f);
done:
    free(png);
    return st;
}

status document_html(FILE *f, const document *d) {
    status st = ST_OK;
    for (int64_t i = 0; i < d->count; i++) {
        const block *b = &d->blocks[i];
        switch (b->kind) {
        case BLOCK_CHAPTER:
            put_block_text(f, "h2", "", b->text);
            break;
        case BLOCK_HEADING:
            put_block_text(f, "h3", "", b->text);
            break;
        case BLOCK_LEAD:
            put_block_text(f, "p", " class=\"verdict\"", b->text);
            break;
        case BLOCK_TEXT:
            put_block_text(f, "p", "", b->text);
            break;
        case BLOCK_NOTE:
            put_block_text(f, "p", " class=\"note\"", b->text);
            break;
        case BLOCK_TABLE:
            put_table(f, b);
            break;
        case BLOCK_DRAWING:
            drawing_svg(f, &b->drawing);
            break;
        case BLOCK_PICTURES:
            TRY(put_pictures(f, b));
            break;
        }
    }
done:
    return st;
}
