/* Draws the preview images of a training: slices that the denoiser samples for held-out labels, and
 * the loss curve. */
#include "pipeline/common/denoiser_preview.h"

#include "pipeline/common/denoiser.h"
#include "pipeline/common/preview_sheet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The part of a training's work that its previews may cost. Work is counted in passes of the
 * network for one slice; a slice of a training step costs three. */
static const double SHARE = 0.05;
enum { TRAINING_PASSES = 3, STEPS_MIN = 4 };

static status sample(void *context, const slice_sample *condition, uint64_t index, float *out) {
    const uint64_t volume = index << 20; /* each sample is of one of its own */
    return denoiser_sample(context, condition, &volume, 1, out);
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

/* Chooses the columns of the sheet, and the steps of its samples. Local. */
static status choose_size(const study *s, denoiser *d, int64_t step, int64_t *columns) {
    status st = ST_OK;
    const int64_t since = step < s->train.preview_every ? step : s->train.preview_every;
    const double most = SHARE * TRAINING_PASSES * (double)(s->train.batch * since);
    int64_t passes = 0;
    TRY(denoiser_evaluations(d, &passes));
    *columns = (int64_t)(most / (double)passes);
    if (*columns > PREVIEW_SLICES) *columns = PREVIEW_SLICES;
    if (*columns > 0) goto done;
    *columns = 1;
    int64_t steps = s->generate.steps; /* halved, as a shortcut model can be sampled */
    const double each = (double)passes / (double)steps;
    while (steps > STEPS_MIN && each * (double)steps > most) steps /= 2;
    denoiser_choose(d, steps, 0);
done:
    return st;
}

/* The denoiser with these parameters, on this rank. Local. */
static status open_denoiser(const stage_context *stage, const denoiser_preview *p, const float *ema,
                            int64_t step, denoiser **out, int64_t *columns) {
    status st = ST_OK;
    TRY(denoiser_open(stage, p->labels, 1, out));
    memcpy(denoiser_params(*out)->value, ema, (size_t)denoiser_params(*out)->total * sizeof *ema);
    denoiser_params_changed(*out);
    TRY(denoiser_set_sigma_data(*out, p->sigma_data));
    TRY(choose_size(stage->study, *out, step, columns));
done:
    return st;
}

status denoiser_preview_write(const stage_context *stage, const denoiser_preview *p,
                              const float *ema, int64_t step, const history *h) {
    status st = ST_OK;
    denoiser *d = NULL;
    preview_sheet sheet = {.held = p->held, .sample = sample, .step = step};
    char folder[PATH_SIZE], path[PATH_SIZE], name[64];
    const bool draws = comm_rank(stage->comm) == 0;
    snprintf(name, sizeof name, "step-%08" PRId64 ".png", step);
    st = stage_path(stage, "previews", folder);
    if (st == ST_OK && draws) st = file_make_dirs(folder);
    if (st == ST_OK) st = path_of(p, folder, name, path);
    if (st == ST_OK) st = open_denoiser(stage, p, ema, step, &d, &sheet.columns);
    sheet.context = d;
    TRY(preview_sheet_write(stage, &sheet, st, path));
    TRY(comm_agree(stage->comm, draws ? write_curve(p, folder, h) : ST_OK));
done:
    denoiser_close(d);
    return st;
}
