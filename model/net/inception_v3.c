/* The layers of Inception v3, after figures 5 to 7 of Szegedy et al. 2016.
 *
 * A unit is a convolution without bias, batch norm and ReLU. Batch norm (Ioffe & Szegedy 2015) with
 * fixed moments is linear, so it becomes part of the convolution: with g = gain / sqrt(variance +
 * 0.001) the weights are multiplied by g, and the bias is shift - mean * g. The three colours of
 * the input are equal, so the first convolution adds up their weights and has one input channel.
 */
#include "model/net/inception_v3.h"
#include "io/alloc.h"
#include "model/net/frozen.h"
#include "model/nn/int_math.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 299, COLOURS = 3, NAME = 64, PARAMETER = NAME + 24 };

/* Blocks read one of X0 and X1 and write the other; T0 and T1 hold values inside a block. */
enum { X0, X1, T0, T1 };

struct inception_v3 {
    frozen *net;
    int64_t batch;
    frozen_value last;
};

/* The first failure is kept, and no layer is added after it. */
typedef struct builder {
    frozen *net;
    const inception_v3_source *source;
    status st;
} builder;

/* ---- parameters ---- */

/* The parameter name.part, with finite values, in memory that the caller frees. */
static status parameter(const builder *b, const char *name, const char *part, int rank,
                        const int64_t *shape, float **out) {
    status st = ST_OK;
    char full[PARAMETER];
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= shape[i];
    snprintf(full, sizeof full, "%s.%s", name, part);
    TRY(array_alloc(out, count, sizeof(float), full));
    TRY(b->source->read(b->source->context, full, rank, shape, *out));
    for (int64_t i = 0; i < count; i++)
        if (!isfinite((*out)[i]))
            TRY(status_fail(ST_INPUT, "Inception v3: value %" PRId64 " of %s is not finite", i,
                            full));
done:
    return st;
}

/* The convolution and the norm of a unit as the weights [out, in, taps] and the bias [out] of one
 * convolution. */
static status folded(const builder *b, const char *name, const int64_t shape[4], float **weight,
                     float **bias) {
    status st = ST_OK;
    const int64_t out = shape[0], fan = shape[1] * shape[2] * shape[3];
    float *gain = NULL, *mean = NULL, *variance = NULL;
    TRY(parameter(b, name, "conv.weight", 4, shape, weight));
    TRY(parameter(b, name, "bn.weight", 1, shape, &gain));
    TRY(parameter(b, name, "bn.bias", 1, shape, bias));
    TRY(parameter(b, name, "bn.running_mean", 1, shape, &mean));
    TRY(parameter(b, name, "bn.running_var", 1, shape, &variance));
    for (int64_t o = 0; o < out; o++) {
        if (variance[o] < 0)
            TRY(status_fail(ST_INPUT, "Inception v3: variance %" PRId64 " of %s.bn is negative", o,
                            name));
        const double g = (double)gain[o] / sqrt((double)variance[o] + 0.001);
        for (int64_t i = 0; i < fan; i++)
            (*weight)[o * fan + i] = (float)((double)(*weight)[o * fan + i] * g);
        (*bias)[o] = (float)((double)(*bias)[o] - (double)mean[o] * g);
    }
done:
    free(gain);
    free(mean);
    free(variance);
    return st;
}

/* ---- layers ---- */

/* `out` channels from the whole value of x to a place. */
static frozen_value unit(builder *b, const char *block, const char *layer, frozen_value x,
                         frozen_conv conv, frozen_place to) {
    char name[NAME];
    float *weight = NULL, *bias = NULL;
    const bool grey = x.channels == 1;
    const int64_t in = grey ? COLOURS : x.channels, taps = conv.kernel_height * conv.kernel_width;
    const int64_t shape[4] = {conv.out, in, conv.kernel_height, conv.kernel_width};
    status st = b->st;
    if (st != ST_OK) goto done;
    snprintf(name, sizeof name, "%s%s%s", block, layer[0] ? "." : "", layer);
    TRY(folded(b, name, shape, &weight, &bias));
    for (int64_t i = 0; grey && i < conv.out * taps; i++) {
        const float *colours = weight + i / taps * in * taps + i % taps;
        weight[i] = colours[0] + colours[taps] + colours[2 * taps];
    }
    TRY(frozen_add_conv(b->net, x, &conv, weight, bias, to, &x));
done:
    free(weight);
    free(bias);
    b->st = st;
    return x;
}

