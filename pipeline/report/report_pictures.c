/* The pictures of the chapter on fidelity and gate: a synthetic and a real held-out slice in the
 * windows of radiology, and synthetic slices beside the training slices nearest to them. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"
#include "pipeline/report/shown_slice.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { PAIRS = 4 };

/* Reads slice z of a volume into s, and appends its picture. Local. */
static status put_picture(document *d, shown_slice *s, store *from, int64_t volume, int64_t z,
                          const double window[2], bool tinted, const char *caption) {
    status st = ST_OK;
    image im = {0};
    TRY(shown_slice_read(s, from, volume, z));
    TRY(shown_slice_picture(s, window, tinted, &im));
    document_picture(d, &im, "%s", caption);
done:
    image_free(&im);
    return st;
}

/* One slice in each window. Local. */
static status put_windows(document *d, shown_slice *s, store *from, int64_t volume, int64_t z,
                          const char *kind) {
    status st = ST_OK;
    for (int w = 0; w < SHOWN_WINDOWS; w++) {
        const named_window *n = &shown_windows[w];
        const double bounds[2] = {n->level - n->width / 2, n->level + n->width / 2};
        char caption[128];
        snprintf(caption, sizeof caption, "%s, %s: W %g L %s%g", kind, n->name, n->width,
                 n->level < 0 ? "\xE2\x88\x92" : "", fabs(n->level));
        TRY(put_picture(d, s, from, volume, z, bounds, false, caption));
    }
done:
    return st;
}

/* The volume with this id, or -1. */
static int64_t find_volume(const store *s, const char *id) {
    for (int64_t i = 0; i < store_count(s); i++)
        if (strcmp(store_at(s, i)->id, id) == 0) return i;
    return -1;
}

/* The slice that an entry of gate.pairs names by two keys; false if no store holds it. */
static bool find_slice(const store *s, const json_t *pair, const char *id_key,
                       const char *slice_key, int64_t *volume, int64_t *z) {
    double slice = figure_number(pair, slice_key);
    *volume = find_volume(s, figure_text(pair, id_key));
    if (*volume < 0 || !(slice >= 0) || !(slice < (double)store_at(s, *volume)->space.shape[0]))
        return false;
    *z = (int64_t)slice;
    return true;
}

static status put_pairs(document *d, const report *r, shown_slice *s) {
    status st = ST_OK;
    const json_t *pairs = figure_at(r->metrics, "gate.pairs");
    int shown = 0;
    for (size_t i = 0; i < json_array_size(pairs) && shown < PAIRS; i++) {
        const json_t *pair = json_array_get(pairs, i);
        int64_t made, made_z, real, real_z;
        char caption[160];
        if (!find_slice(r->synthetic, pair, "synthetic", "slice", &made, &made_z) ||
            !find_slice(r->real, pair, "training", "training_slice", &real, &real_z))
            continue;
        if (shown++ == 0)
            document_pictures(d,
                              "Synthetic slices that are nearest to a training slice, each beside "
                              "it. They are copies if they show the same patient.");
        snprintf(caption, sizeof caption, "Synthetic %s, slice %" PRId64,
                 store_at(r->synthetic, made)->id, made_z + 1);
        TRY(put_picture(d, s, r->synthetic, made, made_z, s->window, false, caption));
        snprintf(caption, sizeof caption, "Nearest real, slice %" PRId64 ", distance %s",
                 real_z + 1, show(figure_number(pair, "distance"), 3).text);
        TRY(put_picture(d, s, r->real, real, real_z, s->window, false, caption));
    }
done:
    return st;
}

status report_pictures(document *d, const report *r) {
    status st = ST_OK;
    shown_slice s = {0};
    TRY(shown_slice_open(r->stage->study, &s));
    document_pictures(d,
                      "The middle slices of a synthetic volume and of a held-out real one, in the "
                      "windows that radiologists use.");
    if (store_count(r->synthetic) > 0)
        TRY(put_windows(d, &s, r->synthetic, 0, store_at(r->synthetic, 0)->space.shape[0] / 2,
                        "Synthetic"));
    if (r->split.run_count[SPLIT_TEST] > 0) {
        const split_run *run = &r->split.runs[SPLIT_TEST][0];
        TRY(put_windows(d, &s, r->real, run->volume, run->first + run->count / 2, "Real"));
    }
    TRY(put_pairs(d, r, &s));
done:
    shown_slice_close(&s);
    return st;
}

status report_examples(document *d, const report *r) {
    enum { EXAMPLES = 3 };
    status st = ST_OK;
    shown_slice s = {0};
    TRY(shown_slice_open(r->stage->study, &s));
    int64_t volumes = store_count(r->synthetic);
    document_pictures(d, "Synthetic slices without and with the labels they were drawn on, evenly "
                         "spaced in the first volume.");
    for (int k = 0; k < EXAMPLES && volumes > 0; k++) {
        int64_t z = (2 * k + 1) * store_at(r->synthetic, 0)->space.shape[0] / (2 * EXAMPLES);
        char caption[64];
        snprintf(caption, sizeof caption, "Synthetic, slice %" PRId64, z + 1);
        TRY(put_picture(d, &s, r->synthetic, 0, z, s.window, false, caption));
        TRY(put_picture(d, &s, r->synthetic, 0, z, s.window, true, "with labels"));
    }
done:
    shown_slice_close(&s);
    return st;
}
