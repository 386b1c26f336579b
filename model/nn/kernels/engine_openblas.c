/* The OpenBLAS engine: a convolution as a matrix product over gathered patches (im2col; Chellapilla
 * et al. 2006), in blocks of pixels that fit the cache.
 *
 * Forward multiplies patches of x by weights [k*k*in, out]. The data gradient gathers, for every
 * input pixel, the patch of output gradients that it contributed to, and multiplies by weights
 * [k*k*out, in]. Both distribute the blocks over the threads, one thread per product, with the same
 * blocks in every sample: the bits depend neither on the thread count nor on the position in the
 * batch. The weight gradient multiplies transposed patches of x by dy and adds up block after
 * block.
 */
#include "io/alloc.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/attention.h"
#include "model/nn/kernels/bias_gradient.h"
#include "model/nn/kernels/engines.h"
#include "model/nn/kernels/norm.h"

#include <cblas.h>
#include <inttypes.h>
#include <limits.h>
#include <omp.h>
#include <string.h>

enum { PATCH_FLOATS = 1 << 16 };

struct conv {
    conv_shape shape;
    int64_t y_height, y_width;
    float *weight;     /* [k*k*in, out] */
    float *transposed; /* [k*k*out, in], training */
    float *gradient;   /* [k*k*in, out], training */
    int threads;
    int64_t patch_floats; /* PATCH_FLOATS, or one row if that is more */
    float *patches;       /* [threads, patch_floats] */
};

static void blas_conv_close(conv *c) {
    if (!c) return;
    free(c->weight);
    free(c->transposed);
    free(c->gradient);
    free(c->patches);
    free(c);
}

static status blas_conv_open(const conv_shape *shape, bool training, conv **out) {
    status st;
    conv *c = NULL;
    int64_t taps = shape->kernel * shape->kernel, count = taps * shape->in * shape->out;
    *out = NULL;
    if (shape->x != TYPE_F32 || shape->y != TYPE_F32) {
        st = status_fail(ST_USAGE,
                         "OpenBLAS has no products of bf16 numbers; use engine: onednn, or "
                         "train.precision: f32");
        goto done;
    }
    if (taps * max_i64(shape->in, shape->out) > INT_MAX) {
        st = status_fail(ST_INTERNAL,
                         "OpenBLAS: a convolution of %" PRId64 " to %" PRId64
                         " channels does not fit its 32-bit sizes; use engine: onednn",
                         shape->in, shape->out);
        goto done;
    }
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    c->shape = *shape;
    c->y_height = (shape->height - 1) / shape->stride + 1;
    c->y_width = (shape->width - 1) / shape->stride + 1;
    TRY(array_alloc(&c->weight, count, sizeof(float), "convolution weights"));
    if (training) {
        TRY(array_alloc(&c->transposed, count, sizeof(float), "convolution weights"));
        TRY(array_alloc(&c->gradient, count, sizeof(float), "convolution weight gradient"));
    }
    c->threads = omp_get_max_threads();
    c->patch_floats = max_i64(PATCH_FLOATS, taps * max_i64(shape->in, shape->out));
    TRY(array_alloc(&c->patches, c->threads * c->patch_floats, sizeof(float), "image patches"));
    *out = c;
    c = NULL;
done:
    blas_conv_close(c);
    return st;
}

/* Bytes of packed weights and of scratch: a convolution allocates its own. */
static int64_t blas_conv_nothing(const conv *c) {
    (void)c;
    return 0;
}

static status blas_conv_pack(conv *c, const float *weight, void *packed, void *scratch) {
    (void)packed, (void)scratch;
    const conv_shape *s = &c->shape;
    int64_t taps = s->kernel * s->kernel;
#pragma omp parallel for schedule(static) if (s->in * s->out > 4096)
    for (int64_t o = 0; o < s->out; o++) {
        for (int64_t i = 0; i < s->in; i++) {
            for (int64_t t = 0; t < taps; t++) {
                float w = weight[(o * s->in + i) * taps + t];
                c->weight[(t * s->in + i) * s->out + o] = w;
                if (c->transposed) c->transposed[(t * s->out + o) * s->in + i] = w;
            }
        }
    }
    return ST_OK;
}

