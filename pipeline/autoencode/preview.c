/* Draws slices, reconstructions and their differences side by side. */
#include "pipeline/autoencode/preview.h"

#include "io/alloc.h"
#include "io/image.h"
#include "model/hu_map.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { COLUMNS = 6, ROWS = 3, GAP = 2 };
static const double DIFFERENCE = 200; /* HU at the ends of the window of row 3 */

/* Whole HU of a value of the network, as far as int16 holds them. */
static int16_t hu_of(float y) {
    return (int16_t)lrint(fmin(fmax(hu_map_from((double)y), INT16_MIN), INT16_MAX));
}

/* Draws a column; hu: scratch [ROWS][size * size]. Local. */
static void draw_column(const study *s, image *sheet, int column, const float *real,
                        const float *made, int16_t *hu) {
    const int64_t size = s->data.size, scale = size < 128 ? 2 : 1, cell = size * scale + GAP;
    const double windows[ROWS][2] = {{s->data.window[0], s->data.window[1]},
                                     {s->data.window[0], s->data.window[1]},
                                     {-DIFFERENCE, DIFFERENCE}};
    for (int64_t i = 0; i < size * size; i++) {
        const int16_t a = hu_of(real[i]), b = hu_of(made[i]);
        hu[i] = a;
        hu[size * size + i] = b;
        hu[2 * size * size + i] = (int16_t)fmin(fmax(b - a, INT16_MIN), INT16_MAX);
    }
    for (int row = 0; row < ROWS; row++)
        image_draw_slice(sheet, row * cell, column * cell, scale, hu + row * size * size, NULL,
                         size, size, windows[row][0], windows[row][1]);
}

/* Local. */
static status draw_sheet(const stage_context *stage, coder *c, slices *held, const char *path) {
    status st = ST_OK;
    static const uint8_t white[3] = {255, 255, 255};
    const study *s = stage->study;
    const int64_t size = s->data.size, cell = size * (size < 128 ? 2 : 1) + GAP;
    const slice_sample *slice = NULL;
    const float *made = NULL;
    image sheet = {0};
    int16_t *hu = NULL;
    TRY(array_alloc(&hu, ROWS * size * size, sizeof *hu, "preview slices"));
    TRY(image_create(ROWS * cell, COLUMNS * cell, white, &sheet));
    for (int k = 0; k < COLUMNS; k++) {
        TRY(coder_reconstruct(c, held, (2 * k + 1) * slices_count(held) / (2 * COLUMNS), &slice,
                              &made));
        draw_column(s, &sheet, k, slice->image, made, hu);
    }
    TRY(image_write(&sheet, path));
done:
    image_free(&sheet);
    free(hu);
    return st;
}

status preview_write(const stage_context *stage, coder *c, slices *held, int64_t step,
                     const history *h) {
    status st = ST_OK;
    char folder[PATH_SIZE], path[PATH_SIZE], name[64];
    image curve = {0};
    TRY(stage_path(stage, "previews", folder));
    TRY(file_make_dirs(folder));
    snprintf(name, sizeof name, "autoencoder-step-%08" PRId64 ".png", step);
    TRY(path_join(path, folder, name));
    TRY(draw_sheet(stage, c, held, path));
    TRY(path_join(path, folder, "autoencoder-loss.png"));
    TRY(history_draw(h, 300, 600, &curve));
    TRY(image_write(&curve, path));
done:
    image_free(&curve);
    return st;
}
