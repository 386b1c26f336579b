/* Distance of the edges of two CT images, as three windows show them. Values are HU by the inverse
 * of model/hu_map.h; a window maps its range of HU to 0..1 and clamps what lies outside. With D the
 * difference of the two windowed images,
 *
 *     weight * mean over the windows of (sum of |D(y, x + 1) - D(y, x)| + sum of |D(y + 1, x) -
 * D(y, x)|) / pixels.
 *
 * with absolute values rounded at 0 (model/nn/ops/penalty.h). Differences of neighbours as in the
 * gradient difference loss of Mathieu et al. 2016, equation 6. What both images have outside a
 * window has no gradient there. */
#include "model/nn/op.h"

#include "model/hu_map.h"
#include "model/nn/ops/penalty.h"

#include <math.h>
#include <string.h>

/* Usual windows of a reading room: width and level of lungs 1500 and -600, of soft tissue 400 and
 * 40, of bone 1800 and 400. */
enum { WINDOWS = 3 };
static const double windows[WINDOWS][2] = {{-1350, 150}, {-160, 240}, {-500, 1300}};

/* A windowed value and its slope by the value y. */
typedef struct shade {
    float value, slope;
} shade;

static shade shade_of(const double window[2], float y) {
    const double hu = hu_map_from(fmin(fmax((double)y, -6), 6)), range = window[1] - window[0];
    if (!(hu > window[0])) return (shade){0, 0};
    if (hu >= window[1]) return (shade){1, 0};
    return (shade){(float)((hu - window[0]) / range),
                   (float)(hu_map_from_slope((double)y) / range)};
}

/* The scratch of a sample: D, and its gradient. */
static float *work_of(const op_run *r, int64_t b) {
    return (float *)r->scratch + 2 * b * tensor_sample(&r->in[0]);
}

static status window_open(op_run *r) {
    r->scratch_bytes = 2 * tensor_count(&r->in[0]) * (int64_t)sizeof(float);
    return ST_OK;
}

/* D of sample b in one window. */
static void make_difference(const op_run *r, int64_t b, const double window[2], float *d) {
    const int64_t n = tensor_sample(&r->in[0]);
    const float *predicted = (const float *)r->in[0].at + b * n,
                *target = (const float *)r->in[1].at + b * n;
    for (int64_t i = 0; i < n; i++)
        d[i] = shade_of(window, predicted[i]).value - shade_of(window, target[i]).value;
}

static double sum_of_edges(const float *d, int64_t h, int64_t w) {
    double sum = 0;
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            const float *at = d + y * w + x;
            if (x + 1 < w) sum += rounded((double)at[1] - (double)at[0]);
            if (y + 1 < h) sum += rounded((double)at[w] - (double)at[0]);
        }
    return sum;
}

/* Adds the gradient of |to - from| by both. */
static void add_slope(const float *d, float *gradient, int64_t from, int64_t to) {
    const float slope = rounded_slope((double)d[to] - (double)d[from]);
    gradient[to] += slope;
    gradient[from] -= slope;
}

/* The gradient of sum_of_edges() by D. */
static void edge_gradient(const float *d, float *gradient, int64_t h, int64_t w) {
    memset(gradient, 0, (size_t)(h * w) * sizeof *gradient);
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            const int64_t at = y * w + x;
            if (x + 1 < w) add_slope(d, gradient, at, at + 1);
            if (y + 1 < h) add_slope(d, gradient, at, at + w);
        }
}

static status window_forward(op_run *r) {
    const int64_t h = r->in[0].shape[1], w = r->in[0].shape[2];
    const float *weight = r->in[2].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        float *d = work_of(r, b);
        double sum = 0;
        for (int k = 0; k < WINDOWS; k++) {
            make_difference(r, b, windows[k], d);
            sum += sum_of_edges(d, h, w);
        }
        y[b] = (float)(sum / (double)(WINDOWS * h * w) * (double)weight[b]);
    }
    return ST_OK;
}

static status window_backward(op_run *r) {
    const int64_t h = r->in[0].shape[1], w = r->in[0].shape[2], n = h * w;
    const float *weight = r->in[2].at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *predicted = (const float *)r->in[0].at + b * n;
        float *d = work_of(r, b), *gradient = d + n, *dx = (float *)r->grad_in[0] + b * n;
        const float factor = ((const float *)r->grad_out)[b] * weight[b] / (float)(WINDOWS * n);
        memset(dx, 0, (size_t)n * sizeof *dx);
        for (int k = 0; k < WINDOWS; k++) {
            make_difference(r, b, windows[k], d);
            edge_gradient(d, gradient, h, w);
            for (int64_t i = 0; i < n; i++)
                dx[i] += factor * gradient[i] * shade_of(windows[k], predicted[i]).slope;
        }
    }
    return ST_OK;
}

static const op_kind window_kind = {.name = "window loss",
                                    .backward_reads = BIT_IN0 | BIT_IN1 | BIT_IN2,
                                    .open = window_open,
                                    .forward = window_forward,
                                    .backward = window_backward};

node graph_window_loss(graph *g, node predicted, node target, node weight) {
    const char *name = window_kind.name;
    const graph_op *p = graph_value(g, predicted, name), *t = graph_value(g, target, name);
    const graph_op *w = graph_value(g, weight, name);
    if (!p || !t || !w) return NODE_NONE;
    if (memcmp(p->shape, t->shape, sizeof p->shape) != 0 || p->shape[2] != 1)
        return graph_fault(g, "%s: two images of one channel and one size are needed", name);
    if (w->shape[0] * w->shape[1] * w->shape[2] != 1)
        return graph_fault(g, "%s: the weight must be one value per sample", name);
    graph_op op = {
        .kind = &window_kind, .in = {predicted, target, weight}, .inputs = 3, .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
