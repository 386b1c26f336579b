/* How near synthetic slices are to held-out real ones, in the features of one network, each measure
 * beside its floor: the same measure of real training slices. */
#ifndef CTAUG_PIPELINE_EVALUATE_DISTRIBUTION_H
#define CTAUG_PIPELINE_EVALUATE_DISTRIBUTION_H

#include "io/file.h"
#include "model/metric/manifold.h"

#include <jansson.h>

enum { FID_SIZES = 4 };

/* Features of one network, and some of the images that they were computed from. */
typedef struct slice_set {
    float *features; /* [n][dim]; owned */
    float *images;   /* [image_count][size][size], in [-1, 1]; owned */
    int64_t n, image_count;
} slice_set;

/* Zeros. The caller calls slice_set_free(), also after a failure. Local. */
status slice_set_alloc(int64_t n, int64_t dim, int64_t image_count, int64_t size, slice_set *out);
void slice_set_free(slice_set *s);

/* With n_equal < 16 the curve is empty (fid_size 0), and kid and what a manifold gives are NAN; so
 * is ms_ssim if images have fewer than 11 x 11 pixels. */
typedef struct distribution {
    int64_t n_real, n_synthetic, n_floor, dim; /* slices of the FID; features */
    double fid, fid_floor;
    int64_t n_equal; /* slices of each set, for what follows but ms_ssim */
    /* FID of n synthetic and n real slices at growing n, and the line's value at n = infinity
     * (Chong & Forsyth 2020). */
    int64_t fid_size[FID_SIZES];
    double fid_curve[FID_SIZES], fid_infinity;
    double kid, kid_low, kid_high, kid_floor;
    manifold_scores manifold, manifold_floor; /* precision, recall, density, coverage */
    double ms_ssim, ms_ssim_floor;            /* of pairs within a set: low is diverse */
} distribution;

/* Measures `synthetic` against `real`, and `floor` likewise. FID takes all of `real` and equally
 * many slices of the other two; the other measures equally many of all three. What is too many is
 * left out evenly. size: of the images. ST_INPUT if a set has fewer than 2 slices or a feature is
 * not finite. Local. */
status distribution_measure(const slice_set *real, const slice_set *synthetic,
                            const slice_set *floor, int64_t dim, int64_t size, uint64_t seed,
                            distribution *out);

/* The measures, for an entry of "distribution" in metrics.json. New reference; NULL: out of memory.
 * Local. */
json_t *distribution_json(const distribution *d);

#endif
