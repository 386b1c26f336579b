/* FID, KID, precision, recall, density, coverage and MS-SSIM of slices with their floors. */
#include "pipeline/evaluate/distribution.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/log.h"
#include "model/metric/fid.h"
#include "model/metric/fid_infinity.h"
#include "model/metric/kid.h"
#include "model/metric/ms_ssim.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    LEAST = 16, /* slices of each set, for more than FID and MS-SSIM */
    FID_DRAWS = 8,
    KID_SUBSETS = 100,
    KID_SIZE = 100,
    KID_RESAMPLES = 2000,
    NEIGHBOURS = 5,
    SSIM_PAIRS = 200,
    SSIM_LEAST = 11 /* pixels of a side */
};

status slice_set_alloc(int64_t n, int64_t dim, int64_t image_count, int64_t size, slice_set *out) {
    status st = ST_OK;
    int64_t features = 0, pixels = 0;
    *out = (slice_set){.n = n, .image_count = image_count};
    if (!size_mul(n, dim, &features) || !size_mul(image_count, size * size, &pixels))
        TRY(status_memory("features of slices", n));
    TRY(array_alloc(&out->features, features, sizeof *out->features, "features of slices"));
    TRY(array_alloc(&out->images, pixels, sizeof *out->images, "slices"));
done:
    return st;
}

void slice_set_free(slice_set *s) {
    free(s->features);
    free(s->images);
    *s = (slice_set){.n = 0};
}

/* *out = the features of n evenly spaced slices of the set, which free() frees. Local. */
static status take_evenly(const slice_set *from, int64_t n, int64_t dim, float **out) {
    int64_t count = 0;
    if (!size_mul(n, dim, &count)) return status_memory("features of slices", n);
    status st = array_alloc(out, count, sizeof **out, "features of slices");
    for (int64_t i = 0; st == ST_OK && i < n; i++)
        memcpy(*out + i * dim, from->features + i * from->n / n * dim, (size_t)dim * sizeof(float));
    return st;
}

/* FID and its floor, each with n slices against all real ones: its bias depends on the numbers.
 * Local. */
static status measure_fid(const slice_set *real, const slice_set *synthetic, const slice_set *floor,
                          int64_t dim, distribution *out) {
    status st = ST_OK;
    float *s = NULL, *f = NULL;
    const int64_t n = synthetic->n < floor->n ? synthetic->n : floor->n;
    TRY(take_evenly(synthetic, n, dim, &s));
    TRY(take_evenly(floor, n, dim, &f));
    out->n_real = real->n;
    out->n_synthetic = out->n_floor = n;
    TRY(frechet_of_rows(s, n, real->features, real->n, dim, &out->fid));
    activity_progress();
    TRY(frechet_of_rows(f, n, real->features, real->n, dim, &out->fid_floor));
    activity_progress();
done:
    free(s);
    free(f);
    return st;
}

/* The features of equally many slices of each set. */
typedef struct equal_sets {
    float *real, *synthetic, *floor; /* [n][dim] */
    int64_t n, dim;
} equal_sets;

/* The curve of FID against the number of slices. Local. */
static status measure_curve(const equal_sets *e, uint64_t seed, distribution *out) {
    fid_infinity_result line;
    for (int i = 0; i < FID_SIZES; i++) out->fid_size[i] = e->n * (i + 1) / FID_SIZES;
    const fid_infinity_settings settings = {
        .size = out->fid_size, .sizes = FID_SIZES, .draws = FID_DRAWS, .seed = seed};
    status st =
        fid_infinity(e->real, e->n, e->synthetic, e->n, e->dim, &settings, out->fid_curve, &line);
    if (st == ST_OK) out->fid_infinity = line.intercept;
    activity_progress();
    return st;
}

/* KID and its floor. Local. */
static status measure_kid(const equal_sets *e, uint64_t seed, distribution *out) {
    status st = ST_OK;
    double value[KID_SUBSETS];
    kid_result result;
    const kid_settings settings = {.subsets = KID_SUBSETS,
                                   .size = e->n < KID_SIZE ? e->n : KID_SIZE,
                                   .seed = seed,
                                   .resamples = KID_RESAMPLES,
                                   .level = 0.95};
    TRY(kid(e->real, e->n, e->synthetic, e->n, e->dim, &settings, value, &result));
    out->kid = result.mean;
    out->kid_low = result.low;
    out->kid_high = result.high;
    TRY(kid(e->real, e->n, e->floor, e->n, e->dim, &settings, value, &result));
    out->kid_floor = result.mean;
    activity_progress();
done:
    return st;
}

