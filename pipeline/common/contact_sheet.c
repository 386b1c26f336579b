/* Draws the contact sheet of a store. */
#include "pipeline/common/contact_sheet.h"

#include "io/image.h"
#include "io/alloc.h"
#include "io/store.h"

enum { VOLUMES = 4, COLUMNS = 8, GAP = 2, CELL = 128 };

/* Subsamples a slice in place: keeps every step-th pixel of every step-th row. */
static void subsample(int16_t *hu, uint8_t *labels, int64_t h, int64_t w, int64_t step) {
    for (int64_t y = 0; y * step < h; y++)
        for (int64_t x = 0; x * step < w; x++) {
            int64_t to = y * ((w + step - 1) / step) + x, from = y * step * w + x * step;
            hu[to] = hu[from];
            labels[to] = labels[from];
        }
}

/* Draws volume i in rows 2i and 2i + 1 of the sheet. */
static status draw_volume(store *s, int64_t i, const double window[2], image *im) {
    status st = ST_OK;
    const geometry *g = &store_at(s, i)->space;
    int64_t h = g->shape[1], w = g->shape[2], longer = h > w ? h : w;
    int64_t step = (longer + CELL - 1) / CELL, scale = longer < CELL ? CELL / longer : 1;
    int64_t rows = (h + step - 1) / step, columns = (w + step - 1) / step;
    int16_t *hu = NULL;
    uint8_t *labels = NULL;
    TRY(array_alloc(&hu, h * w, sizeof *hu, "a slice"));
    TRY(array_alloc(&labels, h * w, 1, "a label map"));
    for (int64_t c = 0; c < COLUMNS; c++) {
        int64_t z = (2 * c + 1) * g->shape[0] / (2 * COLUMNS);
        int64_t top = 2 * i * (CELL + GAP), left = c * (CELL + GAP);
        TRY(store_read_slice(s, i, z, hu, labels));
        subsample(hu, labels, h, w, step);
        image_draw_slice(im, top, left, scale, hu, NULL, rows, columns, window[0], window[1]);
        image_draw_slice(im, top + CELL + GAP, left, scale, hu, labels, rows, columns, window[0],
                         window[1]);
    }
done:
    free(hu);
    free(labels);
    return st;
}

status contact_sheet_write(const char *store_directory, const double window[2], const char *path) {
    status st = ST_OK;
    static const uint8_t white[3] = {255, 255, 255};
    store *s = NULL;
    image im = {0};
    TRY(store_open(store_directory, &s));
    int64_t volumes = store_count(s) < VOLUMES ? store_count(s) : VOLUMES;
    TRY(image_create(2 * volumes * (CELL + GAP), COLUMNS * (CELL + GAP), white, &im));
    for (int64_t i = 0; i < volumes; i++) TRY(draw_volume(s, i, window, &im));
    TRY(image_write(&im, path));
done:
    image_free(&im);
    store_close(s);
    return st;
}
