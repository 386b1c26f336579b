/* Distance of two images in a Laplacian pyramid (Burt & Adelson 1983):
 *
 *     weight * sum over the levels of the mean of |band of predicted - band of target|
 *
 * with absolute differences rounded at 0 (model/nn/ops/penalty.h), the first loss of Bojanowski et
 * al. 2018 (section 3.2) over the number of pixels. The pyramid is linear, so it is that of the
 * difference d: G_0 = d, G_k+1 = R G_k; band k is G_k - E G_k+1, and the last one is G_k itself. R
 * filters with (1 4 6 4 1) / 16 along each axis and keeps every second pixel, beginning with the
 * first; E takes the mean of the two neighbours between two kept pixels and filters with (1 6 1) /
 * 8 at them. Beyond the border the outermost pixel is repeated.
 */
#include "model/nn/op.h"
#include "model/nn/ops/penalty.h"

#include "io/alloc.h"

#include <math.h>
#include <string.h>

enum { TAPS = 5, LEVELS_MAX = 8 };

/* A linear map of lines: element i of the result is the sum of weight * element `at` over the TAPS
 * taps from i * TAPS on. */
typedef struct tap {
    int64_t at;
    float weight;
} tap;

typedef struct line_map {
    int64_t from, to; /* lengths */
    tap *taps;        /* [to][TAPS] */
} line_map;

/* The maps along y and x from a level to the next one, and back. */
typedef struct level {
    int64_t h, w;
    line_map reduce[2], expand[2];
} level;

typedef struct pyramid {
    int levels;
    level at[LEVELS_MAX];
    int64_t offset[LEVELS_MAX]; /* of a level in an array of all */
    int64_t total;              /* pixels of all levels */
} pyramid;

static int64_t within(int64_t i, int64_t n) { return i < 0 ? 0 : i < n ? i : n - 1; }

static status open_line(line_map *m, int64_t from, int64_t to) {
    *m = (line_map){.from = from, .to = to};
    return array_alloc(&m->taps, to * TAPS, sizeof *m->taps, "a pyramid");
}

static status open_reduce(line_map *m, int64_t from) {
    static const float weights[TAPS] = {1 / 16.0F, 4 / 16.0F, 6 / 16.0F, 4 / 16.0F, 1 / 16.0F};
    status st = open_line(m, from, (from + 1) / 2);
    for (int64_t i = 0; st == ST_OK && i < m->to * TAPS; i++)
        m->taps[i] = (tap){within(2 * (i / TAPS) + i % TAPS - 2, from), weights[i % TAPS]};
    return st;
}

static status open_expand(line_map *m, int64_t from, int64_t to) {
    static const float weights[2][TAPS] = {{1 / 8.0F, 6 / 8.0F, 1 / 8.0F}, {0, 0.5F, 0.5F}};
    status st = open_line(m, from, to);
    for (int64_t i = 0; st == ST_OK && i < to * TAPS; i++) {
        const int64_t to_at = i / TAPS, k = i % TAPS;
        m->taps[i] = (tap){within(to_at / 2 + k - 1, from), weights[to_at % 2][k]};
    }
    return st;
}

static void pyramid_free(pyramid *p) {
    for (int k = 0; k < p->levels; k++)
        for (int axis = 0; axis < 2; axis++) {
            free(p->at[k].reduce[axis].taps);
            free(p->at[k].expand[axis].taps);
        }
    free(p);
}

static status pyramid_create(int64_t h, int64_t w, int levels, pyramid **out) {
    status st = ST_OK;
    pyramid *p = NULL;
    TRY(array_alloc(&p, 1, sizeof *p, "a pyramid"));
    p->levels = levels;
    for (int k = 0; k < levels; k++) {
        level *l = &p->at[k];
        l->h = h;
        l->w = w;
        p->offset[k] = p->total;
        p->total += h * w;
        for (int axis = 0; axis < 2 && k + 1 < levels; axis++) {
            const int64_t n = axis == 0 ? h : w;
            TRY(open_reduce(&l->reduce[axis], n));
            TRY(open_expand(&l->expand[axis], (n + 1) / 2, n));
        }
        h = (h + 1) / 2;
        w = (w + 1) / 2;
    }
    *out = p;
    p = NULL;
done:
    if (p) pyramid_free(p);
    return st;
}

/* y = the map m[0] along y of the map m[1] along x of x; temporary: m[0].from * m[1].to values. */
static void apply(const line_map m[2], const float *x, float *y, float *temporary) {
    const int64_t from = m[1].from, to = m[1].to;
    for (int64_t row = 0; row < m[0].from; row++)
        for (int64_t i = 0; i < to; i++) {
            float sum = 0;
            for (const tap *t = m[1].taps + i * TAPS; t < m[1].taps + (i + 1) * TAPS; t++)
                sum += t->weight * x[row * from + t->at];
            temporary[row * to + i] = sum;
        }
    memset(y, 0, (size_t)(m[0].to * to) * sizeof *y);
    for (int64_t k = 0; k < m[0].to * TAPS; k++) {
        const tap *t = m[0].taps + k;
        for (int64_t i = 0; i < to; i++)
            y[k / TAPS * to + i] += t->weight * temporary[t->at * to + i];
    }
}

/* Adds factor times the transpose of apply(): from dy to dx. */
static void apply_transposed(const line_map m[2], const float *dy, float factor, float *dx,
                             float *temporary) {
    const int64_t from = m[1].from, to = m[1].to;
    memset(temporary, 0, (size_t)(m[0].from * to) * sizeof *temporary);
    for (int64_t k = 0; k < m[0].to * TAPS; k++) {
        const tap *t = m[0].taps + k;
        for (int64_t i = 0; i < to; i++)
            temporary[t->at * to + i] += t->weight * dy[k / TAPS * to + i];
    }
    for (int64_t row = 0; row < m[0].from; row++)
        for (int64_t k = 0; k < to * TAPS; k++) {
            const tap *t = m[1].taps + k;
            dx[row * from + t->at] += factor * t->weight * temporary[row * to + k / TAPS];
        }
}