/* What needs equal sets of enough slices. Local. */
static status measure_equal(const slice_set *real, const slice_set *synthetic,
                            const slice_set *floor, int64_t dim, uint64_t seed, distribution *out) {
    status st = ST_OK;
    equal_sets e = {.n = out->n_floor < real->n ? out->n_floor : real->n, .dim = dim};
    out->n_equal = e.n;
    if (e.n < LEAST) return ST_OK;
    TRY(take_evenly(real, e.n, dim, &e.real));
    TRY(take_evenly(synthetic, e.n, dim, &e.synthetic));
    TRY(take_evenly(floor, e.n, dim, &e.floor));
    TRY(measure_curve(&e, seed, out));
    TRY(measure_kid(&e, seed, out));
    TRY(manifold_compare(e.real, e.n, e.synthetic, e.n, dim, NEIGHBOURS, &out->manifold));
    TRY(manifold_compare(e.real, e.n, e.floor, e.n, dim, NEIGHBOURS, &out->manifold_floor));
    activity_progress();
done:
    free(e.real);
    free(e.synthetic);
    free(e.floor);
    return st;
}

/* *out = mean similarity of pairs within a set. Local. */
static status measure_similarity(const slice_set *s, int64_t size, uint64_t seed, double *out) {
    double value[SSIM_PAIRS];
    if (size < SSIM_LEAST || s->image_count < 2) return ST_OK;
    status st = ms_ssim_pairs(s->images, s->image_count, size, 2, SSIM_PAIRS, seed, value, out);
    activity_progress();
    return st;
}

status distribution_measure(const slice_set *real, const slice_set *synthetic,
                            const slice_set *floor, int64_t dim, int64_t size, uint64_t seed,
                            distribution *out) {
    status st = ST_OK;
    const manifold_scores unknown = {(double)NAN, (double)NAN, (double)NAN, (double)NAN};
    *out = (distribution){.dim = dim,
                          .fid_infinity = (double)NAN,
                          .kid = (double)NAN,
                          .kid_low = (double)NAN,
                          .kid_high = (double)NAN,
                          .kid_floor = (double)NAN,
                          .manifold = unknown,
                          .manifold_floor = unknown,
                          .ms_ssim = (double)NAN,
                          .ms_ssim_floor = (double)NAN};
    TRY(measure_fid(real, synthetic, floor, dim, out));
    TRY(measure_equal(real, synthetic, floor, dim, seed, out));
    TRY(measure_similarity(synthetic, size, seed, &out->ms_ssim));
    TRY(measure_similarity(floor, size, seed, &out->ms_ssim_floor));
done:
    return st;
}

json_t *distribution_json(const distribution *d) {
    const manifold_scores *m = &d->manifold, *f = &d->manifold_floor;
    json_t *curve = json_array();
    for (int i = 0; i < FID_SIZES && d->fid_size[i] > 0; i++)
        json_array_append_new(
            curve, json_pack("[I, o]", (json_int_t)d->fid_size[i], log_number(d->fid_curve[i])));
    json_t *all =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                  "n_synthetic", (json_int_t)d->n_synthetic, "n_real", (json_int_t)d->n_real,
                  "n_floor", (json_int_t)d->n_floor, "n_equal", (json_int_t)d->n_equal, "dim",
                  (json_int_t)d->dim, "fid", log_number(d->fid), "fid_floor",
                  log_number(d->fid_floor), "fid_infinity", log_number(d->fid_infinity),
                  "fid_curve", curve, "kid", log_number(d->kid), "kid_low", log_number(d->kid_low),
                  "kid_high", log_number(d->kid_high), "kid_floor", log_number(d->kid_floor));
    json_t *rest =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "precision",
                  log_number(m->precision), "recall", log_number(m->recall), "density",
                  log_number(m->density), "coverage", log_number(m->coverage), "precision_floor",
                  log_number(f->precision), "recall_floor", log_number(f->recall), "density_floor",
                  log_number(f->density), "coverage_floor", log_number(f->coverage), "ms_ssim",
                  log_number(d->ms_ssim), "ms_ssim_floor", log_number(d->ms_ssim_floor));
    if (!all || !rest || json_object_update(all, rest) != 0) {
        json_decref(all);
        all = NULL;
    }
    json_decref(rest);
    return all;
}
