/* A convolution is a matrix product over gathered patches (im2col; Chellapilla et al. 2006):
 * patches [pixels, kernel_height * kernel_width * in] times weights [.., out]. It runs in blocks of
 * pixels, one thread per block, with the same blocks in every sample. */
#include "model/net/frozen.h"
#include "io/alloc.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/cloned.h"

#include <cblas.h>
#include <inttypes.h>
#include <limits.h>
#include <omp.h>
#include <string.h>

/* A block is as many pixels as fit PATCH_FLOATS, but at least BLOCK_MIN: the product copies all
 * weights for each block. Pools divide a sample into rows. */
enum { LAYERS_MAX = 256, PATCH_FLOATS = 1 << 16, BLOCK_MIN = 128, WINDOW = 3 };

typedef enum layer_kind { LAYER_CONV, LAYER_MEAN, LAYER_MAX } layer_kind;

typedef struct layer {
    layer_kind kind;
    frozen_value x, y;
    int64_t first, channels; /* the channels of y that are written */
    int64_t kernel_height, kernel_width, stride, pad_height, pad_width;
    int64_t block; /* pixels of y */
    float *weight; /* [kernel_height * kernel_width * x.channels, channels] */
    float *bias;   /* [channels] */
} layer;

struct frozen {
    int64_t batch;
    int threads;
    layer layers[LAYERS_MAX];
    int count;
    int64_t slot_floats[FROZEN_SLOTS]; /* of a sample: the largest value of the slot */
    float *slots[FROZEN_SLOTS];
    int64_t patch_floats; /* of a thread */
    float *patches;       /* [threads, patch_floats] */
};

status frozen_create(int64_t batch, frozen **out) {
    status st = ST_OK;
    frozen *f = NULL;
    *out = NULL;
    TRY(array_alloc(&f, 1, sizeof *f, "a frozen network"));
    f->batch = batch;
    f->threads = omp_get_max_threads();
    *out = f;
done:
    return st;
}

void frozen_destroy(frozen *f) {
    if (!f) return;
    for (int i = 0; i < f->count; i++) {
        free(f->layers[i].weight);
        free(f->layers[i].bias);
    }
    for (int i = 0; i < FROZEN_SLOTS; i++) free(f->slots[i]);
    free(f->patches);
    free(f);
}

float *frozen_slot(const frozen *f, int slot) { return f->slots[slot]; }

/* The floats of a sample of v. */
static int64_t floats_of(const frozen_value *v) { return v->height * v->width * v->channels; }

static void reserve(frozen *f, const frozen_value *v) {
    f->slot_floats[v->slot] = max_i64(f->slot_floats[v->slot], floats_of(v));
}

/* Sides and channels for which no product of sizes below overflows, and which BLAS can address. */
static status check_value(int64_t height, int64_t width, int64_t channels) {
    enum { SIDE_MAX = 1 << 14, CHANNELS_MAX = 1 << 16 };
    if (height >= 1 && width >= 1 && channels >= 1 && height <= SIDE_MAX && width <= SIDE_MAX &&
        channels <= CHANNELS_MAX)
        return ST_OK;
    return status_fail(ST_INTERNAL,
                       "frozen network: a value of %" PRId64 "x%" PRId64 " with %" PRId64
                       " channels cannot be computed",
                       height, width, channels);
}

status frozen_add_input(frozen *f, int slot, int64_t height, int64_t width, int64_t channels,
                        frozen_value *out) {
    status st = ST_OK;
    TRY(check_value(height, width, channels));
    *out = (frozen_value){slot, height, width, channels};
    reserve(f, out);
done:
    return st;
}

/* Pixels of an output side; 0 if the kernel is larger than the input. */
static int64_t side_of(int64_t side, int64_t kernel, int64_t pad, int64_t stride) {
    const int64_t places = side + 2 * pad - kernel;
    return places < 0 ? 0 : places / stride + 1;
}

/* Appends *l, of which kind, x, channels, kernel, stride and padding are set; the memory that it
 * owns then belongs to f. */
