/* Examples of real and synthetic slices, as images embedded in the page.
 *
 * A synthetic slice is sampled for the deformed label map of one training slice
 * (pipeline/data/deform.h). The page shows this training slice above it, so that a reader can see
 * what the deformation changed and whether the model copied the slice. Above a slice that is drawn
 * on a mask of the user (generate.masks) it shows the one of the training volume that is most like
 * the mask. The slices are evenly spaced in the volume, not selected.
 */
#include "pipeline/common/pseudo_store.h"
#include "pipeline/data/deform.h"
#include "pipeline/report/report.h"
#include "pipeline/report/shown_slice.h"

#include "io/html.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 2, COLUMNS = 6 };

/* Writes the slice as an <img>; tinted: with the colours of its labels. Local. */
static status put_image(FILE *f, const shown_slice *s, bool tinted, const char *kind, int64_t z,
                        int64_t depth) {
    status st = ST_OK;
    image im = {0};
    uint8_t *png = NULL;
    int64_t bytes = 0;
    TRY(shown_slice_picture(s, s->window, tinted, &im));
    TRY(image_encode(&im, &png, &bytes));
    fprintf(f, "<img alt=\"%s slice %" PRId64 " of %" PRId64 "%s\" src=\"", kind, z + 1, depth,
            tinted ? ", with labels" : "");
    html_data_uri(f, "image/png", png, bytes);
    fputs("\">\n", f);
done:
    free(png);
    image_free(&im);
    return st;
}

/* Writes a row of images: slice z[c] of the volume in column c. pseudo: the store of the labels of
 * d; NULL: the volume's own. Local. */
static status put_row(FILE *f, shown_slice *s, store *from, int64_t volume, const int64_t *z,
                      int columns, bool tinted, const char *kind, store *pseudo,
                      const deformed *d) {
    status st = ST_OK;
    int64_t depth = store_at(from, volume)->space.shape[0];
    fprintf(f, "<div class=\"row-name\">%s%s</div>\n", kind, tinted ? " <br>with labels" : "");
    for (int c = 0; c < columns; c++) {
        TRY(shown_slice_read(s, from, volume, z[c]));
        if (pseudo) TRY(shown_slice_read_labels(s, pseudo, d->pseudo_volume, z[c]));
        TRY(put_image(f, s, tinted, kind, z[c], depth));
    }
done:
    return st;
}

/* The training volume and its slices that the provenance of synthetic volume v names, which is
 * drawn on a mask of the user; all others are 0. The caller calls deformed_free(). Local. */
static status read_source(const report *r, int64_t v, deformed *d) {
    const json_t *origin = json_object_get(store_manifest(r->synthetic)->detail, "provenance");
    const json_t *told = json_array_get(json_object_get(origin, "volumes"), (size_t)v);
    const json_t *slices = json_object_get(told, "source_slices");
    const char *source = json_string_value(json_object_get(told, "source"));
    const int64_t count = (int64_t)json_array_size(slices);
    status st = array_alloc(&d->slices, count, sizeof *d->slices, "a list of slices");
    if (st != ST_OK) return st;
    d->source = -1;
    for (int64_t i = 0; source && i < store_count(r->real); i++)
        if (strcmp(store_at(r->real, i)->id, source) == 0) d->source = i;
    const int64_t depth = d->source < 0 ? 0 : store_at(r->real, d->source)->space.shape[0];
    d->entry.space.shape[0] = count;
    for (int64_t k = 0; k < count; k++) {
        d->slices[k] = json_integer_value(json_array_get(slices, (size_t)k));
        if (d->slices[k] < 0 || d->slices[k] >= depth) d->entry.space.shape[0] = 0;
    }
    return ST_OK;
}

/* Writes the figure of synthetic volume v: real and synthetic slices, plain and with labels. Local.
 */
