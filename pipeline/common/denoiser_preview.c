/* Draws the preview images of a training: slices that the denoiser samples for held-out labels, and
 * the loss curve. */
#include "pipeline/common/denoiser_preview.h"

#include "pipeline/common/denoiser.h"
#include "pipeline/common/preview_sheet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static status sample(void *context, const slice_sample *conditions, const uint64_t *index,
                     int64_t count, float *out) {
    return denoiser_sample(context, conditions, index, count, out);
}

/* The path <folder>/<prefix><name>. Local. */
static status path_of(const denoiser_preview *p, const char *folder, const char *name,
                      char path[PATH_SIZE]) {
    char whole[96];
    snprintf(whole, sizeof whole, "%s%s", p->prefix, name);
    return path_join(path, folder, whole);
}

/* Writes the loss curve. Local. */
static status write_curve(const denoiser_preview *p, const char *folder, const history *h) {
    status st = ST_OK;
    char path[PATH_SIZE];
    image curve = {0};
    TRY(path_of(p, folder, "loss.png", path));
    TRY(history_draw(h, 300, 600, &curve));
    TRY(image_write(&curve, path));
done:
    image_free(&curve);
    return st;
}

status denoiser_preview_write(const stage_context *stage, const denoiser_preview *p,
                              const float *ema, int64_t step, const history *h) {
    status st = ST_OK;
    denoiser *d = NULL;
    char folder[PATH_SIZE], path[PATH_SIZE], name[64];
    TRY(stage_path(stage, "previews", folder));
    TRY(file_make_dirs(folder));
    snprintf(name, sizeof name, "step-%08" PRId64 ".png", step);
    TRY(path_of(p, folder, name, path));
    TRY(denoiser_open(stage, p->labels, PREVIEW_SLICES, &d));
    memcpy(denoiser_params(d)->value, ema, (size_t)denoiser_params(d)->total * sizeof(float));
    denoiser_params_changed(d);
    TRY(denoiser_set_sigma_data(d, p->sigma_data));
    TRY(preview_sheet_write(stage, p->held, sample, d, path));
    TRY(write_curve(p, folder, h));
done:
    denoiser_close(d);
    return st;
}
