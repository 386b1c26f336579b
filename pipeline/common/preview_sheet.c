/* Draws the slices of a preview side by side. */
#include "pipeline/common/preview_sheet.h"

#include "io/alloc.h"
#include "io/image.h"
#include "model/warp.h"

#include <inttypes.h>
#include <stdio.h>

enum { GAP = 2 };

typedef struct sheet {
    slice_sample samples[PREVIEW_SLICES];
    float *images; /* real slices, then as many sampled ones */
    uint8_t *labels;
    int16_t *hu; /* one slice, in HU */
    image image; /* the whole sheet */
} sheet;

/* Draws one slice, values in [-1, 1], into a cell of the sheet; labels may be NULL. Local. */
static void draw_cell(sheet *sh, const study *s, int64_t row, int64_t column, const float *values,
                      const uint8_t *labels) {
    int64_t size = s->data.size, scale = size < 128 ? 2 : 1, cell = size * scale + GAP;
    for (int64_t i = 0; i < size * size; i++)
        sh->hu[i] = window_invert(values[i], s->data.window[0], s->data.window[1]);
    image_draw_slice(&sh->image, row * cell, column * cell, scale, sh->hu, labels, size, size,
                     s->data.window[0], s->data.window[1]);
}

/* Reads the evenly spaced slices of p->held. Local. */
static status read_slices(sheet *sh, const preview_sheet *p, int64_t pixels) {
    int64_t all = slices_count(p->held);
    for (int64_t c = 0; c < p->columns; c++) {
        sh->samples[c].image = sh->images + c * pixels;
        sh->samples[c].labels = sh->labels + c * pixels;
        status st = slices_get(p->held, (2 * c + 1) * all / (2 * p->columns), &sh->samples[c]);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

/* Memory, and the held-out slices. Local. */
static status open_sheet(sheet *sh, const preview_sheet *p, int64_t pixels) {
    status st = ST_OK;
    TRY(array_alloc(&sh->images, 2 * p->columns * pixels, sizeof(float), "preview slices"));
    TRY(array_alloc(&sh->labels, p->columns * pixels, 1, "preview labels"));
    TRY(array_alloc(&sh->hu, pixels, sizeof(int16_t), "a preview slice"));
    TRY(read_slices(sh, p, pixels));
done:
    return st;
}

/* Makes this rank's columns. Local. */
static status sample_columns(const stage_context *stage, const preview_sheet *p, sheet *sh,
                             int64_t pixels) {
    char note[64];
    for (int64_t c = comm_rank(stage->comm); c < p->columns; c += comm_size(stage->comm)) {
        snprintf(note, sizeof note, "preview: slice %" PRId64 " of %" PRId64, c + 1, p->columns);
        log_progress_set(stage->log, p->step, note);
        status st = p->sample(p->context, &sh->samples[c], (uint64_t)c,
                              sh->images + (p->columns + c) * pixels);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

/* Local; called on rank 0. */
static status draw(const study *s, const preview_sheet *p, sheet *sh, const char *path) {
    status st = ST_OK;
    static const uint8_t white[3] = {255, 255, 255};
    const int64_t size = s->data.size, cell = size * (size < 128 ? 2 : 1) + GAP;
    TRY(image_create(3 * cell, p->columns * cell, white, &sh->image));
    for (int64_t c = 0; c < p->columns; c++) {
        draw_cell(sh, s, 0, c, sh->samples[c].image, NULL);
        draw_cell(sh, s, 1, c, sh->samples[c].image, sh->samples[c].labels);
        draw_cell(sh, s, 2, c, sh->images + (p->columns + c) * size * size, NULL);
    }
    TRY(image_write(&sh->image, path));
done:
    return st;
}

status preview_sheet_write(const stage_context *stage, const preview_sheet *p, status local,
                           const char *path) {
    status st = ST_OK;
    const comm *c = stage->comm;
    const int64_t pixels = stage->study->data.size * stage->study->data.size;
    sheet sh = {0};
    TRY(comm_agree(c, local));
    TRY(comm_agree(c, open_sheet(&sh, p, pixels)));
    TRY(comm_agree(c, sample_columns(stage, p, &sh, pixels)));
    for (int64_t k = 0; k < p->columns; k++)
        TRY(comm_broadcast(c, sh.images + (p->columns + k) * pixels,
                           pixels * (int64_t)sizeof *sh.images, (int)(k % comm_size(c))));
    TRY(comm_agree(c, comm_rank(c) == 0 ? draw(stage->study, p, &sh, path) : ST_OK));
done:
    image_free(&sh.image);
    free(sh.images);
    free(sh.labels);
    free(sh.hu);
    return st;
}
