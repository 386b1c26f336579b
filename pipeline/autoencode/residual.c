/* A slice has a row of sums; each rank fills those of its slices, so that their sum over the ranks
 * is exact, and rows are added in one order. */
#include "pipeline/autoencode/residual.h"

#include "io/alloc.h"
#include "model/metric/quantile.h"
#include "pipeline/autoencode/reconstruction.h"
#include "pipeline/common/residual_class.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements of a row: for each class pixels and sum of squares, then the power outside of air. */
enum {
    ROW_PIXELS,
    ROW_SQUARES = ROW_PIXELS + RESIDUAL_CLASSES,
    ROW_POWER = ROW_SQUARES + RESIDUAL_CLASSES,
    ROW = ROW_POWER + RESIDUAL_PATCH * RESIDUAL_PATCH
};

/* The images of a slice, [size * size]. */
typedef struct residual_images {
    float *residual, *made; /* HU */
    uint8_t *class;
    int64_t size;
} residual_images;

/* Adds the patch at (y, x), if it is uniform. Local. */
static void add_patch(const residual_images *of, int64_t y, int64_t x, double *row) {
    const int class = of->class[y * of->size + x];
    double mean = 0, squares = 0;
    for (int i = 0; i < RESIDUAL_PATCH * RESIDUAL_PATCH; i++) {
        const int64_t at = (y + i / RESIDUAL_PATCH) * of->size + x + i % RESIDUAL_PATCH;
        if (of->class[at] != class) return;
        mean += (double)of->residual[at] / (RESIDUAL_PATCH * RESIDUAL_PATCH);
    }
    for (int i = 0; i < RESIDUAL_PATCH * RESIDUAL_PATCH; i++) {
        const int64_t at = (y + i / RESIDUAL_PATCH) * of->size + x + i % RESIDUAL_PATCH;
        squares += pow((double)of->residual[at] - mean, 2);
    }
    row[ROW_PIXELS + class] += RESIDUAL_PATCH * RESIDUAL_PATCH;
    row[ROW_SQUARES + class] += squares;
    if (class != RESIDUAL_AIR)
        noise_spectrum_power(of->residual, of->size, y, x, RESIDUAL_PATCH, row + ROW_POWER);
}

/* Fills the rows of this rank. Local. */
static status fill_rows(const stage_context *stage, coder *c, slices *train, int64_t n,
                        double *rows) {
    status st = ST_OK;
    residual_images of = {.size = stage->study->data.size};
    const int64_t pixels = of.size * of.size;
    const slice_sample *slice = NULL;
    const float *image = NULL;
    TRY(array_alloc(&of.residual, pixels, sizeof *of.residual, "a slice"));
    TRY(array_alloc(&of.made, pixels, sizeof *of.made, "a slice"));
    TRY(array_alloc(&of.class, pixels, 1, "a slice"));
    for (int64_t k = comm_rank(stage->comm); k < n; k += comm_size(stage->comm)) {
        TRY(coder_reconstruct(c, train, (2 * k + 1) * slices_count(train) / (2 * n), &slice,
                              &image));
        for (int64_t i = 0; i < pixels; i++) {
            if (!isfinite(image[i]))
                TRY(status_fail(ST_DIVERGED, "autoencode: a reconstructed training slice has a "
                                             "pixel that is not finite"));
            of.made[i] = (float)reconstruction_hu(image[i]);
            of.residual[i] = (float)(reconstruction_hu(slice->image[i]) - (double)of.made[i]);
        }
        residual_class(of.made, of.size, of.class);
        for (int64_t y = 0; y + RESIDUAL_PATCH <= of.size; y += RESIDUAL_PATCH / 2)
            for (int64_t x = 0; x + RESIDUAL_PATCH <= of.size; x += RESIDUAL_PATCH / 2)
                add_patch(&of, y, x, rows + k * ROW);
        log_progress_set(stage->log, k, "");
    }
done:
    free(of.residual);
    free(of.made);
    free(of.class);
    return st;
}

/* Quantiles of levels[n], which are sorted. */
static void set_levels(double *levels, int64_t n, residual_noise *out) {
    sort_ascending(levels, n);
    for (int i = 0; i < RESIDUAL_LEVELS; i++)
        out->level[i] = n > 0 ? (float)levels[(2 * i + 1) * n / (2 * RESIDUAL_LEVELS)] : 0;
}

/* levels: scratch [n]. Local. */
static void join_rows(const double *rows, int64_t n, double *levels, residual_noise *out) {
    double sum[ROW] = {0}, pixels = 0, squares = 0;
    int64_t count = 0;
    for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < ROW; i++) sum[i] += rows[k * ROW + i];
    for (int i = 0; i < RESIDUAL_AIR; i++) {
        pixels += sum[ROW_PIXELS + i];
        squares += sum[ROW_SQUARES + i];
    }
    for (int i = 0; i < RESIDUAL_CLASSES; i++) {
        const bool known = sum[ROW_PIXELS + i] > 0;
        const double of = known ? sum[ROW_PIXELS + i] : i == RESIDUAL_AIR ? 0 : pixels;
        out->sigma[i] = of > 0 ? (float)sqrt((known ? sum[ROW_SQUARES + i] : squares) / of) : 0;
    }
    residual_kernel(sum + ROW_POWER, out->kernel);
    for (int64_t k = 0; k < n; k++) {
        double found = 0, expected = 0;
        for (int i = 0; i < RESIDUAL_AIR; i++) {
            found += rows[k * ROW + ROW_SQUARES + i];
            expected += rows[k * ROW + ROW_PIXELS + i] * pow((double)out->sigma[i], 2);
        }
        if (expected > 0) levels[count++] = sqrt(found / expected);
    }
    set_levels(levels, count, out);
}

status residual_measure(const stage_context *stage, coder *c, slices *train, residual_noise *out) {
    status st = ST_OK;
    const int64_t all = slices_count(train), n = all < RESIDUAL_SLICES ? all : RESIDUAL_SLICES;
    double *rows = NULL, *levels = NULL;
    *out = (residual_noise){0};
    st = array_alloc(&rows, n * ROW, sizeof *rows, "residuals of slices");
    if (st == ST_OK) st = array_alloc(&levels, n, sizeof *levels, "levels of noise");
    TRY(comm_agree(stage->comm, st));
    log_progress_begin(stage->log, "residual", n);
    TRY(comm_agree(stage->comm, fill_rows(stage, c, train, n, rows)));
    TRY(comm_sum_f64(stage->comm, rows, n * ROW));
    join_rows(rows, n, levels, out);
done:
    log_progress_end(stage->log);
    free(rows);
    free(levels);
    return st;
}

void residual_log(const stage_context *stage, const residual_noise *n) {
    log_info(stage->log,
             "autoencode: noise for decoded slices: air %.1f, fat %.1f, soft %.1f, dense %.1f HU, "
             "times a level of %.2f to %.2f for each volume",
             (double)n->sigma[RESIDUAL_AIR], (double)n->sigma[TISSUE_FAT],
             (double)n->sigma[TISSUE_SOFT], (double)n->sigma[TISSUE_DENSE], (double)n->level[0],
             (double)n->level[RESIDUAL_LEVELS - 1]);
}