static frozen_value pool(builder *b, frozen_value x, frozen_pool kind, frozen_place to) {
    if (b->st == ST_OK) b->st = frozen_add_pool(b->net, x, kind, to, &x);
    return x;
}

/* A convolution that keeps the size, and one that roughly halves it. */
static frozen_conv same(int64_t out, int64_t height, int64_t width) {
    return (frozen_conv){out, height, width, 1, true};
}
static frozen_conv half(int64_t out) { return (frozen_conv){out, 3, 3, 2, false}; }

/* A whole value of a slot. */
static frozen_place all(int slot) { return (frozen_place){.slot = slot}; }

static int other(frozen_value x) { return x.slot == X0 ? X1 : X0; }

static frozen_value stem(builder *b, frozen_value x) {
    x = unit(b, "Conv2d_1a_3x3", "", x, half(32), all(X1));
    x = unit(b, "Conv2d_2a_3x3", "", x, (frozen_conv){32, 3, 3, 1, false}, all(X0));
    x = unit(b, "Conv2d_2b_3x3", "", x, same(64, 3, 3), all(X1));
    x = pool(b, x, POOL_MAX_HALF, all(X0));
    x = unit(b, "Conv2d_3b_1x1", "", x, same(80, 1, 1), all(X1));
    x = unit(b, "Conv2d_4a_3x3", "", x, (frozen_conv){192, 3, 3, 1, false}, all(X0));
    return pool(b, x, POOL_MAX_HALF, all(X1));
}

/* 35x35 pixels: branches of 1x1, 5x5, twice 3x3, and a pool. */
static frozen_value block_35(builder *b, const char *name, frozen_value x, int64_t pooled) {
    const int64_t sum = 64 + 64 + 96 + pooled;
    const int to = other(x);
    unit(b, name, "branch1x1", x, same(64, 1, 1), (frozen_place){to, 0, sum});
    frozen_value h = unit(b, name, "branch5x5_1", x, same(48, 1, 1), all(T0));
    unit(b, name, "branch5x5_2", h, same(64, 5, 5), (frozen_place){to, 64, sum});
    h = unit(b, name, "branch3x3dbl_1", x, same(64, 1, 1), all(T0));
    h = unit(b, name, "branch3x3dbl_2", h, same(96, 3, 3), all(T1));
    unit(b, name, "branch3x3dbl_3", h, same(96, 3, 3), (frozen_place){to, 128, sum});
    h = pool(b, x, POOL_MEAN, all(T0));
    return unit(b, name, "branch_pool", h, same(pooled, 1, 1), (frozen_place){to, 224, sum});
}

/* From 35x35 to 17x17 pixels. */
static frozen_value block_35_to_17(builder *b, const char *name, frozen_value x) {
    const int64_t sum = 384 + 96 + x.channels;
    const int to = other(x);
    unit(b, name, "branch3x3", x, half(384), (frozen_place){to, 0, sum});
    frozen_value h = unit(b, name, "branch3x3dbl_1", x, same(64, 1, 1), all(T0));
    h = unit(b, name, "branch3x3dbl_2", h, same(96, 3, 3), all(T1));
    unit(b, name, "branch3x3dbl_3", h, half(96), (frozen_place){to, 384, sum});
    return pool(b, x, POOL_MAX_HALF, (frozen_place){to, 480, sum});
}

