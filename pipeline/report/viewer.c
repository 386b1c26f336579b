/* The volumes of the slice viewer, embedded in the page; viewer.js shows them.
 *
 * Each volume is an element whose attributes hold the HU at the size of the page, as differences
 * along x modulo 2^16 (0 before the first pixel of a row), all low bytes and then all high bytes,
 * and the label maps, one byte a pixel; both compressed (zlib) and in base64. The differences halve
 * the size. Unlike a picture's pixels, which browsers may alter, the HU arrive exactly.
 *
 * The page stays below some 15 MB: RAW_BYTES of HU are divided among the volumes, noise compresses
 * to 0.6 of that, and base64 adds a third. A volume with more slices is thinned evenly.
 */
#include "pipeline/report/report.h"
#include "pipeline/report/shown_slice.h"

#include "io/alloc.h"
#include "io/deflate.h"
#include "io/html.h"

#include <inttypes.h>
#include <string.h>

enum { MADE = 2, REAL = 2, RAW_BYTES = 10 << 20 };

/* Slices first, first + step, ... of a volume; count of them. */
typedef struct excerpt {
    store *from;
    int64_t volume, first, step, count;
} excerpt;

/* Of `count` slices from `first`, at most `most` evenly spaced ones. */
static excerpt thin(store *from, int64_t volume, int64_t first, int64_t count, int64_t most) {
    int64_t step = (count + most - 1) / most;
    return (excerpt){from, volume, first, step, (count + step - 1) / step};
}

static status put_bytes(FILE *f, const char *attribute, const uint8_t *data, int64_t bytes) {
    uint8_t *packed = NULL;
    int64_t packed_bytes = 0;
    status st = deflate_bytes(data, bytes, &packed, &packed_bytes);
    if (st == ST_OK) {
        fprintf(f, " data-%s=\"", attribute);
        html_base64(f, packed, packed_bytes);
        fputs("\"", f);
    }
    free(packed);
    return st;
}

/* The differences of one slice along x, to its place in both planes of bytes. */
static void split_bytes(const shown_slice *s, uint8_t *low, uint8_t *high) {
    for (int64_t i = 0; i < s->side * s->side; i++) {
        uint16_t before = i % s->side == 0 ? 0 : (uint16_t)s->hu[i - 1];
        uint16_t difference = (uint16_t)((uint16_t)s->hu[i] - before);
        low[i] = (uint8_t)(difference & 0xFF);
        high[i] = (uint8_t)(difference >> 8);
    }
}

static status put_volume(FILE *f, shown_slice *s, const excerpt *e, const char *kind) {
    status st = ST_OK;
    uint8_t *hu = NULL, *labels = NULL;
    int64_t pixels = s->side * s->side, n = 0;
    if (!size_mul(e->count, pixels, &n)) TRY(status_memory("a volume of the viewer", 0));
    TRY(array_alloc(&hu, n, 2, "a volume of the viewer"));
    TRY(array_alloc(&labels, n, 1, "a volume of the viewer"));
    for (int64_t k = 0; k < e->count; k++) {
        TRY(shown_slice_read(s, e->from, e->volume, e->first + k * e->step));
        split_bytes(s, hu + k * pixels, hu + n + k * pixels);
        memcpy(labels + k * pixels, s->labels, (size_t)pixels);
    }
    fprintf(f, "<div hidden data-kind=\"%s\" data-name=\"", kind);
    html_text(f, store_at(e->from, e->volume)->id);
    fprintf(f,
            "\" data-side=\"%" PRId64 "\" data-depth=\"%" PRId64 "\" data-first=\"%" PRId64
            "\" data-step=\"%" PRId64 "\" data-of=\"%" PRId64 "\"",
            s->side, e->count, e->first, e->step, store_at(e->from, e->volume)->space.shape[0]);
    TRY(put_bytes(f, "hu", hu, 2 * n));
    TRY(put_bytes(f, "labels", labels, n));
    fputs("></div>\n", f);
done:
    free(hu);
    free(labels);
    return st;
}

/* The first held-out volumes; of each its first run of held-out slices. */
static int held_out(const report *r, int64_t most, excerpt out[REAL]) {
    const split *sp = &r->split;
    int count = 0;
    for (int64_t i = 0; i < sp->run_count[SPLIT_TEST] && count < REAL; i++) {
        const split_run *run = &sp->runs[SPLIT_TEST][i];
        if (count > 0 && out[count - 1].volume == run->volume) continue;
        out[count++] = thin(r->real, run->volume, run->first, run->count, most);
    }
    return count;
}

static void put_structures(FILE *f, const label_set *labels) {
    for (int k = 1; k < labels->count; k++) {
        uint8_t rgb[3];
        image_label_colour(k, rgb);
        fprintf(f, "<span hidden data-label=\"%d\" data-colour=\"%02x%02x%02x\">", k, rgb[0],
                rgb[1], rgb[2]);
        html_text(f, labels->name[k]);
        fputs("</span>\n", f);
    }
}

status report_viewer(FILE *f, const report *r) {
    status st = ST_OK;
    shown_slice s = {0};
    excerpt real[REAL];
    TRY(shown_slice_open(r->stage->study, &s));
    int64_t most = RAW_BYTES / ((MADE + REAL) * 2 * s.side * s.side);
    int64_t made = store_count(r->synthetic) < MADE ? store_count(r->synthetic) : MADE;
    if (most < 1) most = 1;
    int reals = held_out(r, most, real);
    fprintf(f,
            "<section class=\"viewer\" aria-label=\"Slice viewer\" data-window=\"%g %g\">\n"
            "<noscript>The slice viewer needs JavaScript.</noscript>\n",
            s.window[0], s.window[1]);
    put_structures(f, store_labels(r->real));
    for (int64_t v = 0; v < made; v++) {
        excerpt e = thin(r->synthetic, v, 0, store_at(r->synthetic, v)->space.shape[0], most);
        TRY(put_volume(f, &s, &e, "Synthetic"));
    }
    for (int i = 0; i < reals; i++) TRY(put_volume(f, &s, &real[i], "Real, held out"));
    fputs("</section>\n", f);
done:
    shown_slice_close(&s);
    return st;
}
