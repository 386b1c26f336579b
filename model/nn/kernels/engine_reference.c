/* The reference engine: every kernel written as its formula, in plain loops with f64 sums. The fast
 * engines are tested against it, so it is meant to be obviously correct rather than fast. Tests
 * check its backward functions against finite differences of the forward ones.
 */
#include "io/alloc.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/attention.h"
#include "model/nn/kernels/engines.h"
#include "model/nn/kernels/norm.h"

#include <math.h>

struct conv {
    conv_shape shape;
    float *weight; /* [out, in, kernel, kernel], rounded if products are of bf16 numbers */
};

/* A factor of a product, an element of an activation or a weight: rounded if products are of bf16
 * numbers. */
static float factor(const conv_shape *s, float x) {
    return conv_of_bf16(s) ? bf16_to_f32(bf16_from_f32(x)) : x;
}

static void ref_conv_close(conv *c) {
    if (c) free(c->weight);
    free(c);
}

static int64_t weight_count(const conv_shape *s) { return s->out * s->in * s->kernel * s->kernel; }

static status ref_conv_open(const conv_shape *shape, bool training, conv **out) {
    status st;
    conv *c = NULL;
    (void)training;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    c->shape = *shape;
    TRY(array_alloc(&c->weight, weight_count(shape), sizeof(float), "convolution weights"));
    *out = c;
    c = NULL;
done:
    ref_conv_close(c);
    return st;
}

/* Bytes of packed weights and of scratch: a convolution allocates its own. */
static int64_t ref_conv_nothing(const conv *c) {
    (void)c;
    return 0;
}

static status ref_conv_pack(conv *c, const float *weight, void *packed, void *scratch) {
    (void)packed, (void)scratch;
    for (int64_t i = 0; i < weight_count(&c->shape); i++)
        c->weight[i] = factor(&c->shape, weight[i]);
    return ST_OK;
}

/* Visits every tap of a convolution that lies inside the image: y[yi, o] = sum of x[xi, i] w[wi]
 * over these. xi and yi are indices of pixels; wi is the index of w[o=0, i=0, row, column]. */
typedef void (*tap)(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context);

static void for_each_tap(const conv_shape *s, tap visit, void *context) {
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t i = 0; i < yh * yw * s->kernel * s->kernel; i++) {
            int64_t pixel = i / (s->kernel * s->kernel), wi = i % (s->kernel * s->kernel);
            int64_t row = pixel / yw * s->stride + wi / s->kernel - s->kernel / 2;
            int64_t column = pixel % yw * s->stride + wi % s->kernel - s->kernel / 2;
            if (row < 0 || row >= s->height || column < 0 || column >= s->width) continue;
            visit(s, (b * s->height + row) * s->width + column, b * yh * yw + pixel, wi, context);
        }
    }
}

typedef struct conv_sums {
    const void *x, *dy;
    const float *weight;
    double *sum;
} conv_sums;

static double x_at(const conv_shape *s, const conv_sums *k, int64_t i) {
    return factor(s, activation_read(s->x, k->x, i));
}

static double dy_at(const conv_shape *s, const conv_sums *k, int64_t i) {
    return factor(s, activation_read(s->y, k->dy, i));
}

static int64_t weight_at(const conv_shape *s, int64_t o, int64_t i, int64_t wi) {
    return (o * s->in + i) * s->kernel * s->kernel + wi;
}

static void forward_tap(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context) {
    conv_sums *k = context;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            k->sum[yi * s->out + o] +=
                x_at(s, k, xi * s->in + i) * k->weight[weight_at(s, o, i, wi)];
}

static void data_tap(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context) {
    conv_sums *k = context;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            k->sum[xi * s->in + i] +=
                dy_at(s, k, yi * s->out + o) * k->weight[weight_at(s, o, i, wi)];
}

static void weights_tap(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context) {
    conv_sums *k = context;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            k->sum[weight_at(s, o, i, wi)] +=
                dy_at(s, k, yi * s->out + o) * x_at(s, k, xi * s->in + i);
}

static int64_t output_pixels(const conv_shape *s) {
    return s->batch * ((s->height - 1) / s->stride + 1) * ((s->width - 1) / s->stride + 1);
}

static status ref_conv_forward(conv *c, const void *x, const float *bias, void *y, void *scratch) {
    status st;
    (void)scratch;
    const conv_shape *s = &c->shape;
    conv_sums k = {.x = x, .weight = c->weight};
    int64_t count = output_pixels(s) * s->out;
    TRY(array_alloc(&k.sum, count, sizeof(double), "convolution sums"));
    for_each_tap(s, forward_tap, &k);
    for (int64_t i = 0; i < count; i++)
        activation_write(s->y, y, i, (float)(k.sum[i] + (bias ? bias[i % s->out] : 0.0f)));
done:
    free(k.sum);
    return st;
}

static status ref_conv_backward_data(conv *c, const void *dy, void *dx, void *scratch) {
    status st;
    (void)scratch;
    const conv_shape *s = &c->shape;
    conv_sums k = {.dy = dy, .weight = c->weight};
    int64_t count = s->batch * s->height * s->width * s->in;
    TRY(array_alloc(&k.sum, count, sizeof(double), "convolution sums"));
    for_each_tap(s, data_tap, &k);
    for (int64_t i = 0; i < count; i++) activation_write(s->x, dx, i, (float)k.sum[i]);
done:
    free(k.sum);
    return st;
}

static status ref_conv_backward_weights(conv *c, const void *x, const void *dy, float *dw,
                                        float *db, void *scratch) {
    status st;
    (void)scratch;
    const conv_shape *s = &c->shape;
    conv_sums k = {.x = x, .dy = dy};
    TRY(array_alloc(&k.sum, weight_count(s), sizeof(double), "convolution sums"));
    for_each_tap(s, weights_tap, &k);
    for (int64_t i = 0; i < weight_count(s); i++) dw[i] += (float)k.sum[i];
    for (int64_t o = 0; db && o < s->out; o++) {
        double sum = 0;
        for (int64_t p = 0; p < output_pixels(s); p++) sum += dy_at(s, &k, p * s->out + o);
        db[o] += (float)sum;
    }
done:
    free(k.sum);
    return st;
}

static status ref_matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                         const float *a, const float *b, float beta, float *c) {
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += (double)(transpose_a ? a[l * m + i] : a[i * k + l]) *
                       (transpose_b ? b[j * k + l] : b[l * n + j]);
            /* beta 0 overwrites c even if it holds NaN, as in BLAS. */
            c[i * n + j] = (float)(sum + (beta != 0 ? (double)beta * c[i * n + j] : 0));
        }
    }
    return ST_OK;
}

const kernels kernels_reference = {
    .name = "reference",
    .conv_open = ref_conv_open,
    .conv_close = ref_conv_close,
    .conv_scratch = ref_conv_nothing,
    .conv_packed = ref_conv_nothing,
    .conv_pack = ref_conv_pack,
    .conv_forward = ref_conv_forward,
    .conv_backward_data = ref_conv_backward_data,
    .conv_backward_weights = ref_conv_backward_weights,
    .matmul = ref_matmul,
    .norm_scratch = norm_ref_scratch,
    .norm_forward = norm_ref_forward,
    .norm_backward = norm_ref_backward,
    .attention_scratch = attention_ref_scratch,
    .attention_forward = attention_ref_forward,
    .attention_backward = attention_ref_backward,
    .cross_scratch = cross_ref_scratch,
    .cross_forward = cross_ref_forward,
    .cross_backward = cross_ref_backward,
    .silu_forward = silu_ref_forward,
    .silu_backward = silu_ref_backward,
};