/* The scratch of a sample: two arrays of all levels and a temporary of the first one. */
typedef struct work {
    float *levels, *bands, *temporary;
} work;

static int64_t work_size(const pyramid *p) { return 2 * p->total + p->at[0].h * p->at[0].w; }

static work work_of(const op_run *r, int64_t b) {
    const pyramid *p = r->state;
    float *at = (float *)r->scratch + b * work_size(p);
    return (work){at, at + p->total, at + 2 * p->total};
}

/* Sets the bands of the difference of sample b. */
static void make_bands(const op_run *r, int64_t b, const work *w) {
    const pyramid *p = r->state;
    const int64_t n = tensor_sample(&r->in[0]);
    const float *predicted = (const float *)r->in[0].at + b * n,
                *target = (const float *)r->in[1].at + b * n;
    for (int64_t i = 0; i < n; i++) w->levels[i] = predicted[i] - target[i];
    for (int k = 0; k + 1 < p->levels; k++) {
        const float *fine = w->levels + p->offset[k];
        float *coarse = w->levels + p->offset[k + 1], *band = w->bands + p->offset[k];
        apply(p->at[k].reduce, fine, coarse, w->temporary);
        apply(p->at[k].expand, coarse, band, w->temporary);
        for (int64_t i = 0; i < p->at[k].h * p->at[k].w; i++) band[i] = fine[i] - band[i];
    }
    const int64_t last = p->offset[p->levels - 1];
    memcpy(w->bands + last, w->levels + last, (size_t)(p->total - last) * sizeof(float));
}

static status pyramid_open(op_run *r) {
    pyramid *p = NULL;
    status st = pyramid_create(r->in[0].shape[1], r->in[0].shape[2], r->op->set.levels, &p);
    if (st != ST_OK) return st;
    r->state = p;
    r->scratch_bytes = r->batch * work_size(p) * (int64_t)sizeof(float);
    return ST_OK;
}

static void pyramid_close(op_run *r) { pyramid_free(r->state); }

static status pyramid_forward(op_run *r) {
    const pyramid *p = r->state;
    const float *weight = r->in[2].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const work w = work_of(r, b);
        double loss = 0;
        make_bands(r, b, &w);
        for (int k = 0; k < p->levels; k++) {
            const int64_t n = p->at[k].h * p->at[k].w;
            double sum = 0;
            for (int64_t i = 0; i < n; i++) sum += rounded((double)w.bands[p->offset[k] + i]);
            loss += sum / (double)n;
        }
        y[b] = (float)(loss * (double)weight[b]);
    }
    return ST_OK;
}

static status pyramid_backward(op_run *r) {
    const pyramid *p = r->state;
    const float *weight = r->in[2].at;
    const int64_t pixels = tensor_sample(&r->in[0]);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const work w = work_of(r, b);
        const float factor = ((const float *)r->grad_out)[b] * weight[b];
        make_bands(r, b, &w);
        /* From here both arrays hold gradients. */
        for (int k = 0; k < p->levels; k++) {
            const int64_t n = p->at[k].h * p->at[k].w;
            float *band = w.bands + p->offset[k];
            for (int64_t i = 0; i < n; i++)
                band[i] = factor / (float)n * rounded_slope((double)band[i]);
        }
        memcpy(w.levels, w.bands, (size_t)p->total * sizeof(float));
        for (int k = p->levels - 2; k >= 0; k--) {
            float *coarse = w.levels + p->offset[k + 1];
            apply_transposed(p->at[k].expand, w.bands + p->offset[k], -1, coarse, w.temporary);
            apply_transposed(p->at[k].reduce, coarse, 1, w.levels + p->offset[k], w.temporary);
        }
        memcpy((float *)r->grad_in[0] + b * pixels, w.levels, (size_t)pixels * sizeof(float));
    }
    return ST_OK;
}

static const op_kind pyramid_kind = {.name = "pyramid loss",
                                     .backward_reads = BIT_IN0 | BIT_IN1 | BIT_IN2,
                                     .open = pyramid_open,
                                     .close = pyramid_close,
                                     .forward = pyramid_forward,
                                     .backward = pyramid_backward};

node graph_pyramid_loss(graph *g, node predicted, node target, node weight, int levels) {
    const char *name = pyramid_kind.name;
    const graph_op *p = graph_value(g, predicted, name), *t = graph_value(g, target, name);
    const graph_op *w = graph_value(g, weight, name);
    if (!p || !t || !w) return NODE_NONE;
    if (memcmp(p->shape, t->shape, sizeof p->shape) != 0 || p->shape[2] != 1)
        return graph_fault(g, "%s: two images of one channel and one size are needed", name);
    if (w->shape[0] * w->shape[1] * w->shape[2] != 1)
        return graph_fault(g, "%s: the weight must be one value per sample", name);
    const int64_t side = p->shape[0] < p->shape[1] ? p->shape[0] : p->shape[1];
    if (levels < 1 || levels > LEVELS_MAX || side >> (levels - 1) < 2)
        return graph_fault(g, "%s: the image is too small for %d levels", name, levels);
    graph_op op = {.kind = &pyramid_kind,
                   .in = {predicted, target, weight},
                   .inputs = 3,
                   .shape = {1, 1, 1},
                   .set = {.levels = levels}};
    return graph_append(g, &op);
}
