/* 3x3 convolutions with stride 1 by Winograd's minimal filtering algorithm F(2x2, 3x3) (Lavin &
 * Gray 2016, section 4.1): forward, backward by data, and weight gradients. The arithmetic of a
 * tile and the notation are in winograd_kernels.h; this file does the blocking and the threading.
 *
 * Forward, tiles are processed in groups. A group is transformed to its 16 positions, which are
 * then multiplied by the weights of one panel of output channels at a time. The products of a panel
 * are transformed to output pixels at once, while they are still in the second-level cache.
 * Backward by data is forward with the flipped kernel. Groups are distributed over the threads
 * dynamically, because cores are not equally fast. A group writes its own pixels only, so results
 * do not depend on the distribution.
 *
 * The weight gradient processes chunks of tiles, each of which updates a sum for every position and
 * pair of channels. If memory permits (PARTS_FLOATS), each thread has a contiguous part of the
 * tiles with sums of its own, and the sums are added in the order of the parts at the end.
 * Otherwise all threads transform a chunk together and then update disjoint ranges of the sums. The
 * order of every sum depends on the shape and the number of threads alone.
 *
 * engine_onednn.c decides which convolutions run here, variants.c which kernels they use. bf16
 * activations are multiplied in f32 after the transform: rounding transformed values to bf16 is 2.5
 * times as noisy as rounding the weights, and harms training (see tests/bench/README.md).
 */
#include "model/nn/kernels/conv_algorithms.h"

#include "model/nn/int_math.h"
#include "model/nn/kernels/variants.h"
#include "model/nn/kernels/winograd_kernels.h"

#include <omp.h>
#include <string.h>
#include <unistd.h>

enum {
    GROUP_MIN = 65536,      /* floats of a group's transformed input, about */
    GROUP_MAX = 262144,     /* likewise */
    TILES_MAX = 64,         /* of a group */
    CHUNK = 128,            /* tiles that the weight gradient processes at once */
    PARTS_FLOATS = 1 << 22, /* max. size of the sums of all parts of the weight gradient */
    TASK_TILES = 8,         /* tiles that a thread transforms in one task */
    TASK_ROWS = 8,          /* micro-kernels, one below the other, of one task */
    LINE_FLOATS = CACHE_LINE / (int)sizeof(float)
};

/* The variant for this processor; NULL: none. */
static const winograd_kernels *kernels_here(void) { return kernel_best(KERNEL_WINOGRAD); }

static bool supports(const conv_shape *s) {
    return s->kernel == 3 && s->stride == 1 && s->batch > 0 && s->height > 0 && s->width > 0 &&
           s->in > 0 && s->in % 8 == 0 && s->out > 0 && s->out % 8 == 0 && kernels_here();
}

/* The activations on one side of a convolution: how they are read, and their channels. */
typedef struct side {
    winograd_type read;
    int64_t channels;
} side;

static side side_of(const conv_shape *s, tensor_type type, int64_t channels) {
    return (side){{type, conv_of_bf16(s)}, channels};
}

/* ---- tiles ---- */

typedef struct tiling {
    int64_t height, width;    /* of the activations, in pixels */
    int64_t across;           /* tiles in a row */
    int64_t of_sample, count; /* tiles of a sample, of the batch */
} tiling;

static tiling tiling_of(const conv_shape *s) {
    tiling t = {.height = s->height, .width = s->width, .across = (s->width + 1) / 2};
    t.of_sample = (s->height + 1) / 2 * t.across;
    t.count = s->batch * t.of_sample;
    return t;
}

/* pixel = pointers to size x size pixels of x, the first of them the first output pixel of the tile
 * moved by `from` in both directions; `outside` for pixels outside x. If x is const, the caller
 * must not write through the pointers. */
static void tile_pixels(const tiling *t, int64_t tile, int64_t from, int size, const side *of,
                        const void *x, void *outside, void *pixel[]) {
    const int64_t unit = of->channels * tensor_element_bytes(of->read.type);
    const int64_t within = tile % t->of_sample, sample = tile / t->of_sample;
    const int64_t y0 = within / t->across * 2 + from, x0 = within % t->across * 2 + from;
    char *base = (char *)x + sample * t->height * t->width * unit;
    for (int64_t y = y0; y < y0 + size; y++)
        for (int64_t u = x0; u < x0 + size; u++) {
            bool inside = y >= 0 && y < t->height && u >= 0 && u < t->width;
            *pixel++ = inside ? base + (y * t->width + u) * unit : outside;
        }
}