static status append(frozen *f, layer *l, frozen_place to, frozen_value *out) {
    status st = ST_OK;
    if (f->count == LAYERS_MAX)
        TRY(status_fail(ST_INTERNAL, "frozen network: more than %d layers", LAYERS_MAX));
    l->first = to.first;
    l->y = (frozen_value){to.slot, side_of(l->x.height, l->kernel_height, l->pad_height, l->stride),
                          side_of(l->x.width, l->kernel_width, l->pad_width, l->stride),
                          to.channels > 0 ? to.channels : l->channels};
    TRY(check_value(l->y.height, l->y.width, l->y.channels));
    if (to.first < 0 || to.first + l->channels > l->y.channels || to.slot == l->x.slot)
        TRY(status_fail(ST_INTERNAL,
                        "frozen network: layer %d writes channels %" PRId64 " to %" PRId64
                        " of %" PRId64 ", from slot %d to %d",
                        f->count, to.first, to.first + l->channels, l->y.channels, l->x.slot,
                        to.slot));
    reserve(f, &l->y);
    f->layers[f->count++] = *l;
    *out = l->y;
done:
    return st;
}

status frozen_add_conv(frozen *f, frozen_value x, const frozen_conv *conv, const float *weight,
                       const float *bias, frozen_place to, frozen_value *out) {
    status st = ST_OK;
    const int64_t taps = conv->kernel_height * conv->kernel_width, row = taps * x.channels;
    layer l = {.kind = LAYER_CONV,
               .x = x,
               .channels = conv->out,
               .kernel_height = conv->kernel_height,
               .kernel_width = conv->kernel_width,
               .stride = conv->stride,
               .pad_height = conv->padded ? (conv->kernel_height - 1) / 2 : 0,
               .pad_width = conv->padded ? (conv->kernel_width - 1) / 2 : 0,
               .block = max_i64(BLOCK_MIN, PATCH_FLOATS / row)};
    TRY(array_alloc(&l.weight, row * conv->out, sizeof(float), "convolution weights"));
    TRY(array_alloc(&l.bias, conv->out, sizeof(float), "convolution biases"));
    memcpy(l.bias, bias, (size_t)conv->out * sizeof(float));
    for (int64_t o = 0; o < conv->out; o++)
        for (int64_t i = 0; i < x.channels; i++)
            for (int64_t t = 0; t < taps; t++)
                l.weight[(t * x.channels + i) * conv->out + o] =
                    weight[(o * x.channels + i) * taps + t];
    TRY(append(f, &l, to, out));
    l.weight = l.bias = NULL;
    f->patch_floats = max_i64(f->patch_floats, round_up(l.block * row, CACHE_LINE));
done:
    free(l.weight);
    free(l.bias);
    return st;
}

status frozen_add_pool(frozen *f, frozen_value x, frozen_pool pool, frozen_place to,
                       frozen_value *out) {
    const int64_t pad = pool == POOL_MAX_HALF ? 0 : 1;
    layer l = {.kind = pool == POOL_MEAN ? LAYER_MEAN : LAYER_MAX,
               .x = x,
               .channels = x.channels,
               .kernel_height = WINDOW,
               .kernel_width = WINDOW,
               .stride = pool == POOL_MAX_HALF ? 2 : 1,
               .pad_height = pad,
               .pad_width = pad};
    status st = append(f, &l, to, out);
    if (st == ST_OK) f->layers[f->count - 1].block = l.y.width;
    return st;
}

status frozen_ready(frozen *f) {
    status st = ST_OK;
    int64_t bytes = 0;
    for (int i = 0; i < FROZEN_SLOTS; i++) {
        if (!size_mul(f->batch, f->slot_floats[i] * (int64_t)sizeof(float), &bytes))
            TRY(status_memory("activations", INT64_MAX));
        TRY(pages_alloc(&f->slots[i], bytes, "activations"));
    }
    TRY(pages_alloc(&f->patches, f->threads * f->patch_floats * (int64_t)sizeof(float),
                    "image patches"));
done:
    return st;
}

/* The patch [kernel_height, kernel_width, channels] of one pixel of y, from one sample of x; zeros
 * outside x. Without padding, a row of the kernel is one piece of a row of x. */
