/* The reconstruction table. A slice has a row of numbers; each rank fills those of its slices, so
 * that their sum over the ranks is exact, and rows are added in one order. */
#include "pipeline/autoencode/reconstruction.h"

#include "io/alloc.h"
#include "model/hu_map.h"
#include "model/metric/ms_ssim.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const double LOW = -1000, HIGH = 1000, BIAS_MAX = 10; /* HU */

/* Elements of a row: PSNR, SSIM, number of uniform patches, their noise power in the slice and in
 * its reconstruction, then pixels, sum and sum of squares of the error of each label. */
enum {
    ROW_PSNR,
    ROW_SSIM,
    ROW_PATCHES,
    ROW_REAL,
    ROW_MADE = ROW_REAL + NOISE_BANDS,
    ROW_LABELS = ROW_MADE + NOISE_BANDS,
    OF_PIXELS = 0,
    OF_SUM,
    OF_SQUARES,
    OF_LABEL
};

static double clamp(double x, double low, double high) { return fmin(fmax(x, low), high); }

double reconstruction_hu(float y) {
    const double low = hu_map_to(INT16_MIN), high = hu_map_to(INT16_MAX);
    return hu_map_from(clamp((double)y, low, high));
}

/* Adds the noise power of the uniform patches, half a patch apart, of a slice and its
 * reconstruction. Local. */
static void add_noise_power(const uint8_t *labels, const float *real, const float *made,
                            int64_t size, double *row) {
    for (int64_t y = 0; y + NOISE_PATCH <= size; y += NOISE_PATCH / 2)
        for (int64_t x = 0; x + NOISE_PATCH <= size; x += NOISE_PATCH / 2) {
            if (!noise_spectrum_is_uniform(labels, size, y, x)) continue;
            row[ROW_PATCHES]++;
            noise_spectrum_add(real, size, y, x, row + ROW_REAL);
            noise_spectrum_add(made, size, y, x, row + ROW_MADE);
        }
}

/* Fills the row of a slice; windowed: scratch [2][pixels]. Local. */
static status fill_row(const slice_sample *slice, const float *image, int64_t size, float *windowed,
                       double *row) {
    const int64_t pixels = size * size;
    double square = 0;
    for (int64_t i = 0; i < pixels; i++) {
        if (!isfinite(image[i]))
            return status_fail(ST_DIVERGED, "autoencode: a reconstructed slice has a pixel that is "
                                            "not finite");
        const double real = reconstruction_hu(slice->image[i]), made = reconstruction_hu(image[i]),
                     error = made - real;
        double *of = row + ROW_LABELS + OF_LABEL * slice->labels[i];
        of[OF_PIXELS]++;
        of[OF_SUM] += error;
        of[OF_SQUARES] += error * error;
        windowed[i] = (float)clamp(real, LOW, HIGH);
        windowed[pixels + i] = (float)clamp(made, LOW, HIGH);
        square += pow((double)windowed[pixels + i] - (double)windowed[i], 2);
    }
    add_noise_power(slice->labels, windowed, windowed + pixels, size, row);
    row[ROW_PSNR] = 10 * log10(pow(HIGH - LOW, 2) * (double)pixels / square);
    return ssim(windowed, windowed + pixels, size, HIGH - LOW, &row[ROW_SSIM]);
}

/* Fills the rows of this rank. Local. */
static status fill_rows(const stage_context *stage, coder *c, slices *held, int64_t width,
                        double *rows) {
    status st = ST_OK;
    const int64_t size = stage->study->data.size, n = slices_count(held);
    const slice_sample *slice = NULL;
    const float *image = NULL;
    float *windowed = NULL;
    TRY(array_alloc(&windowed, 2 * size * size, sizeof *windowed, "a slice"));
    for (int64_t k = comm_rank(stage->comm); k < n; k += comm_size(stage->comm)) {
        TRY(coder_reconstruct(c, held, k, &slice, &image));
        TRY(fill_row(slice, image, size, windowed, rows + k * width));
        log_progress_set(stage->log, k, "");
    }
done:
    free(windowed);
    return st;
}

/* Adds the rows. Local. */
static void add_rows(const double *rows, int64_t width, reconstruction *r) {
    for (int64_t k = 0; k < r->slices; k++) {
        r->psnr += rows[k * width + ROW_PSNR] / (double)r->slices;
        r->ssim += rows[k * width + ROW_SSIM] / (double)r->slices;
        r->patches += (int64_t)rows[k * width + ROW_PATCHES];
        for (int b = 0; b < NOISE_BANDS; b++) {
            r->noise[b] += rows[k * width + ROW_REAL + b];
            r->noise_made[b] += rows[k * width + ROW_MADE + b];
        }
    }
    for (int b = 0; b < NOISE_BANDS; b++) {
        r->noise[b] /= (double)r->patches; /* NAN without patches */
        r->noise_made[b] /= (double)r->patches;
    }
    for (int i = 0; i < r->structures; i++) {
        double pixels = 0, sum = 0, squares = 0;
        for (int64_t k = 0; k < r->slices; k++) {
            const double *of = rows + k * width + ROW_LABELS + OF_LABEL * (int64_t)i;
            pixels += of[OF_PIXELS];
            sum += of[OF_SUM];
            squares += of[OF_SQUARES];
        }
        r->pixels[i] = (int64_t)pixels;
        r->bias[i] = pixels > 0 ? sum / pixels : (double)NAN;
        r->spread[i] =
            pixels > 0 ? sqrt(fmax(squares / pixels - r->bias[i] * r->bias[i], 0)) : (double)NAN;
    }
}

