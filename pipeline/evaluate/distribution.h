/* How near synthetic slices are to held-out real ones, in the features of one network, each measure
 * beside its floor: the same measure of real training slices. */
#ifndef CTAUG_PIPELINE_EVALUATE_DISTRIBUTION_H
#define CTAUG_PIPELINE_EVALUATE_DISTRIBUTION_H

#include "io/file.h"
#include "model/metric/manifold.h"

#include <jansson.h>

enum { FID_SIZES = 4 };

/* Features of one network, and the images that they were computed from. */
typedef struct slice_set {
    float *features; /* [n][dim]; owned */
    float *images;   /* [n][size][size], in [-1, 1]; owned; NULL: MS-SSIM is not computed */
    int64_t n;
} slice_set;

/* Local. */
status slice_set_alloc(int64_t n, int64_t dim, int64_t size, slice_set *out);
void slice_set_free(slice_set *s);

typedef struct distribution {
    int64_t n_real, n_synthetic, n_floor, dim; /* slices; features */
    double fid, fid_floor;
    /* FID of n synthetic and n real slices at growing n, and the line's value at n = infinity
     * (Chong & Forsyth 2020). */
    int64_t fid_size[FID_SIZES];
    double fid_curve[FID_SIZES], fid_infinity;
    double kid, kid_low, kid_high, kid_floor;
    manifold_scores manifold, manifold_floor; /* precision, recall, density, coverage */
    double ms_ssim, ms_ssim_floor;            /* of pairs within a set: low is diverse */
} distribution;

/* Measures `synthetic` against `real`, and `floor` likewise. Compared numbers have equal counts:
 * those of the smallest set, evenly spaced. size: of the images. ST_INPUT if a set has fewer than
 * 16 slices. Local. */
status distribution_measure(const slice_set *real, const slice_set *synthetic,
                            const slice_set *floor, int64_t dim, int64_t size, uint64_t seed,
                            distribution *out);

/* An entry of "distribution" in metrics.json. New reference; NULL: out of memory. Local. */
json_t *distribution_json(const distribution *d, const char *network, const char *hash,
                          int64_t labelled, const char *generator);

#endif
