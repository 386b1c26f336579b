/* Moments of drawn rows, their Fréchet distances, and a line through these. */
#include "model/metric/fid_infinity.h"
#include "io/alloc.h"
#include "model/metric/fid.h"
#include "model/metric/subset.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Rows that are gathered before their moments are added. */
enum { ROWS = 64 };

static void moments_clear(moments *m) {
    m->n = 0;
    memset(m->sum, 0, (size_t)m->dim * sizeof *m->sum);
    memset(m->outer, 0, (size_t)(m->dim * m->dim) * sizeof *m->outer);
}

/* The moments of the rows `items`. rows: scratch, [ROWS][dim]. */
static void moments_of(const float *x, const int64_t *items, int64_t count, float *rows,
                       moments *m) {
    moments_clear(m);
    for (int64_t from = 0; from < count; from += ROWS) {
        int64_t now = count - from < ROWS ? count - from : ROWS;
        subset_rows(x, items + from, now, m->dim, rows);
        moments_add(m, rows, now);
    }
}

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
    moments of_a = {0}, of_b = {0};
    int64_t *items = NULL;
    float *rows = NULL;
    *out = (fid_infinity_result){NAN, NAN};
    TRY(check(s, n_a, n_b));
    TRY(moments_create(dim, &of_a));
    TRY(moments_create(dim, &of_b));
    TRY(array_alloc(&items, n_a > n_b ? n_a : n_b, sizeof *items, "subsets"));
    TRY(array_alloc(&rows, ROWS * dim, sizeof *rows, "features"));
    if (s->whole_reference) moments_add(&of_a, a, n_a);
    for (int64_t i = 0; i < s->sizes; i++) {
        fid[i] = 0;
        for (int64_t j = 0; j < s->draws; j++) {
            uint64_t index = (uint64_t)(i * s->draws + j);
            double distance = NAN;
            if (!s->whole_reference) {
                subset_draw(s->seed, index, 0, n_a, s->size[i], items);
                moments_of(a, items, s->size[i], rows, &of_a);
            }
            subset_draw(s->seed, index, 1, n_b, s->size[i], items);
            moments_of(b, items, s->size[i], rows, &of_b);
            TRY(frechet_distance(&of_a, &of_b, &distance));
            fid[i] += distance / (double)s->draws;
        }
    }
    *out = fit(s->size, fid, s->sizes);
done:
    moments_free(&of_a);
    moments_free(&of_b);
    free(items);
    free(rows);
    return st;
}
