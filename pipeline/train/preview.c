/* Draws the preview images of a training: held-out slices, their labels, and slices that the
 * network samples for these labels. */
#include "pipeline/train/preview.h"

#include "io/alloc.h"
#include "model/warp.h"
#include "pipeline/common/denoiser.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS = 6, GAP = 2 };

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

/* Writes the sheet and the loss curve. Local. */
static status write_images(const stage_context *stage, sheet *sh, int64_t step, const history *h) {
    status st = ST_OK;
    char folder[PATH_SIZE], path[PATH_SIZE], name[64];
    image curve = {0};
    TRY(stage_path(stage, "previews", folder));
    TRY(file_make_dirs(folder));
    snprintf(name, sizeof name, "step-%08" PRId64 ".png", step);
    TRY(path_join(path, folder, name));
    TRY(image_write(&sh->image, path));
    TRY(path_join(path, folder, "loss.png"));
    TRY(history_draw(h, 300, 600, &curve));
    TRY(image_write(&curve, path));
done:
    image_free(&curve);
    return st;
}

status preview_write(const stage_context *stage, const label_set *labels, slices *held,
                     const float *ema, int64_t step, const history *h) {
    status st = ST_OK;
    static const uint8_t white[3] = {255, 255, 255};
    const study *s = stage->study;
    int64_t size = s->data.size, pixels = size * size, cell = size * (size < 128 ? 2 : 1) + GAP;
    denoiser *d = NULL;
    sheet sh = {0};
    TRY(array_alloc(&sh.images, 2 * COLUMNS * pixels, sizeof(float), "preview slices"));
    TRY(array_alloc(&sh.labels, COLUMNS * pixels, 1, "preview labels"));
    TRY(array_alloc(&sh.hu, pixels, sizeof(int16_t), "a preview slice"));
    TRY(read_slices(&sh, held, pixels));
    TRY(denoiser_open(stage, labels, COLUMNS, &d));
    memcpy(denoiser_params(d)->value, ema, (size_t)denoiser_params(d)->total * sizeof(float));
    denoiser_params_changed(d);
    TRY(denoiser_sample(d, sh.samples, sh.index, COLUMNS, sh.images + COLUMNS * pixels));
    TRY(image_create(3 * cell, COLUMNS * cell, white, &sh.image));
    for (int c = 0; c < COLUMNS; c++) {
        draw_cell(&sh, s, 0, c, sh.samples[c].image, NULL);
        draw_cell(&sh, s, 1, c, sh.samples[c].image, sh.samples[c].labels);
        draw_cell(&sh, s, 2, c, sh.images + (COLUMNS + c) * pixels, NULL);
    }
    TRY(write_images(stage, &sh, step, h));
done:
    denoiser_close(d);
    image_free(&sh.image);
    free(sh.images);
    free(sh.labels);
    free(sh.hu);
    return st;
}