/* ---- weights: [panel of outputs][position][input][output] ---- */

static int64_t packed_floats(const winograd_kernels *wk, int64_t in, int64_t out) {
    return round_up(out, wk->panel) * WINOGRAD_POSITIONS * in;
}

static int64_t packed_bytes(const conv_shape *s) {
    return packed_floats(kernels_here(), s->in, s->out) * (int64_t)sizeof(float);
}

static void pack(const conv_shape *s, const float *weight, void *packed) {
    const winograd_kernels *wk = kernels_here();
    const int64_t row = s->in * WINOGRAD_TAPS, position = wk->panel * s->in;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += wk->panel)
        for (int64_t k = 0; k < s->in; k += wk->block)
            wk->weights(conv_of_bf16(s), weight + o * row + k * WINOGRAD_TAPS, row,
                        min_i64(wk->block, s->in - k), min_i64(wk->panel, s->out - o),
                        (float *)packed + o / wk->panel * WINOGRAD_POSITIONS * position +
                            k * wk->panel,
                        position);
}

/* Packs a block of inputs from k and a panel of outputs from o of the flipped kernel, in which they
 * are outputs and inputs: transforms the weights to U, then flips U. */
static void flip_block(const conv_shape *s, const winograd_kernels *wk, const float *weight,
                       int64_t o, int64_t k, float *flipped) {
    _Alignas(64) float u[WINOGRAD_POSITIONS * WINOGRAD_BLOCK_MAX * WINOGRAD_PANEL_MAX];
    const int64_t row = s->in * WINOGRAD_TAPS, panel = wk->panel,
                  inputs = min_i64(wk->block, s->in - k);
    const int64_t outputs = min_i64(panel, s->out - o), from = wk->block * panel,
                  to = panel * s->out;
    wk->weights(conv_of_bf16(s), weight + o * row + k * WINOGRAD_TAPS, row, inputs, outputs, u,
                from);
    for (int64_t i = 0; i < outputs; i += wk->block)
        wk->flip(u + i, from, inputs, min_i64(wk->block, outputs - i),
                 flipped + k / panel * WINOGRAD_POSITIONS * to + (o + i) * panel + k % panel, to);
}

/* Packs the flipped kernel, inputs and outputs exchanged. */
static void pack_flipped(const conv_shape *s, const float *weight, float *flipped) {
    const winograd_kernels *wk = kernels_here();
    if (s->in % wk->panel != 0) /* the missing columns of its last panel */
        memset(flipped, 0, (size_t)packed_floats(wk, s->out, s->in) * sizeof *flipped);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t k = 0; k < s->in; k += wk->block)
        for (int64_t o = 0; o < s->out; o += wk->panel) flip_block(s, wk, weight, o, k, flipped);
}

/* ---- forward, and backward by data, which is forward with the flipped kernel ---- */

/* The size of a group and the buffers of a thread: V as [position][tile][in], M of one panel as
 * [position][tile][panel], and a pixel that takes the output outside the activations. In floats. */
typedef struct grouping {
    int64_t tiles;                    /* of a group */
    int64_t position;                 /* of V, from one position to the next */
    int64_t inputs, results, outside; /* sizes of the buffers */
    int64_t each;                     /* their sum, for one thread */
} grouping;

/* The size of V of a group: half of the second-level cache. Groups should be large, because weights
 * that do not fit this cache are read from farther away once per group. */
static int64_t group_floats(void) {
    const int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); /* -1 or 0: not known */
    return min_i64(GROUP_MAX, max_i64(GROUP_MIN, bytes / 2 / (int64_t)sizeof(float)));
}

static grouping grouping_of(const winograd_kernels *wk, int64_t in, int64_t out) {
    grouping g = {.tiles = group_floats() / (WINOGRAD_POSITIONS * in) / wk->rows * wk->rows};
    g.tiles = max_i64(2 * wk->rows, min_i64(TILES_MAX / wk->rows * wk->rows, g.tiles));
    /* A cache line of padding: the positions of a tile shall not map to the same cache sets. */
    g.position = round_up(g.tiles * in, LINE_FLOATS) + LINE_FLOATS;
    g.inputs = WINOGRAD_POSITIONS * g.position;
    g.results = WINOGRAD_POSITIONS * g.tiles * wk->panel;
    g.outside = round_up(out, LINE_FLOATS);
    g.each = round_up(g.inputs + g.results + g.outside, LINE_FLOATS);
    return g;
}

