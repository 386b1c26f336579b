/* Both surfaces lie in the bounding box of both masks, and only distances between them are needed:
 * the distance transforms are computed in that box. */
#include "model/metric/surface.h"
#include "io/alloc.h"
#include "model/metric/distance_transform.h"
#include "model/metric/quantile.h"

#include <inttypes.h>
#include <math.h>

/* Distances are compared with the tolerance enlarged by this share, so that rounding does not
 * decide. */
static const double ROUNDING = 1e-9;

typedef struct box {
    int64_t from[3], shape[3];
} box;

/* Extends the box, given as first and last voxel in `from` and `shape`, by a voxel. */
static void extend(box *b, const int64_t at[3]) {
    for (int axis = 0; axis < 3; axis++) {
        if (at[axis] < b->from[axis]) b->from[axis] = at[axis];
        if (at[axis] > b->shape[axis]) b->shape[axis] = at[axis];
    }
}

/* Counts the voxels of the label and returns the bounding box of both masks, if there is one. */
static box measure(const uint8_t *truth, const uint8_t *predicted, const int64_t shape[3],
                   int label, surface_scores *out) {
    box b = {{shape[0], shape[1], shape[2]}, {-1, -1, -1}};
    int64_t i = 0;
    for (int64_t z = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++, i++) {
                bool t = truth[i] == label, p = predicted[i] == label;
                out->truth += t;
                out->predicted += p;
                if (t || p) extend(&b, (int64_t[]){z, y, x});
            }
    for (int axis = 0; axis < 3; axis++) b.shape[axis] += 1 - b.from[axis];
    return b;
}

/* Is the voxel `at` of the label and has a face neighbour that is not? */
static bool on_surface(const uint8_t *volume, const int64_t shape[3], int label,
                       const int64_t at[3]) {
    const int64_t stride[3] = {shape[1] * shape[2], shape[2], 1};
    const uint8_t *voxel = volume + at[0] * stride[0] + at[1] * stride[1] + at[2];
    if (*voxel != label) return false;
    for (int axis = 0; axis < 3; axis++) {
        if (at[axis] == 0 || at[axis] == shape[axis] - 1) return true;
        if (voxel[-stride[axis]] != label || voxel[stride[axis]] != label) return true;
    }
    return false;
}

/* surface[z][y][x] of the box: 1 on the surface, else 0. */
static void mark_surface(const uint8_t *volume, const int64_t shape[3], int label, const box *b,
                         uint8_t *surface) {
    int64_t i = 0;
    for (int64_t z = 0; z < b->shape[0]; z++)
        for (int64_t y = 0; y < b->shape[1]; y++)
            for (int64_t x = 0; x < b->shape[2]; x++) {
                int64_t at[3] = {b->from[0] + z, b->from[1] + y, b->from[2] + x};
                surface[i++] = on_surface(volume, shape, label, at);
            }
}

/* Directed distances, reduced to what the scores need. */
typedef struct directed {
    double percentile;
    int64_t voxels, within;
} directed;

/* From the surface `from` to a surface with the squared distances `squared`, which are lost. */
static directed directed_distances(const uint8_t *from, double *squared, int64_t voxels,
                                   double tolerance) {
    directed d = {0};
    for (int64_t i = 0; i < voxels; i++) {
        if (!from[i]) continue;
        double distance = sqrt(squared[i]);
        d.within += distance <= tolerance * (1 + ROUNDING);
        squared[d.voxels++] = distance; /* never ahead of i */
    }
    sort_ascending(squared, d.voxels);
    d.percentile = sorted_quantile(squared, d.voxels, 0.95);
    return d;
}

static double diagonal(const int64_t shape[3], const double spacing[3]) {
    double squares = 0;
    for (int axis = 0; axis < 3; axis++) squares += pow((double)shape[axis] * spacing[axis], 2);
    return sqrt(squares);
}

static status check(const int64_t shape[3], const double spacing[3], double tolerance) {
    for (int axis = 0; axis < 3; axis++) {
        if (shape[axis] < 1)
            return status_fail(ST_INPUT, "surfaces in a volume of size %" PRId64 ", axis %d",
                               shape[axis], axis);
        if (!(spacing[axis] > 0) || isinf(spacing[axis]))
            return status_fail(ST_INPUT, "surfaces with a voxel spacing of %g mm, axis %d",
                               spacing[axis], axis);
    }
    if (!(tolerance >= 0))
        return status_fail(ST_INPUT, "a surface tolerance of %g mm: it must not be negative",
                           tolerance);
    return ST_OK;
}

status surface_compare(const uint8_t *truth, const uint8_t *predicted, const int64_t shape[3],
                       const double spacing[3], int label, double tolerance, surface_scores *out) {
    status st = ST_OK;
    uint8_t *surfaces = NULL;
    double *squared = NULL;
    *out = (surface_scores){.hd95 = NAN, .nsd = NAN, .volume_error = NAN};
    TRY(check(shape, spacing, tolerance));
    box b = measure(truth, predicted, shape, label, out);
    out->false_positive = out->truth == 0 && out->predicted > 0;
    if (out->truth == 0) goto done;
    out->volume_error = (double)(out->predicted - out->truth) / (double)out->truth;
    if (out->predicted == 0) {
        out->hd95 = diagonal(shape, spacing);
        out->nsd = 0;
        goto done;
    }
    int64_t voxels = b.shape[0] * b.shape[1] * b.shape[2]; /* not more than were read */
    TRY(array_alloc(&surfaces, 2 * voxels, sizeof *surfaces, "surfaces"));
    TRY(array_alloc(&squared, voxels, sizeof *squared, "surface distances"));
    uint8_t *of_truth = surfaces, *of_predicted = surfaces + voxels;
    mark_surface(truth, shape, label, &b, of_truth);
    mark_surface(predicted, shape, label, &b, of_predicted);

    TRY(distance_transform(of_truth, b.shape, spacing, squared));
    directed to_truth = directed_distances(of_predicted, squared, voxels, tolerance);
    TRY(distance_transform(of_predicted, b.shape, spacing, squared));
    directed to_predicted = directed_distances(of_truth, squared, voxels, tolerance);
    out->hd95 = fmax(to_truth.percentile, to_predicted.percentile);
    out->nsd = (double)(to_truth.within + to_predicted.within) /
               (double)(to_truth.voxels + to_predicted.voxels);
done:
    free(surfaces);
    free(squared);
    return st;
}