/* Gathers the patch [k, k, channels] of one pixel (row, column) of the result from one sample of
 * the other array. Forward, a tap reads pixel * stride + tap - padding of x. Backward, it reads the
 * pixel of dy whose window has the pixel of dx under that tap, if there is one. Taps without
 * such a pixel are 0. */
static void gather_row(const conv *c, bool forward, const float *from, int64_t row, int64_t column,
                       float *to) {
    const conv_shape *s = &c->shape;
    int64_t channels = forward ? s->in : s->out, pad = s->kernel / 2;
    int64_t height = forward ? s->height : c->y_height, width = forward ? s->width : c->y_width;
    for (int64_t t = 0; t < s->kernel * s->kernel; t++, to += channels) {
        int64_t dr = t / s->kernel - pad, dc = t % s->kernel - pad;
        int64_t r = forward ? row * s->stride + dr : row - dr;
        int64_t q = forward ? column * s->stride + dc : column - dc;
        bool inside = r >= 0 && q >= 0;
        if (!forward) {
            inside = inside && r % s->stride == 0 && q % s->stride == 0;
            r /= s->stride;
            q /= s->stride;
        }
        if (inside && r < height && q < width)
            memcpy(to, from + (r * width + q) * channels, (size_t)channels * sizeof(float));
        else
            memset(to, 0, (size_t)channels * sizeof(float));
    }
}

/* Returns patches [count, k*k*channels] of pixels [first, first + count) of one sample: gathered in
 * `to`, or for a 1x1 convolution with stride 1 the array itself. */
static const float *gather(const conv *c, bool forward, const float *from, int64_t first,
                           int64_t count, float *to) {
    const conv_shape *s = &c->shape;
    int64_t channels = forward ? s->in : s->out, width = forward ? c->y_width : s->width;
    if (s->kernel == 1 && s->stride == 1) return from + first * channels;
    int64_t row = s->kernel * s->kernel * channels;
    for (int64_t i = 0; i < count; i++)
        gather_row(c, forward, from, (first + i) / width, (first + i) % width, to + i * row);
    return to;
}

/* Runs on one thread when called from inside a parallel region. */
static void sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                  const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                  int64_t ldc) {
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha, a, (int)lda,
                b, (int)ldb, beta, c, (int)ldc);
}

/* Number of pixels whose patches of `row` floats fit a thread's buffer. */
static int64_t block_pixels(int64_t row) { return max_i64(1, PATCH_FLOATS / row); }

static status blas_conv_forward(conv *c, const void *px, const float *bias, void *py,
                                void *scratch) {
    const float *x = px;
    float *y = py;
    (void)scratch;
    const conv_shape *s = &c->shape;
    int64_t row = s->kernel * s->kernel * s->in, pixels = c->y_height * c->y_width;
    int64_t block = block_pixels(row);
#pragma omp parallel for collapse(2) schedule(static) num_threads(c->threads)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t p = 0; p < pixels; p += block) {
            int64_t count = min_i64(block, pixels - p);
            float *to = y + (b * pixels + p) * s->out;
            const float *patches = gather(c, true, x + b * s->height * s->width * s->in, p, count,
                                          c->patches + omp_get_thread_num() * c->patch_floats);
            for (int64_t i = 0; bias && i < count; i++)
                memcpy(to + i * s->out, bias, (size_t)s->out * sizeof(float));
            sgemm(false, false, count, s->out, row, 1, patches, row, c->weight, s->out,
                  bias != NULL, to, s->out);
        }
    }
    return ST_OK;
}

static status blas_conv_backward_data(conv *c, const void *pdy, void *pdx, void *scratch) {
    const float *dy = pdy;
    float *dx = pdx;
    (void)scratch;
    const conv_shape *s = &c->shape;
    int64_t row = s->kernel * s->kernel * s->out, pixels = s->height * s->width;
    int64_t block = block_pixels(row), sample = c->y_height * c->y_width * s->out;
#pragma omp parallel for collapse(2) schedule(static) num_threads(c->threads)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t p = 0; p < pixels; p += block) {
            int64_t count = min_i64(block, pixels - p);
            const float *patches = gather(c, false, dy + b * sample, p, count,
                                          c->patches + omp_get_thread_num() * c->patch_floats);
            sgemm(false, false, count, s->in, row, 1, patches, row, c->transposed, s->in, 0,
                  dx + (b * pixels + p) * s->in, s->in);
        }
    }
    return ST_OK;
}