/* 17x17 pixels: a 7x7 convolution is one of 1x7 and one of 7x1; c: channels inside. */
static frozen_value block_17(builder *b, const char *name, frozen_value x, int64_t c) {
    const int64_t sum = 4 * 192;
    const int to = other(x);
    unit(b, name, "branch1x1", x, same(192, 1, 1), (frozen_place){to, 0, sum});
    frozen_value h = unit(b, name, "branch7x7_1", x, same(c, 1, 1), all(T0));
    h = unit(b, name, "branch7x7_2", h, same(c, 1, 7), all(T1));
    unit(b, name, "branch7x7_3", h, same(192, 7, 1), (frozen_place){to, 192, sum});
    h = unit(b, name, "branch7x7dbl_1", x, same(c, 1, 1), all(T0));
    h = unit(b, name, "branch7x7dbl_2", h, same(c, 7, 1), all(T1));
    h = unit(b, name, "branch7x7dbl_3", h, same(c, 1, 7), all(T0));
    h = unit(b, name, "branch7x7dbl_4", h, same(c, 7, 1), all(T1));
    unit(b, name, "branch7x7dbl_5", h, same(192, 1, 7), (frozen_place){to, 384, sum});
    h = pool(b, x, POOL_MEAN, all(T0));
    return unit(b, name, "branch_pool", h, same(192, 1, 1), (frozen_place){to, 576, sum});
}

/* From 17x17 to 8x8 pixels. */
static frozen_value block_17_to_8(builder *b, const char *name, frozen_value x) {
    const int64_t sum = 320 + 192 + x.channels;
    const int to = other(x);
    frozen_value h = unit(b, name, "branch3x3_1", x, same(192, 1, 1), all(T0));
    unit(b, name, "branch3x3_2", h, half(320), (frozen_place){to, 0, sum});
    h = unit(b, name, "branch7x7x3_1", x, same(192, 1, 1), all(T0));
    h = unit(b, name, "branch7x7x3_2", h, same(192, 1, 7), all(T1));
    h = unit(b, name, "branch7x7x3_3", h, same(192, 7, 1), all(T0));
    unit(b, name, "branch7x7x3_4", h, half(192), (frozen_place){to, 320, sum});
    return pool(b, x, POOL_MAX_HALF, (frozen_place){to, 512, sum});
}

/* 8x8 pixels: the 1x3 and the 3x1 convolution both read the same value. */
static frozen_value block_8(builder *b, const char *name, frozen_value x, frozen_pool kind) {
    const int64_t sum = INCEPTION_V3_FEATURES;
    const int to = other(x);
    unit(b, name, "branch1x1", x, same(320, 1, 1), (frozen_place){to, 0, sum});
    frozen_value h = unit(b, name, "branch3x3_1", x, same(384, 1, 1), all(T0));
    unit(b, name, "branch3x3_2a", h, same(384, 1, 3), (frozen_place){to, 320, sum});
    unit(b, name, "branch3x3_2b", h, same(384, 3, 1), (frozen_place){to, 704, sum});
    h = unit(b, name, "branch3x3dbl_1", x, same(448, 1, 1), all(T0));
    h = unit(b, name, "branch3x3dbl_2", h, same(384, 3, 3), all(T1));
    unit(b, name, "branch3x3dbl_3a", h, same(384, 1, 3), (frozen_place){to, 1088, sum});
    unit(b, name, "branch3x3dbl_3b", h, same(384, 3, 1), (frozen_place){to, 1472, sum});
    h = pool(b, x, kind, all(T0));
    return unit(b, name, "branch_pool", h, same(192, 1, 1), (frozen_place){to, 1856, sum});
}

static status build(inception_v3 *n, const inception_v3_source *source) {
    frozen_value x = {0};
    builder b = {n->net, source, frozen_add_input(n->net, X0, SIDE, SIDE, 1, &x)};
    x = stem(&b, x);
    x = block_35(&b, "Mixed_5b", x, 32);
    x = block_35(&b, "Mixed_5c", x, 64);
    x = block_35(&b, "Mixed_5d", x, 64);
    x = block_35_to_17(&b, "Mixed_6a", x);
    x = block_17(&b, "Mixed_6b", x, 128);
    x = block_17(&b, "Mixed_6c", x, 160);
    x = block_17(&b, "Mixed_6d", x, 160);
    x = block_17(&b, "Mixed_6e", x, 192);
    x = block_17_to_8(&b, "Mixed_7a", x);
    x = block_8(&b, "Mixed_7b", x, POOL_MEAN);
    n->last = block_8(&b, "Mixed_7c", x, POOL_MAX);
    return b.st == ST_OK ? frozen_ready(n->net) : b.st;
}

