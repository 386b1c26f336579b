/* Fréchet distances of drawn rows, and a line through these. */
#include "model/metric/fid_infinity.h"
#include "io/alloc.h"
#include "model/metric/fid.h"
#include "model/metric/subset.h"

#include <inttypes.h>
#include <math.h>

static status check(const fid_infinity_settings *s, int64_t n_a, int64_t n_b) {
    bool different = false;
    if (s->draws < 1)
        return status_fail(ST_INPUT, "extrapolation of the FID from %" PRId64 " draws", s->draws);
    for (int64_t i = 0; i < s->sizes; i++) {
        if (s->size[i] < 2 || s->size[i] > n_b || (!s->whole_reference && s->size[i] > n_a))
            return status_fail(ST_INPUT,
                               "extrapolation of the FID: cannot draw %" PRId64
                               " vectors, at least 2, from sets of %" PRId64 " and %" PRId64,
                               s->size[i], n_a, n_b);
        if (s->size[i] != s->size[0]) different = true;
    }
    if (!different)
        return status_fail(ST_INPUT, "extrapolation of the FID needs two different sizes");
    return ST_OK;
}

/* Least squares of fid against 1 / size. */
static fid_infinity_result fit(const int64_t *size, const double *fid, int64_t sizes) {
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    for (int64_t i = 0; i < sizes; i++) {
        mean_x += 1 / (double)size[i] / (double)sizes;
        mean_y += fid[i] / (double)sizes;
    }
    for (int64_t i = 0; i < sizes; i++) {
        double gap = 1 / (double)size[i] - mean_x;
        xx += gap * gap;
        xy += gap * (fid[i] - mean_y);
    }
    return (fid_infinity_result){mean_y - xy / xx * mean_x, xy / xx};
}

status fid_infinity(const float *a, int64_t n_a, const float *b, int64_t n_b, int64_t dim,
                    const fid_infinity_settings *s, double *fid, fid_infinity_result *out) {
    status st = ST_OK;
    int64_t *items = NULL, room_a = 0, room_b = 0;
    float *of_a = NULL, *of_b = NULL;
    *out = (fid_infinity_result){NAN, NAN};
    TRY(check(s, n_a, n_b));
    if (!size_mul(n_a, dim, &room_a) || !size_mul(n_b, dim, &room_b))
        TRY(status_memory("features", n_a));
    TRY(array_alloc(&items, n_a > n_b ? n_a : n_b, sizeof *items, "subsets"));
    TRY(array_alloc(&of_a, room_a, sizeof *of_a, "features"));
    TRY(array_alloc(&of_b, room_b, sizeof *of_b, "features"));
    for (int64_t i = 0; i < s->sizes; i++) {
        const int64_t n = s->size[i];
        fid[i] = 0;
        for (int64_t j = 0; j < s->draws; j++) {
            uint64_t index = (uint64_t)(i * s->draws + j);
            double distance = NAN;
            if (!s->whole_reference) {
                subset_draw(s->seed, index, 0, n_a, n, items);
                subset_rows(a, items, n, dim, of_a);
            }
            subset_draw(s->seed, index, 1, n_b, n, items);
            subset_rows(b, items, n, dim, of_b);
            if (s->whole_reference)
                TRY(frechet_of_rows(a, n_a, of_b, n, dim, &distance));
            else
                TRY(frechet_of_rows(of_a, n, of_b, n, dim, &distance));
            fid[i] += distance / (double)s->draws;
        }
    }
    *out = fit(s->size, fid, s->sizes);
done:
    free(items);
    free(of_a);
    free(of_b);
    return st;
}