static status put_example(FILE *f, const report *r, shown_slice *s, int64_t v) {
    status st = ST_OK;
    deformed d = {0};
    store *pseudo = NULL;
    int64_t synthetic[COLUMNS], real[COLUMNS];
    const store_entry *entry = store_at(r->synthetic, v);
    int64_t depth = entry->space.shape[0];
    int columns = depth < COLUMNS ? (int)depth : COLUMNS;
    const bool own = r->first.study.generate.masks[0] != 0;
    TRY(own ? read_source(r, v, &d) : deformed_plan(&r->first.study, r->real, &r->split, v, &d));
    if (d.entry.space.shape[0] != depth) {
        st = status_fail(ST_INTEGRITY,
                         "synthetic volume %s has %" PRId64 " slices, its plan %" PRId64
                         ": remove %s/synthetic and run again",
                         entry->id, depth, d.entry.space.shape[0], r->stage->study->out);
        goto done;
    }
    if (d.pseudo) st = pseudo_store_open(&r->first.stage, r->real, &pseudo);
    if (st != ST_INPUT) TRY(st);
    st = ST_OK; /* without the pseudo-labels their row is left out */
    for (int c = 0; c < columns; c++) {
        synthetic[c] = (2 * c + 1) * depth / (2 * columns);
        real[c] = d.slices[synthetic[c]];
    }
    fprintf(f, "<figure class=\"slices\" style=\"--columns:%d\">\n", columns);
    TRY(put_row(f, s, r->real, d.source, real, columns, false, "Real", NULL, &d));
    TRY(put_row(f, s, r->synthetic, v, synthetic, columns, false, "Synthetic", NULL, &d));
    if (!d.pseudo || pseudo)
        TRY(put_row(f, s, r->real, d.source, real, columns, true, "Real", pseudo, &d));
    TRY(put_row(f, s, r->synthetic, v, synthetic, columns, true, "Synthetic", NULL, &d));
    fputs("<figcaption>Synthetic volume <code>", f);
    html_text(f, entry->id);
    fputs("</code> below the training slices of <code>", f);
    html_text(f, store_at(r->real, d.source)->id);
    if (own)
        fputs("</code> whose label maps are most like the mask of its user that it was drawn on.",
              f);
    else
        fprintf(f, "</code> whose %s, deformed, it was drawn on.",
                d.pseudo ? "pseudo-labels" : "label maps");
    fputs("</figcaption>\n</figure>\n", f);
done:
    store_close(pseudo);
    deformed_free(&d);
    return st;
}

static void put_legend(FILE *f, const label_set *labels) {
    fputs("<p class=\"legend\">", f);
    for (int k = 1; k < labels->count; k++) {
        uint8_t rgb[3];
        image_label_colour(k, rgb);
        fprintf(f, "<span><i style=\"background:#%02x%02x%02x\"></i>", rgb[0], rgb[1], rgb[2]);
        html_text(f, labels->name[k]);
        fputs("</span>\n", f);
    }
    fputs("</p>\n", f);
}

status report_slices(FILE *f, const report *r) {
    status st = ST_OK;
    const study *study = r->stage->study;
    shown_slice s = {0};
    int64_t examples = store_count(r->synthetic) < EXAMPLES ? store_count(r->synthetic) : EXAMPLES;
    TRY(shown_slice_open(study, &s));
    fprintf(f,
            "<p>Evenly spaced slices, not chosen by eye, at %" PRId64 " &times; %" PRId64
            " pixels, window ",
            s.side, s.side);
    put_window(f, s.window);
    fputs(". ", f);
    if (s.side < study->data.size)
        fprintf(f, "The networks work at %" PRId64 " &times; %" PRId64 ". ", study->data.size,
                study->data.size);
    fputs("These pictures show real patients: share this page as their CT may be shared.</p>\n", f);
    for (int64_t v = 0; v < examples; v++) TRY(put_example(f, r, &s, v));
    put_legend(f, store_labels(r->real));
done:
    shown_slice_close(&s);
    return st;
}
