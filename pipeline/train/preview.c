/* Preview pictures: a few held-out slices, their labels, and what the network makes of these
 * labels. */
#include "pipeline/train/preview.h"

#include "io/alloc.h"
#include "model/warp.h"
#include "pipeline/common/denoiser.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 6, GAP = 2 };

typedef struct sheet {
    slice_sample samples[COLUMNS];
    uint64_t index[COLUMNS];
    float *images; /* COLUMNS real, then COLUMNS sampled slices */
    uint8_t *labels;
    int16_t *hu; /* one slice */
    image picture;
} sheet;

static void draw(sheet *sh, const study *s, int row, int column, const float *values,
                 const uint8_t *labels) {
    int64_t size = s->data.size, scale = size < 128 ? 2 : 1, cell = size * scale + GAP;
    for (int64_t i = 0; i < size * size; i++)
        sh->hu[i] = window_undo(values[i], s->data.window[0], s->data.window[1]);
    image_draw_slice(&sh->picture, row * cell, column * cell, scale, sh->hu, labels, size, size,
                     s->data.window[0], s->data.window[1]);
}

static status take_slices(sheet *sh, slices *held, int64_t pixels) {
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

static status write_pictures(const stage_context *stage, sheet *sh, int64_t step,
                             const history *h) {
    status st = ST_OK;
    char folder[PATH_SIZE], path[PATH_SIZE], name[64];
    image curve = {0};
    TRY(stage_path(stage, "previews", folder));
    TRY(file_make_dirs(folder));
    snprintf(name, sizeof name, "step-%08lld.png", (long long)step);
    TRY(path_join(path, folder, name));
    TRY(image_write(&sh->picture, path));
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
    TRY(take_slices(&sh, held, pixels));
    TRY(denoiser_open(stage, labels, COLUMNS, &d));
    memcpy(denoiser_params(d)->value, ema, (size_t)denoiser_params(d)->total * sizeof(float));
    denoiser_params_changed(d);
    TRY(denoiser_sample(d, sh.samples, sh.index, COLUMNS, sh.images + COLUMNS * pixels));
    TRY(image_create(3 * cell, COLUMNS * cell, white, &sh.picture));
    for (int c = 0; c < COLUMNS; c++) {
        draw(&sh, s, 0, c, sh.samples[c].image, NULL);
        draw(&sh, s, 1, c, sh.samples[c].image, sh.samples[c].labels);
        draw(&sh, s, 2, c, sh.images + (COLUMNS + c) * pixels, NULL);
    }
    TRY(write_pictures(stage, &sh, step, h));
done:
    denoiser_close(d);
    image_free(&sh.picture);
    free(sh.images);
    free(sh.labels);
    free(sh.hu);
    return st;
}
