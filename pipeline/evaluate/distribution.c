/* FID, KID, precision, recall, density, coverage and MS-SSIM of slices with their floors. */
#include "pipeline/evaluate/distribution.h"

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
    LEAST = 16, /* slices of a set */
    FID_DRAWS = 8,
    KID_SUBSETS = 100,
    KID_SIZE = 100,
    KID_RESAMPLES = 2000,
    NEIGHBOURS = 5,
    SSIM_PAIRS = 200,
    SSIM_LEAST = 11 /* pixels of a side */
};

status slice_set_alloc(int64_t n, int64_t dim, int64_t size, slice_set *out) {
    status st = ST_OK;
    int64_t features = 0, pixels = 0;
    *out = (slice_set){.n = n};
    if (!size_mul(n, dim, &features) || !size_mul(n, size * size, &pixels))
        return status_memory("features of slices", n);
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

/* Makes the set smaller: n evenly spaced slices of it, moved to the front. */
static void thin(slice_set *s, int64_t n, int64_t dim, int64_t size) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = i * s->n / n;
        memmove(s->features + i * dim, s->features + from * dim, (size_t)dim * sizeof(float));
        memmove(s->images + i * size * size, s->images + from * size * size,
                (size_t)(size * size) * sizeof(float));
    }
    s->n = n;
}

/* A copy of n evenly spaced slices. Local. */
static status copy_thinned(const slice_set *from, int64_t n, int64_t dim, int64_t size,
                           slice_set *out) {
    status st = slice_set_alloc(from->n, dim, size, out);
    if (st != ST_OK) return st;
    memcpy(out->features, from->features, (size_t)(from->n * dim) * sizeof(float));
    memcpy(out->images, from->images, (size_t)(from->n * size * size) * sizeof(float));
    thin(out, n, dim, size);
    return ST_OK;
}

/* Fréchet distance of two sets. Local. */
static status distance(const slice_set *a, const slice_set *b, int64_t dim, double *out) {
    status st = ST_OK;
    moments m = {0}, n = {0};
    TRY(moments_create(dim, &m));
    TRY(moments_create(dim, &n));
    moments_add(&m, a->features, a->n);
    moments_add(&n, b->features, b->n);
    TRY(frechet_distance(&m, &n, out));
done:
    moments_free(&m);
    moments_free(&n);
    return st;
}

/* The curve of FID against the number of slices. Local. */
static status measure_curve(const slice_set *real, const slice_set *synthetic, int64_t dim,
                            uint64_t seed, distribution *out) {
    fid_infinity_result line;
    const int64_t most = real->n;
    for (int i = 0; i < FID_SIZES; i++) out->fid_size[i] = most * (i + 1) / FID_SIZES;
    const fid_infinity_settings settings = {
        .size = out->fid_size, .sizes = FID_SIZES, .draws = FID_DRAWS, .seed = seed};
    status st = fid_infinity(real->features, real->n, synthetic->features, synthetic->n, dim,
                             &settings, out->fid_curve, &line);
    out->fid_infinity = st == ST_OK ? line.intercept : (double)NAN;
    return st;
}

/* KID of both sets; equally many slices in all three. Local. */
static status measure_kid(const slice_set *real, const slice_set *synthetic, const slice_set *floor,
                          int64_t dim, uint64_t seed, distribution *out) {
    status st = ST_OK;
    double value[KID_SUBSETS];
    kid_result result;
    const int64_t n = real->n;
    const kid_settings settings = {.subsets = KID_SUBSETS,
                                   .size = n < KID_SIZE ? n : KID_SIZE,
                                   .seed = seed,
                                   .resamples = KID_RESAMPLES,
                                   .level = 0.95};
    TRY(kid(real->features, n, synthetic->features, n, dim, &settings, value, &result));
    out->kid = result.mean;
    out->kid_low = result.low;
    out->kid_high = result.high;
    TRY(kid(real->features, n, floor->features, n, dim, &settings, value, &result));
    out->kid_floor = result.mean;
done:
    return st;
}

/* The similarity of pairs within each set. Local. */
static status measure_similarity(const slice_set *synthetic, const slice_set *floor, int64_t size,
                                 uint64_t seed, distribution *out) {
    status st = ST_OK;
    double value[SSIM_PAIRS];
    out->ms_ssim = out->ms_ssim_floor = (double)NAN;
    if (size < SSIM_LEAST) return ST_OK;
    TRY(ms_ssim_pairs(synthetic->images, synthetic->n, size, 2, SSIM_PAIRS, seed, value,
                      &out->ms_ssim));
    TRY(ms_ssim_pairs(floor->images, floor->n, size, 2, SSIM_PAIRS, seed, value,
                      &out->ms_ssim_floor));
done:
    return st;
}

status distribution_measure(const slice_set *real, const slice_set *synthetic,
                            const slice_set *floor, int64_t dim, int64_t size, uint64_t seed,
                            distribution *out) {
    status st = ST_OK;
    slice_set r = {.n = 0}, s = {.n = 0}, f = {.n = 0};
    int64_t n = real->n < synthetic->n ? real->n : synthetic->n;
    if (floor->n < n) n = floor->n;
    *out = (distribution){.dim = dim};
    if (n < LEAST)
        TRY(status_fail(ST_INPUT,
                        "%" PRId64 " slices are too few to compare distributions: %d are needed of "
                        "held-out, synthetic and training slices each",
                        n, (int)LEAST));
    TRY(copy_thinned(real, n, dim, size, &r));
    TRY(copy_thinned(synthetic, n, dim, size, &s));
    TRY(copy_thinned(floor, n, dim, size, &f));
    out->n_real = out->n_synthetic = out->n_floor = n;
    TRY(distance(&s, &r, dim, &out->fid));
    TRY(distance(&f, &r, dim, &out->fid_floor));
    TRY(measure_curve(&r, &s, dim, seed, out));
    TRY(measure_kid(&r, &s, &f, dim, seed, out));
    TRY(manifold_compare(r.features, n, s.features, n, dim, NEIGHBOURS, &out->manifold));
    TRY(manifold_compare(r.features, n, f.features, n, dim, NEIGHBOURS, &out->manifold_floor));
    TRY(measure_similarity(&s, &f, size, seed, out));
done:
    slice_set_free(&r);
    slice_set_free(&s);
    slice_set_free(&f);
    return st;
}

json_t *distribution_json(const distribution *d, const char *network, const char *hash,
                          int64_t labelled, const char *generator) {
    const manifold_scores *m = &d->manifold, *f = &d->manifold_floor;
    json_t *curve = json_array();
    for (int i = 0; i < FID_SIZES; i++)
        json_array_append_new(
            curve, json_pack("[I, o]", (json_int_t)d->fid_size[i], log_number(d->fid_curve[i])));
    json_t *all = json_pack(
        "{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "network",
        network, "network_hash", hash, "labelled", (json_int_t)labelled, "generator", generator,
        "n_synthetic", (json_int_t)d->n_synthetic, "n_real", (json_int_t)d->n_real, "dim",
        (json_int_t)d->dim, "fid", log_number(d->fid), "fid_floor", log_number(d->fid_floor),
        "fid_infinity", log_number(d->fid_infinity), "fid_curve", curve, "kid", log_number(d->kid),
        "kid_low", log_number(d->kid_low), "kid_high", log_number(d->kid_high), "kid_floor",
        log_number(d->kid_floor));
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