static void gather_patch(const layer *l, const float *x, int64_t pixel, float *to) {
    const int64_t channels = l->x.channels, height = l->x.height, width = l->x.width;
    const int64_t top = pixel / l->y.width * l->stride - l->pad_height;
    const int64_t left = pixel % l->y.width * l->stride - l->pad_width;
    const int64_t from = max_i64(left, 0), end = min_i64(left + l->kernel_width, width);
    const size_t before = (size_t)((from - left) * channels) * sizeof(float);
    const size_t inside = (size_t)((end - from) * channels) * sizeof(float);
    const size_t row = (size_t)(l->kernel_width * channels) * sizeof(float);
    for (int64_t dr = 0; dr < l->kernel_height; dr++, to += l->kernel_width * channels) {
        const int64_t r = top + dr;
        if (r < 0 || r >= height) {
            memset(to, 0, row);
            continue;
        }
        memset(to, 0, before);
        memcpy((char *)to + before, x + (r * width + from) * channels, inside);
        memset((char *)to + before + inside, 0, row - before - inside);
    }
}

/* Keeps NaN. */
CLONED(void, add_and_clip, (float *y, const float *bias, int64_t n), (y, bias, n)) {
    for (int64_t i = 0; i < n; i++) {
        const float sum = y[i] + bias[i];
        y[i] = sum < 0 ? 0 : sum;
    }
}

/* Pixels [first, first + count) of one sample. */
static void convolve(const layer *l, const float *x, float *y, int64_t first, int64_t count,
                     float *patches) {
    const int64_t row = l->kernel_height * l->kernel_width * l->x.channels;
    const int64_t step = l->y.channels;
    y += first * step + l->first;
    if (row == l->x.channels && l->stride == 1) {
        patches = (float *)x + first * row; /* only read */
    } else {
        for (int64_t i = 0; i < count; i++) gather_patch(l, x, first + i, patches + i * row);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)l->channels, (int)row,
                1, patches, (int)row, l->weight, (int)l->channels, 0, y, (int)step);
    for (int64_t i = 0; i < count; i++) add_and_clip(y + i * step, l->bias, l->channels);
}

CLONED(void, add_pixel, (float *to, const float *from, int64_t n), (to, from, n)) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

CLONED(void, divide, (float *to, float by, int64_t n), (to, by, n)) {
    for (int64_t i = 0; i < n; i++) to[i] /= by;
}

CLONED(void, larger_of, (float *to, const float *from, int64_t n), (to, from, n)) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i] > to[i] ? from[i] : to[i];
}

static void pool_pixel(const layer *l, const float *x, int64_t pixel, float *to) {
    const int64_t channels = l->channels, width = l->x.width;
    const int64_t top = pixel / l->y.width * l->stride - l->pad_height;
    const int64_t left = pixel % l->y.width * l->stride - l->pad_width;
    const int64_t bottom = min_i64(top + WINDOW, l->x.height),
                  right = min_i64(left + WINDOW, width);
    int64_t seen = 0;
    for (int64_t r = max_i64(top, 0); r < bottom; r++) {
        for (int64_t c = max_i64(left, 0); c < right; c++) {
            const float *from = x + (r * width + c) * channels;
            if (seen++ == 0)
                memcpy(to, from, (size_t)channels * sizeof(float));
            else if (l->kind == LAYER_MEAN)
                add_pixel(to, from, channels);
            else
                larger_of(to, from, channels);
        }
    }
    if (l->kind == LAYER_MEAN) divide(to, (float)seen, channels);
}

static void run(const frozen *f, const layer *l, int64_t count) {
    const int64_t pixels = l->y.height * l->y.width;
#pragma omp parallel for collapse(2) schedule(static) num_threads(f->threads)
    for (int64_t b = 0; b < count; b++) {
        for (int64_t p = 0; p < pixels; p += l->block) {
            const float *x = f->slots[l->x.slot] + b * floats_of(&l->x);
            float *y = f->slots[l->y.slot] + b * floats_of(&l->y);
            const int64_t n = min_i64(l->block, pixels - p);
            if (l->kind == LAYER_CONV)
                convolve(l, x, y, p, n, f->patches + omp_get_thread_num() * f->patch_floats);
            for (int64_t i = p; l->kind != LAYER_CONV && i < p + n; i++)
                pool_pixel(l, x, i, y + i * l->y.channels + l->first);
        }
    }
}

void frozen_forward(frozen *f, int64_t count) {
    for (int i = 0; i < f->count; i++) run(f, &f->layers[i], count);
}
