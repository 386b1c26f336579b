/* A coarse autoencoder without parameters, on which a network builds: cells of factor x factor
 * pixels and the Haar coefficients of their quarters (Haar 1910, in two dimensions).
 *
 * With a, b, c, d the mean values of the upper left, upper right, lower left and lower right
 * quarter of a cell, the coefficients are
 *
 *     (a + b + c + d) / 4,  (a - b + c - d) / 4,  (a + b - c - d) / 4,  (a - b - c + d) / 4.
 *
 * The inverse gives every pixel of a quarter the sum of the coefficients with the signs of that
 * quarter, which is a, b, c or d if there are all four. Of channels beyond four nothing is set or
 * read. */
#include "model/nn/op.h"

#include <string.h>

enum { QUARTERS = 4 };

/* The sign of coefficient k in quarter q. */
static const float SIGN[QUARTERS][QUARTERS] = {
    {1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}};

static int64_t used(int64_t channels) { return channels < QUARTERS ? channels : QUARTERS; }

/* The quarter of pixel (y, x) of an image with these cells. */
static int quarter(int64_t y, int64_t x, int64_t factor) {
    return (int)(2 * (y % factor / (factor / 2)) + x % factor / (factor / 2));
}

/* Adds scale * the sums of the image [h, w] with the signs of each coefficient to out [h / factor,
 * w / factor, c], to the first `n` of its channels. */
static void analyse(const float *image, int64_t h, int64_t w, int64_t factor, float scale,
                    float *out, int64_t c, int64_t n) {
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            float *to = out + (y / factor * (w / factor) + x / factor) * c;
            const int q = quarter(y, x, factor);
            for (int64_t k = 0; k < n; k++) to[k] += scale * SIGN[k][q] * image[y * w + x];
        }
}

/* image = scale * the sum of the coefficients with their signs. */
static void synthesise(const float *in, int64_t c, int64_t n, int64_t h, int64_t w, int64_t factor,
                       float scale, float *image) {
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            const float *from = in + (y / factor * (w / factor) + x / factor) * c;
            const int q = quarter(y, x, factor);
            float sum = 0;
            for (int64_t k = 0; k < n; k++) sum += SIGN[k][q] * from[k];
            image[y * w + x] = scale * sum;
        }
}

static float share(int64_t factor) { return 1 / (float)(factor * factor); }

static status moments_forward(op_run *r) {
    const int64_t h = r->in[0].shape[1], w = r->in[0].shape[2], c = r->out.shape[3], z = c / 2;
    const int64_t factor = h / r->out.shape[1], n = tensor_sample(&r->out);
    const float *x = r->in[0].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        float *to = y + b * n;
        for (int64_t i = 0; i < n; i++) to[i] = i % c < z ? 0 : (float)HAAR_LOG_VARIANCE;
        analyse(x + b * h * w, h, w, factor, share(factor), to, c, used(z));
    }
    return ST_OK;
}

static status moments_backward(op_run *r) {
    const int64_t h = r->in[0].shape[1], w = r->in[0].shape[2], c = r->out.shape[3];
    const int64_t factor = h / r->out.shape[1], n = tensor_sample(&r->out);
    const float *dy = r->grad_out;
    float *dx = r->grad_in[0];
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++)
        synthesise(dy + b * n, c, used(c / 2), h, w, factor, share(factor), dx + b * h * w);
    return ST_OK;
}

static status inverse_forward(op_run *r) {
    const int64_t h = r->out.shape[1], w = r->out.shape[2], c = r->in[0].shape[3];
    const int64_t factor = h / r->in[0].shape[1], n = tensor_sample(&r->in[0]);
    const float *x = r->in[0].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++)
        synthesise(x + b * n, c, used(c), h, w, factor, 1, y + b * h * w);
    return ST_OK;
}

static status inverse_backward(op_run *r) {
    const int64_t h = r->out.shape[1], w = r->out.shape[2], c = r->in[0].shape[3];
    const int64_t factor = h / r->in[0].shape[1], n = tensor_sample(&r->in[0]);
    const float *dy = r->grad_out;
    float *dx = r->grad_in[0];
    memset(dx, 0, (size_t)(r->batch * n) * sizeof *dx);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++)
        analyse(dy + b * h * w, h, w, factor, 1, dx + b * n, c, used(c));
    return ST_OK;
}

static const op_kind moments_kind = {
    .name = "haar moments", .forward = moments_forward, .backward = moments_backward};

static const op_kind inverse_kind = {
    .name = "haar inverse", .forward = inverse_forward, .backward = inverse_backward};

node graph_haar_moments(graph *g, node x, int64_t factor, int64_t z) {
    const char *name = moments_kind.name;
    const graph_op *from = graph_value(g, x, name);
    if (!from) return NODE_NONE;
    if (factor < 2 || factor % 2 != 0 || z < 1 || from->shape[2] != 1 ||
        from->shape[0] % factor != 0 || from->shape[1] % factor != 0)
        return graph_fault(g, "%s: an image of one channel and whole cells is needed", name);
    graph_op op = {.kind = &moments_kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {from->shape[0] / factor, from->shape[1] / factor, 2 * z}};
    return graph_append(g, &op);
}

node graph_haar_inverse(graph *g, node z, int64_t factor) {
    const char *name = inverse_kind.name;
    const graph_op *from = graph_value(g, z, name);
    if (!from) return NODE_NONE;
    if (factor < 2 || factor % 2 != 0)
        return graph_fault(g, "%s: a cell has an even number of pixels along each side", name);
    graph_op op = {.kind = &inverse_kind,
                   .in = {z},
                   .inputs = 1,
                   .shape = {from->shape[0] * factor, from->shape[1] * factor, 1}};
    return graph_append(g, &op);
}