static status blas_conv_backward_weights(conv *c, const void *px, const void *pdy, float *dw,
                                         float *db, void *scratch) {
    const float *x = px, *dy = pdy;
    (void)scratch;
    const conv_shape *s = &c->shape;
    int64_t taps = s->kernel * s->kernel, row = taps * s->in, pixels = c->y_height * c->y_width;
    int64_t share = block_pixels(row), block = c->threads * share;
    for (int64_t b = 0; b < s->batch; b++, x += s->height * s->width * s->in) {
        for (int64_t p = 0; p < pixels; p += block) {
            int64_t count = min_i64(block, pixels - p);
            const float *patches = gather(c, true, x, p, 0, c->patches);
#pragma omp parallel for schedule(static)
            for (int64_t i = 0; i < count; i += share)
                gather(c, true, x, p + i, min_i64(share, count - i), c->patches + i * row);
            sgemm(true, false, row, s->out, count, 1, patches, row, dy + (b * pixels + p) * s->out,
                  s->out, b + p > 0, c->gradient, s->out);
        }
    }
#pragma omp parallel for schedule(static) if (s->in * s->out > 4096)
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            for (int64_t t = 0; t < taps; t++)
                dw[(o * s->in + i) * taps + t] += c->gradient[(t * s->in + i) * s->out + o];
    if (db) bias_gradient_add(dy, s->batch * pixels, s->out, db);
    return ST_OK;
}

/* sgemm with a check that the sizes fit the int of cblas. */
static status multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                       float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                       float beta, float *c, int64_t ldc) {
    if (max_i64(max_i64(m, n), max_i64(k, max_i64(lda, max_i64(ldb, ldc)))) > INT_MAX)
        return status_fail(ST_INTERNAL,
                           "OpenBLAS: product of %" PRId64 "x%" PRId64 " and %" PRId64 "x%" PRId64
                           " matrices does not fit its 32-bit sizes; use engine: onednn",
                           m, k, k, n);
    sgemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    return ST_OK;
}

static status blas_matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                          const float *a, const float *b, float beta, float *c) {
    return multiply(transpose_a, transpose_b, m, n, k, 1, a, transpose_a ? m : k, b,
                    transpose_b ? k : n, beta, c, n);
}

static status blas_attention_forward(const attention_shape *s, const void *qkv, void *y,
                                     float *logsum, void *scratch) {
    return attention_fast_forward(multiply, s, qkv, y, logsum, scratch);
}

static status blas_attention_backward(const attention_shape *s, const void *qkv, const void *y,
                                      const float *logsum, const void *dy, void *dqkv,
                                      void *scratch) {
    return attention_fast_backward(multiply, s, qkv, y, logsum, dy, dqkv, scratch);
}

static status blas_cross_forward(const cross_shape *s, const void *q, const void *kv,
                                 const float *mask, void *y, float *logsum, void *scratch) {
    return cross_fast_forward(multiply, s, q, kv, mask, y, logsum, scratch);
}

static status blas_cross_backward(const cross_shape *s, const void *q, const void *kv,
                                  const float *mask, const void *y, const float *logsum,
                                  const void *dy, void *dq, void *dkv, void *scratch) {
    return cross_fast_backward(multiply, s, q, kv, mask, y, logsum, dy, dq, dkv, scratch);
}

const char *kernels_openblas_version(void) { return openblas_get_config(); }

const kernels kernels_openblas = {
    .name = "openblas",
    .conv_open = blas_conv_open,
    .conv_close = blas_conv_close,
    .conv_scratch = blas_conv_nothing,
    .conv_packed = blas_conv_nothing,
    .conv_pack = blas_conv_pack,
    .conv_forward = blas_conv_forward,
    .conv_backward_data = blas_conv_backward_data,
    .conv_backward_weights = blas_conv_backward_weights,
    .matmul = blas_matmul,
    .norm_scratch = norm_fast_scratch,
    .norm_forward = norm_fast_forward,
    .norm_backward = norm_fast_backward,
    .attention_scratch = attention_fast_scratch,
    .attention_forward = blas_attention_forward,
    .attention_backward = blas_attention_backward,
    .cross_scratch = cross_fast_scratch,
    .cross_forward = blas_cross_forward,
    .cross_backward = blas_cross_backward,
    .silu_forward = silu_fast_forward,
    .silu_backward = silu_fast_backward,
};