/* The size of the zeros that are read for pixels outside and for a bias of NULL. */
static int64_t zeros_floats(const conv_shape *s) {
    return round_up(max_i64(s->in, s->out), WINOGRAD_PANEL_MAX);
}

typedef struct forward_job {
    const winograd_kernels *kernels;
    tiling tiles;
    grouping group;
    side in, out;
    const void *x;
    const float *u;
    const float *bias;
    void *y;
    float *zeros;
} forward_job;

/* Tiles [first, first + count), with the thread's buffers at v. Rows of the last micro-kernel
 * beyond the tiles read undefined values; their results are not used. */
static void forward_group(const forward_job *j, int64_t first, int64_t count, float *v) {
    const winograd_kernels *wk = j->kernels;
    const grouping *g = &j->group;
    float *m = v + g->inputs, *outside = m + g->results;
    const int64_t in = j->in.channels, row = g->tiles * wk->panel, position = in * wk->panel;
    void *pixel[WINOGRAD_POSITIONS], *result[TILES_MAX][4];
    for (int64_t t = 0; t < count; t++) {
        tile_pixels(&j->tiles, first + t, -1, 4, &j->in, j->x, j->zeros, pixel);
        wk->input(j->in.read, (const void *const *)pixel, in, v + t * in, g->position);
        tile_pixels(&j->tiles, first + t, 0, 2, &j->out, j->y, outside, result[t]);
    }
    for (int64_t o = 0; o < j->out.channels; o += wk->panel) {
        const float *u = j->u + o / wk->panel * WINOGRAD_POSITIONS * position;
        for (int64_t p = 0; p < WINOGRAD_POSITIONS; p++)
            for (int64_t t = 0; t < count; t += wk->rows)
                wk->multiply(v + p * g->position + t * in, in, u + p * position, in,
                             m + p * row + t * wk->panel);
        for (int64_t t = 0; t < count; t++)
            wk->output(j->out.read.type, m + t * wk->panel, row, j->bias + o, o,
                       min_i64(wk->panel, j->out.channels - o), result[t]);
    }
}

static void convolve(const conv_shape *s, side in, side out, const float *u, const void *x,
                     const float *bias, void *y, float *scratch) {
    const winograd_kernels *wk = kernels_here();
    forward_job j = {.kernels = wk,
                     .tiles = tiling_of(s),
                     .group = grouping_of(wk, in.channels, out.channels),
                     .in = in,
                     .out = out,
                     .x = x,
                     .u = u,
                     .y = y,
                     .zeros = scratch};
    memset(j.zeros, 0, (size_t)zeros_floats(s) * sizeof(float));
    j.bias = bias ? bias : j.zeros;
    float *own = scratch + zeros_floats(s);
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < j.tiles.count; first += j.group.tiles)
        forward_group(&j, first, min_i64(j.group.tiles, j.tiles.count - first),
                      own + omp_get_thread_num() * j.group.each);
}

static void forward(const conv_shape *s, const void *packed, const void *x, const float *bias,
                    void *y, void *scratch) {
    convolve(s, side_of(s, s->x, s->in), side_of(s, s->y, s->out), packed, x, bias, y, scratch);
}

static void backward_data(const conv_shape *s, const float *weight, const void *dy, void *dx,
                          void *scratch) {
    float *flipped = scratch;
    pack_flipped(s, weight, flipped);
    convolve(s, side_of(s, s->y, s->out), side_of(s, s->x, s->in), flipped, dy, NULL, dx,
             flipped + packed_floats(kernels_here(), s->out, s->in));
}

static int64_t scratch_bytes(const conv_shape *s, bool training) {
    const winograd_kernels *wk = kernels_here();
    const int64_t threads = omp_get_max_threads();
    int64_t floats = threads * grouping_of(wk, s->in, s->out).each;
    if (training)
        floats = max_i64(floats, threads * grouping_of(wk, s->out, s->in).each +
                                     packed_floats(wk, s->out, s->in));
    return (zeros_floats(s) + floats) * (int64_t)sizeof(float);
}

