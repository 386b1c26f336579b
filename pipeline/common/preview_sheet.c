/* Draws the slices of a preview side by side. */
#include "pipeline/common/preview_sheet.h"

#include "io/alloc.h"
#include "io/image.h"
#include "model/warp.h"

enum { COLUMNS = PREVIEW_SLICES, GAP = 2 };

typedef struct sheet {
    slice_sample samples[COLUMNS];
    uint64_t index[COLUMNS];
    float *images; /* COLUMNS real, then COLUMNS sampled slices */
    uint8_t *labels;
    int16_t *hu; /* one slice, in HU */
    image image; /* the whole sheet */
} sheet;

/* Draws one slice, values in [-1, 1], into a cell of the sheet; labels may be NULL. Local. */
static void draw_cell(sheet *sh, const study *s, int row, int column, const float *values,
                      const uint8_t *labels) {
    int64_t size = s->data.size, scale = size < 128 ? 2 : 1, cell = size * scale + GAP;
    for (int64_t i = 0; i < size * size; i++)
        sh->hu[i] = window_invert(values[i], s->data.window[0], s->data.window[1]);
    image_draw_slice(&sh->image, row * cell, column * cell, scale, sh->hu, labels, size, size,
                     s->data.window[0], s->data.window[1]);
}

/* Reads COLUMNS evenly spaced slices of `held`. Local. */
static status read_slices(sheet *sh, slices *held, int64_t pixels) {
    int64_t all = slices_count(held);
    for (int c = 0; c < COLUMNS; c++) {
        sh->samples[c].image = sh->images + c * pixels;
        sh->samples[c].labels = sh->labels + c * pixels;
        sh->index[c] = (uint64_t)c;
        status st = slices_get(held, (2 * c + 1) * all / (2 * COLUMNS), &sh->samples[c]);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

status preview_sheet_write(const stage_context *stage, slices *held, preview_sample sample,
                           void *context, const char *path) {
    status st = ST_OK;
    static const uint8_t white[3] = {255, 255, 255};
    const study *s = stage->study;
    int64_t size = s->data.size, pixels = size * size, cell = size * (size < 128 ? 2 : 1) + GAP;
    sheet sh = {0};
    TRY(array_alloc(&sh.images, 2 * COLUMNS * pixels, sizeof(float), "preview slices"));
    TRY(array_alloc(&sh.labels, COLUMNS * pixels, 1, "preview labels"));
    TRY(array_alloc(&sh.hu, pixels, sizeof(int16_t), "a preview slice"));
    TRY(read_slices(&sh, held, pixels));
    TRY(sample(context, sh.samples, sh.index, COLUMNS, sh.images + COLUMNS * pixels));
    TRY(image_create(3 * cell, COLUMNS * cell, white, &sh.image));
    for (int c = 0; c < COLUMNS; c++) {
        draw_cell(&sh, s, 0, c, sh.samples[c].image, NULL);
        draw_cell(&sh, s, 1, c, sh.samples[c].image, sh.samples[c].labels);
        draw_cell(&sh, s, 2, c, sh.images + (COLUMNS + c) * pixels, NULL);
    }
    TRY(image_write(&sh.image, path));
done:
    image_free(&sh.image);
    free(sh.images);
    free(sh.labels);
    free(sh.hu);
    return st;
}