status inception_v3_create(const inception_v3_source *source, int64_t batch, inception_v3 **out) {
    status st = ST_OK;
    inception_v3 *n = NULL;
    *out = NULL;
    if (batch < 1 || batch > INCEPTION_V3_BATCH_MAX)
        TRY(status_fail(ST_USAGE, "Inception v3: a batch of %" PRId64 " images; it must be 1 to %d",
                        batch, INCEPTION_V3_BATCH_MAX));
    TRY(array_alloc(&n, 1, sizeof *n, "Inception v3"));
    n->batch = batch;
    TRY(frozen_create(batch, &n->net));
    TRY(build(n, source));
    *out = n;
    n = NULL;
done:
    inception_v3_destroy(n);
    return st;
}

void inception_v3_destroy(inception_v3 *n) {
    if (!n) return;
    frozen_destroy(n->net);
    free(n);
}

/* ---- images and features ---- */

/* The two pixels on both sides of a point, of `size` pixels, and the share of the second. The
 * centre of output pixel i is at (i + 1/2) * size / SIDE; beyond the centres of the first and the
 * last pixel their values continue. */
typedef struct tap {
    int64_t low, high;
    float share;
} tap;

static void set_taps(tap taps[SIDE], int64_t size) {
    for (int64_t i = 0; i < SIDE; i++) {
        const double at = fmax(((double)i + 0.5) * (double)size / SIDE - 0.5, 0);
        const int64_t low = min_i64((int64_t)at, size - 1);
        taps[i] = (tap){low, min_i64(low + 1, size - 1), (float)(at - (double)low)};
    }
}

static float between(float a, float b, float share) { return (1 - share) * a + share * b; }

static void resize(const float *image, int64_t size, const tap taps[SIDE], float *to) {
    for (int64_t r = 0; r < SIDE; r++) {
        const tap *y = &taps[r];
        const float *upper = image + y->low * size, *lower = image + y->high * size;
        for (int64_t c = 0; c < SIDE; c++) {
            const tap *x = &taps[c];
            to[r * SIDE + c] = between(between(upper[x->low], upper[x->high], x->share),
                                       between(lower[x->low], lower[x->high], x->share), y->share);
        }
    }
}

/* ST_INPUT if not all pixels are finite. */
static status check_images(const float *images, int64_t count, int64_t size) {
    if (size < 1 || size > INCEPTION_V3_SIZE_MAX)
        return status_fail(ST_INPUT,
                           "Inception v3: images of %" PRId64 "x%" PRId64
                           " pixels; the side must be 1 to %d",
                           size, size, INCEPTION_V3_SIZE_MAX);
    for (int64_t k = 0; k < count; k++)
        for (int64_t i = 0; i < size * size; i++)
            if (!isfinite(images[k * size * size + i]))
                return status_fail(ST_INPUT,
                                   "Inception v3: image %" PRId64 " of %" PRId64 ": pixel (%" PRId64
                                   ", %" PRId64 ") is not finite",
                                   k, count, i / size, i % size);
    return ST_OK;
}

/* Means over the pixels. */
static void mean_features(const float *value, const frozen_value *v, float *features) {
    const int64_t pixels = v->height * v->width;
    for (int64_t c = 0; c < v->channels; c++) {
        double sum = 0;
        for (int64_t p = 0; p < pixels; p++) sum += (double)value[p * v->channels + c];
        features[c] = (float)(sum / (double)pixels);
    }
}

status inception_v3_features(inception_v3 *n, const float *images, int64_t count, int64_t size,
                             float *features) {
    status st = ST_OK;
    tap taps[SIDE];
    TRY(check_images(images, count, size));
    set_taps(taps, size);
    const int64_t floats = n->last.height * n->last.width * n->last.channels;
    for (int64_t from = 0; from < count; from += n->batch) {
        const int64_t here = min_i64(n->batch, count - from);
#pragma omp parallel for schedule(static)
        for (int64_t k = 0; k < here; k++)
            resize(images + (from + k) * size * size, size, taps,
                   frozen_slot(n->net, X0) + k * SIDE * SIDE);
        frozen_forward(n->net, here);
#pragma omp parallel for schedule(static)
        for (int64_t k = 0; k < here; k++)
            mean_features(frozen_slot(n->net, n->last.slot) + k * floats, &n->last,
                          features + (from + k) * INCEPTION_V3_FEATURES);
    }
done:
    return st;
}