const conv_algorithm conv_winograd = {.supports = supports,
                                      .packed = packed_bytes,
                                      .scratch = scratch_bytes,
                                      .pack = pack,
                                      .forward = forward,
                                      .backward_data = backward_data};

/* ---- weight gradient ---- */

/* The tiles are divided into parts with separate sums. Layouts, and their strides in floats:
 *
 *   V            [position][tile][in]           x_position, x_row
 *   D            [position][panel][tile][out]   dy_position, dy_panel
 *   sums of dy   [tile][out]                    sum_row
 *   dU           [position][panel][in][out]     product_position, product_panel
 *
 * The first three hold one chunk, dU a part.
 */
typedef struct gradient_job {
    const winograd_kernels *kernels;
    tiling tiles;
    side in, out;
    int64_t parts, part; /* number of parts; tiles of a part */
    int64_t x_row, x_position, dy_panel, dy_position, product_panel, product_position, sum_row;
    int64_t buffer, product; /* sizes of the first three together, and of dU */
    bool wants_bias;
    const void *x, *dy;
    float *zeros, *products, *buffers;
    double *totals; /* sums of dy [part][out] */
} gradient_job;

/* The transformed tiles of a chunk: V, D and sums of dy. */
typedef struct chunk_buffers {
    float *v, *d, *sums;
} chunk_buffers;

static gradient_job gradient_of(const conv_shape *s) {
    const winograd_kernels *wk = kernels_here();
    const int64_t panels = round_up(s->out, wk->panel) / wk->panel;
    gradient_job j = {.kernels = wk,
                      .tiles = tiling_of(s),
                      .in = side_of(s, s->x, s->in),
                      .out = side_of(s, s->y, s->out),
                      .x_row = s->in + LINE_FLOATS, /* padding as in grouping_of() */
                      .dy_panel = CHUNK * wk->panel,
                      .product_panel = round_up(s->in, wk->rows) * wk->panel,
                      .sum_row = round_up(s->out, LINE_FLOATS)};
    j.x_position = round_up(CHUNK * j.x_row, LINE_FLOATS) + LINE_FLOATS;
    j.dy_position = panels * j.dy_panel + LINE_FLOATS;
    j.product_position = panels * j.product_panel;
    j.buffer = WINOGRAD_POSITIONS * (j.x_position + j.dy_position) + CHUNK * j.sum_row;
    j.product = WINOGRAD_POSITIONS * j.product_position;
    const int64_t threads = omp_get_max_threads(), chunks = (j.tiles.count + CHUNK - 1) / CHUNK;
    j.parts = threads <= chunks && threads * j.product <= PARTS_FLOATS ? threads : 1;
    j.part = (chunks + j.parts - 1) / j.parts * CHUNK;
    j.parts = (j.tiles.count + j.part - 1) / j.part; /* no part is empty */
    return j;
}

/* Transforms the tiles [begin, end) of the chunk that starts at tile `first`. */
static void transform_tiles(const gradient_job *j, const chunk_buffers *b, int64_t first,
                            int64_t begin, int64_t end) {
    const winograd_kernels *wk = j->kernels;
    void *pixel[WINOGRAD_POSITIONS], *result[4];
    for (int64_t t = begin; t < end; t++) {
        tile_pixels(&j->tiles, first + t, -1, 4, &j->in, j->x, j->zeros, pixel);
        wk->input(j->in.read, (const void *const *)pixel, j->in.channels, b->v + t * j->x_row,
                  j->x_position);
        tile_pixels(&j->tiles, first + t, 0, 2, &j->out, j->dy, j->zeros, result);
        wk->gradient_output(j->out.read, (const void *const *)result, j->out.channels,
                            b->d + t * wk->panel, j->dy_position, j->dy_panel,
                            b->sums + t * j->sum_row);
    }
}

/* dU of the inputs [k, k + rows) at position p. The last micro-kernel may read past the inputs;
 * those sums are not used. */
static void multiply_rows(const gradient_job *j, const chunk_buffers *b, int64_t p, int64_t k,
                          int64_t rows, int64_t count, bool add, float *products) {
    const winograd_kernels *wk = j->kernels;
    for (int64_t panel = 0; panel * wk->panel < j->out.channels; panel++)
        for (int64_t i = k; i < k + rows && i < j->in.channels; i += wk->rows)
            wk->correlate(b->v + p * j->x_position + i, j->x_row,
                          b->d + p * j->dy_position + panel * j->dy_panel, count, add,
                          products + p * j->product_position + panel * j->product_panel +
                              i * wk->panel);
}