status reconstruction_measure(const stage_context *stage, coder *c, slices *held,
                              const label_set *labels, int64_t patients, reconstruction *out) {
    status st = ST_OK;
    const int64_t n = slices_count(held), width = ROW_LABELS + OF_LABEL * (int64_t)labels->count;
    double *rows = NULL;
    *out = (reconstruction){.slices = n, .patients = patients, .structures = labels->count};
    TRY(comm_agree(stage->comm, array_alloc(&rows, n * width, sizeof *rows, "errors of slices")));
    log_progress_begin(stage->log, "reconstruction", n);
    TRY(comm_agree(stage->comm, fill_rows(stage, c, held, width, rows)));
    TRY(comm_sum_f64(stage->comm, rows, n * width));
    add_rows(rows, width, out);
done:
    log_progress_end(stage->log);
    free(rows);
    return st;
}

/* Sets this rank's elements of error[count]. Local. */
static status fill_errors(const stage_context *stage, coder *c, slices *held, int64_t count,
                          double *error) {
    const int64_t pixels = stage->study->data.size * stage->study->data.size;
    const slice_sample *slice = NULL;
    const float *image = NULL;
    for (int64_t k = comm_rank(stage->comm); k < count; k += comm_size(stage->comm)) {
        const int64_t at = (2 * k + 1) * slices_count(held) / (2 * count);
        status st = coder_reconstruct(c, held, at, &slice, &image);
        if (st != ST_OK) return st;
        for (int64_t i = 0; i < pixels; i++)
            error[k] += fabs((double)image[i] - (double)slice->image[i]) / (double)pixels;
    }
    return ST_OK;
}

status reconstruction_error(const stage_context *stage, coder *c, slices *held, int64_t count,
                            double *error) {
    status st = ST_OK;
    double *errors = NULL;
    *error = 0;
    TRY(comm_agree(stage->comm, array_alloc(&errors, count, sizeof *errors, "errors of slices")));
    TRY(comm_agree(stage->comm, fill_errors(stage, c, held, count, errors)));
    TRY(comm_sum_f64(stage->comm, errors, count));
    for (int64_t k = 0; k < count; k++) *error += errors[k] / (double)count;
done:
    free(errors);
    return st;
}

json_t *reconstruction_json(const reconstruction *r, const label_set *labels) {
    json_t *structures = json_object();
    for (int k = 1; k < r->structures; k++)
        json_object_set_new(structures, labels->name[k],
                            json_pack("{s:I, s:o, s:o}", "pixels", (json_int_t)r->pixels[k], "bias",
                                      log_number(r->bias[k]), "spread", log_number(r->spread[k])));
    json_t *bands = json_array();
    for (int b = 0; b < NOISE_BANDS; b++)
        json_array_append_new(bands, json_pack("{s:f, s:f, s:o, s:o}", "from", b / 8.0, "to",
                                               (b + 1) / 8.0, "real", log_number(r->noise[b]),
                                               "made", log_number(r->noise_made[b])));
    return json_pack("{s:I, s:I, s:o, s:o, s:{s:I, s:o}, s:o}", "slices", (json_int_t)r->slices,
                     "patients", (json_int_t)r->patients, "psnr", log_number(r->psnr), "ssim",
                     log_number(r->ssim), "noise", "patches", (json_int_t)r->patches, "bands",
                     bands, "structures", structures);
}

void reconstruction_log(const stage_context *stage, const reconstruction *r,
                        const label_set *labels) {
    log_info(stage->log,
             "autoencode: %" PRId64 " validation slices of %" PRId64
             " patients: PSNR %.2f dB, SSIM %.4f (-1000..1000 HU)",
             r->slices, r->patients, r->psnr, r->ssim);
    for (int b = 0; b < NOISE_BANDS && r->patches > 0; b++)
        log_info(stage->log,
                 "autoencode: noise from %.3f to %.3f cycles a pixel: %.1f HU, reconstructed "
                 "%.1f HU (%" PRId64 " patches within a structure)",
                 b / 8.0, (b + 1) / 8.0, sqrt(r->noise[b]), sqrt(r->noise_made[b]), r->patches);
    for (int k = 1; k < r->structures; k++) {
        if (r->pixels[k] == 0) continue;
        log_info(stage->log, "autoencode: %-16s bias %+7.2f HU, spread %7.2f HU", labels->name[k],
                 r->bias[k], r->spread[k]);
        if (!(fabs(r->bias[k]) <= BIAS_MAX))
            log_warning(stage->log,
                        "autoencode: %s is reconstructed with a bias of %+.1f HU (more than %g): "
                        "train longer, or choose a smaller autoencode.factor",
                        labels->name[k], r->bias[k], BIAS_MAX);
    }
}
