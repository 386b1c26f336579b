/* One pass per axis: along each line, the squared distance is the lower envelope of parabolas, one
 * at each voxel that the passes before have reached. */
#include "model/metric/distance_transform.h"
#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>

/* The envelope of a line; one for each thread. */
typedef struct envelope {
    double *height; /* the value of each voxel before the pass */
    double *from;   /* from where on parabola k is the lowest, in mm */
    double *centre; /* in mm, and */
    double *base;   /* the height of parabola k */
} envelope;

/* Replaces the n values at x, x + stride, ... by min over j of (i - j)^2 spacing^2 + x_j. */
static void line(double *x, int64_t n, int64_t stride, double spacing, const envelope *e) {
    int64_t last = -1;
    for (int64_t i = 0; i < n; i++) e->height[i] = x[i * stride];
    for (int64_t i = 0; i < n; i++) {
        if (isinf(e->height[i])) continue;
        double at = (double)i * spacing, cut = -INFINITY;
        while (last >= 0) {
            double apart = at - e->centre[last];
            cut = 0.5 * ((e->height[i] - e->base[last]) / apart + at + e->centre[last]);
            if (cut > e->from[last]) break;
            last--;
        }
        last++;
        e->from[last] = last > 0 ? cut : -INFINITY;
        e->centre[last] = at;
        e->base[last] = e->height[i];
    }
    if (last < 0) return; /* all infinite, and they stay so */
    for (int64_t i = 0, k = 0; i < n; i++) {
        double at = (double)i * spacing;
        while (k < last && e->from[k + 1] <= at) k++;
        double gap = at - e->centre[k];
        x[i * stride] = gap * gap + e->base[k];
    }
}

static status check(const int64_t shape[3], const double spacing[3], int64_t *voxels) {
    *voxels = 1;
    for (int axis = 0; axis < 3; axis++) {
        if (shape[axis] < 1)
            return status_fail(ST_INPUT, "distances in a volume of size %" PRId64 ", axis %d",
                               shape[axis], axis);
        if (!(spacing[axis] > 0) || isinf(spacing[axis]))
            return status_fail(ST_INPUT, "distances with a voxel spacing of %g mm, axis %d",
                               spacing[axis], axis);
        if (!size_mul(*voxels, shape[axis], voxels)) return status_memory("distances", INT64_MAX);
    }
    return ST_OK;
}

status distance_transform(const uint8_t *site, const int64_t shape[3], const double spacing[3],
                          double *squared) {
    status st = ST_OK;
    double *memory = NULL;
    int64_t voxels = 0, longest = 1, values = 0;
    TRY(check(shape, spacing, &voxels));
    for (int axis = 0; axis < 3; axis++)
        if (shape[axis] > longest) longest = shape[axis];
    if (!size_mul(longest, INT64_C(4) * omp_get_max_threads(), &values))
        TRY(status_memory("distances", INT64_MAX));
    TRY(array_alloc(&memory, values, sizeof *memory, "distances"));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < voxels; i++) squared[i] = site[i] ? 0 : INFINITY;

    int64_t stride = 1;
    for (int axis = 2; axis >= 0; axis--) {
        int64_t n = shape[axis];
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < voxels / n; i++) {
            double *own = memory + omp_get_thread_num() * 4 * longest;
            envelope e = {own, own + longest, own + 2 * longest, own + 3 * longest};
            int64_t first = i / stride * stride * n + i % stride;
            line(squared + first, n, stride, spacing[axis], &e);
        }
        stride *= n;
    }
done:
    free(memory);
    return st;
}