/* total [out] += the sums of dy over a chunk. */
static void add_bias(const gradient_job *j, const chunk_buffers *b, int64_t count, double *total) {
    for (int64_t t = 0; t < count; t++)
        for (int64_t o = 0; o < j->out.channels; o++) total[o] += b->sums[t * j->sum_row + o];
}

/* One part, computed by `threads` threads. */
static void gradient_part(const gradient_job *j, int64_t part, int threads) {
    const int64_t rows = TASK_ROWS * j->kernels->rows;
    const int64_t begin = part * j->part, end = min_i64(begin + j->part, j->tiles.count);
    float *products = j->products + part * j->product, *at = j->buffers + part * j->buffer;
    double *total = j->totals + part * j->sum_row;
    const chunk_buffers b = {at, at + WINOGRAD_POSITIONS * j->x_position,
                             at + WINOGRAD_POSITIONS * (j->x_position + j->dy_position)};
#pragma omp parallel num_threads(threads)
    for (int64_t first = begin; first < end; first += CHUNK) {
        const int64_t count = min_i64(CHUNK, end - first);
#pragma omp for schedule(dynamic)
        for (int64_t t = 0; t < count; t += TASK_TILES)
            transform_tiles(j, &b, first, t, min_i64(t + TASK_TILES, count));
#pragma omp for schedule(dynamic) collapse(2)
        for (int64_t p = 0; p < WINOGRAD_POSITIONS; p++)
            for (int64_t k = 0; k < j->in.channels; k += rows) {
                multiply_rows(j, &b, p, k, rows, count, first > begin, products);
                if (p == 0 && k == 0 && j->wants_bias) add_bias(j, &b, count, total);
            }
    }
}

/* Adds dU and the totals of the other parts to those of the first, in order. */
static void add_parts(const gradient_job *j) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < j->product; i += LINE_FLOATS)
        for (int64_t part = 1; part < j->parts; part++)
            for (int64_t k = i; k < i + LINE_FLOATS; k++)
                j->products[k] += j->products[part * j->product + k];
    for (int64_t part = 1; part < j->parts; part++)
        for (int64_t o = 0; o < j->out.channels; o++)
            j->totals[o] += j->totals[part * j->sum_row + o];
}

static int64_t gradient_scratch(const conv_shape *s) {
    const gradient_job j = gradient_of(s);
    return (zeros_floats(s) + 2 * j.parts * j.sum_row + j.parts * j.product + j.parts * j.buffer) *
           (int64_t)sizeof(float);
}

static void add_gradient(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                         void *scratch) {
    gradient_job j = gradient_of(s);
    const winograd_kernels *wk = j.kernels;
    j.x = x, j.dy = dy, j.zeros = scratch;
    j.wants_bias = db != NULL;
    j.totals = (double *)(void *)(j.zeros + zeros_floats(s));
    j.products = (float *)(void *)(j.totals + j.parts * j.sum_row);
    j.buffers = j.products + j.parts * j.product;
    memset(j.zeros, 0, (size_t)zeros_floats(s) * sizeof(float));
    memset(j.totals, 0, (size_t)(j.parts * j.sum_row) * sizeof(double));
    if (j.parts == 1) {
        gradient_part(&j, 0, omp_get_max_threads());
    } else {
#pragma omp parallel for schedule(static)
        for (int64_t part = 0; part < j.parts; part++) gradient_part(&j, part, 1);
    }
    add_parts(&j);
    const int64_t row = s->in * WINOGRAD_TAPS;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += wk->panel)
        for (int64_t k = 0; k < s->in; k += wk->block)
            wk->gradient(j.products + o / wk->panel * j.product_panel + k * wk->panel,
                         j.product_position, row, min_i64(wk->block, s->in - k),
                         min_i64(wk->panel, s->out - o), dw + o * row + k * WINOGRAD_TAPS);
    for (int64_t o = 0; db && o < s->out; o++) db[o] += (float)j.totals[o];
}

const weight_gradient_algorithm weight_gradient_winograd = {
    .supports = supports, .scratch = gradient_scratch, .add = add_gradient};
