/* Tiles in groups small enough for the second-level cache: the positions of a group's tiles are
 * multiplied by the weights of a panel of channels at a time, whose results become pixels while
 * they are still near. The weight gradient takes more tiles at once, and their products are so many
 * more sums: each thread has tiles and sums of its own where there is room for these, else all
 * threads spread tiles, then multiply them, each its own part of the sums. (On two cores of a Zen 5
 * R64 trained in f32 at 664 GFLOP/s with threads apart and 657 together, and at 674 and 541 at
 * times when the cores seemed to share no cache.) The order of every sum is fixed; who takes which
 * group of tiles forward is decided as they run, for cores are not equally fast.
 *
 * Measured over the networks' 3x3 convolutions (64 to 512 channels, 64x64 to 8x8 maps) against
 * oneDNN 2.6 as conv_dnnl.c runs it. One core of a Zen 3 (AVX2): forward and backward by data 1.5
 * to 2.5 times, by weights 1.7 to 3; small products alone run at 79 to 94 GFLOP/s. Two cores of a
 * Zen 4 (AVX-512), f32: about twice. Two of an Emerald Rapids: forward 1.1 to 1.4 times, backward
 * by data 1.1 to 1.3, by weights 0.8 to 1.5.
 *
 * Two things were tried and left to oneDNN. 1x1 convolutions by the same products: R64 trained at
 * 181 GFLOP/s instead of 196 on the Zen 3. And products of transformed numbers rounded to bf16,
 * which is two and a half times the noise of rounding the weights: R64 trained 1.45 times as fast
 * on the Zen 4, but after 2,000 steps of R16 on the phantom the losses of two seeds lay up to 2.8 %
 * from f32's, where another order of f32 sums leaves 0.4 %, bf16 by oneDNN 0.2 and with
 * gradient_amx.c 0.8.
 */
#include "model/nn/kernels/conv_algorithms.h"

#include "model/nn/int_math.h"
#include "model/nn/kernels/variants.h"
#include "model/nn/kernels/winograd_kernels.h"

#include <omp.h>
#include <string.h>
#include <unistd.h>

enum {
    MIN_GROUP = 65536,      /* numbers of a group's positions, about */
    MAX_GROUP = 262144,     /* likewise */
    MAX_TILES = 64,         /* of a group */
    CHUNK = 128,            /* tiles of the weight gradient at once */
    PARTS_FLOATS = 1 << 22, /* at most, of the products of all parts of the weight gradient */
    SPREAD = 8,             /* tiles that a thread spreads at once */
    LINE_FLOATS = 16,
    PART_ROWS = 8 /* small products one below the other that a thread makes at once */
};

static const winograd_kernels *kernels_here(void) { return kernel_best(KERNEL_WINOGRAD); }

static bool takes(const conv_shape *s) {
    return s->kernel == 3 && s->stride == 1 && s->batch > 0 && s->height > 0 && s->width > 0 &&
           s->in > 0 && s->in % 8 == 0 && s->out > 0 && s->out % 8 == 0 && kernels_here();
}

/* One side of a product of maps: how the numbers of a map are read, and its channels. */
typedef struct side {
    winograd_type numbers;
    int64_t channels;
} side;

static side side_of(const conv_shape *s, tensor_type type, int64_t channels) {
    return (side){{type, conv_of_bf16(s)}, channels};
}

/* ---- tiles ---- */

typedef struct tiling {
    int64_t height, width, across, of_sample, count;
} tiling;

static tiling tiling_of(const conv_shape *s) {
    tiling t = {.height = s->height, .width = s->width, .across = (s->width + 1) / 2};
    t.of_sample = (s->height + 1) / 2 * t.across;
    t.count = s->batch * t.of_sample;
    return t;
}

/* The size x size pixels of a tile, its first output pixel moved by `from` in both directions;
 * `outside` stands for those that the map does not have. Const is the caller's to keep. */
static void tile_pixels(const tiling *t, int64_t tile, int64_t from, int size, const side *of,
                        const void *map, void *outside, void *pixel[]) {
    const int64_t unit = of->channels * tensor_element_bytes(of->numbers.type);
    const int64_t within = tile % t->of_sample, sample = tile / t->of_sample;
    const int64_t y0 = within / t->across * 2 + from, x0 = within % t->across * 2 + from;
    char *base = (char *)map + sample * t->height * t->width * unit;
    for (int64_t y = y0; y < y0 + size; y++)
        for (int64_t x = x0; x < x0 + size; x++) {
            bool inside = y >= 0 && y < t->height && x >= 0 && x < t->width;
            *pixel++ = inside ? base + (y * t->width + x) * unit : outside;
        }
}

/* ---- weights: [panel of outputs][position][input][output] ---- */

static int64_t packed_floats(const winograd_kernels *l, int64_t in, int64_t out) {
    return round_up(out, l->panel) * WINOGRAD_POSITIONS * in;
}

static int64_t packed_bytes(const conv_shape *s) {
    return packed_floats(kernels_here(), s->in, s->out) * (int64_t)sizeof(float);
}

static void pack(const conv_shape *s, const float *weight, void *packed) {
    const winograd_kernels *l = kernels_here();
    const int64_t row = s->in * WINOGRAD_TAPS, position = l->panel * s->in;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += l->panel)
        for (int64_t k = 0; k < s->in; k += l->block)
            l->weights(conv_of_bf16(s), weight + o * row + k * WINOGRAD_TAPS, row,
                       min_i64(l->block, s->in - k), min_i64(l->panel, s->out - o),
                       (float *)packed + o / l->panel * WINOGRAD_POSITIONS * position +
                           k * l->panel,
                       position);
}

/* A block of inputs and a panel of outputs of the turned kernel, inputs and outputs exchanged. */
static void turn_block(const conv_shape *s, const winograd_kernels *l, const float *weight,
                       int64_t o, int64_t k, float *turned) {
    __attribute__((
        aligned(64))) float u[WINOGRAD_POSITIONS * WINOGRAD_MAX_BLOCK * WINOGRAD_MAX_PANEL];
    const int64_t row = s->in * WINOGRAD_TAPS, panel = l->panel,
                  inputs = min_i64(l->block, s->in - k);
    const int64_t outputs = min_i64(panel, s->out - o), from = l->block * panel,
                  to = panel * s->out;
    l->weights(conv_of_bf16(s), weight + o * row + k * WINOGRAD_TAPS, row, inputs, outputs, u,
               from);
    for (int64_t i = 0; i < outputs; i += l->block)
        l->turn(u + i, from, inputs, min_i64(l->block, outputs - i),
                turned + k / panel * WINOGRAD_POSITIONS * to + (o + i) * panel + k % panel, to);
}

/* The turned kernel, packed. */
static void pack_turned(const conv_shape *s, const float *weight, float *turned) {
    const winograd_kernels *l = kernels_here();
    if (s->in % l->panel != 0) /* its last panel has columns of zeros */
        memset(turned, 0, (size_t)packed_floats(l, s->out, s->in) * sizeof *turned);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t k = 0; k < s->in; k += l->block)
        for (int64_t o = 0; o < s->out; o += l->panel) turn_block(s, l, weight, o, k, turned);
}

/* ---- forward, and backward by data, which is forward with turned weights ---- */

/* How many tiles go together, and what a thread has for them; counts of floats. */
typedef struct grouping {
    int64_t tiles, position, inputs, results, outside, each;
} grouping;

/* Half of the second-level cache: weights that it has no room for come from farther away once for
 * each group, so these should be large. With 256 channels and more forward and backward by data
 * were 1.1 to 1.2 times as fast with 1 MB as with 256 KB, on an Emerald Rapids (2 MB). */
static int64_t group_floats(void) {
    const int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); /* none or 0: not known */
    return min_i64(MAX_GROUP, max_i64(MIN_GROUP, bytes / 2 / (int64_t)sizeof(float)));
}

static grouping grouping_of(const winograd_kernels *l, int64_t in, int64_t out) {
    grouping g = {.tiles = group_floats() / (WINOGRAD_POSITIONS * in) / l->rows * l->rows};
    g.tiles = max_i64(2 * l->rows, min_i64(MAX_TILES / l->rows * l->rows, g.tiles));
    /* A line more, lest the positions of a tile fall on the same lines of the cache. */
    g.position = round_up(g.tiles * in, 16) + 16;
    g.inputs = WINOGRAD_POSITIONS * g.position;
    g.results = WINOGRAD_POSITIONS * g.tiles * l->panel;
    g.outside = round_up(out, 16);
    g.each = round_up(g.inputs + g.results + g.outside, 16);
    return g;
}

/* Zeros, read for pixels outside and a bias that is none. */
static int64_t zeros_floats(const conv_shape *s) {
    return round_up(max_i64(s->in, s->out), WINOGRAD_MAX_PANEL);
}

typedef struct forward_job {
    const winograd_kernels *leaves;
    tiling tiles;
    grouping group;
    side in, out;
    const void *x;
    const float *u;
    const float *bias;
    void *y;
    float *zeros;
} forward_job;

/* Tiles [first, first + count). Rows of the last product that have no tile hold what they held. */
static void forward_group(const forward_job *j, int64_t first, int64_t count, float *v) {
    const winograd_kernels *l = j->leaves;
    const grouping *g = &j->group;
    float *m = v + g->inputs, *outside = m + g->results;
    const int64_t in = j->in.channels, row = g->tiles * l->panel, position = in * l->panel;
    void *pixel[WINOGRAD_POSITIONS], *result[MAX_TILES][4];
    for (int64_t t = 0; t < count; t++) {
        tile_pixels(&j->tiles, first + t, -1, 4, &j->in, j->x, j->zeros, pixel);
        l->input(j->in.numbers, (const void *const *)pixel, in, v + t * in, g->position);
        tile_pixels(&j->tiles, first + t, 0, 2, &j->out, j->y, outside, result[t]);
    }
    for (int64_t o = 0; o < j->out.channels; o += l->panel) {
        const float *u = j->u + o / l->panel * WINOGRAD_POSITIONS * position;
        for (int64_t p = 0; p < WINOGRAD_POSITIONS; p++)
            for (int64_t t = 0; t < count; t += l->rows)
                l->multiply(v + p * g->position + t * in, in, u + p * position, in,
                            m + p * row + t * l->panel);
        for (int64_t t = 0; t < count; t++)
            l->output(j->out.numbers.type, m + t * l->panel, row, j->bias + o, o,
                      min_i64(l->panel, j->out.channels - o), result[t]);
    }
}

static void convolve(const conv_shape *s, side in, side out, const float *u, const void *x,
                     const float *bias, void *y, float *scratch) {
    const winograd_kernels *l = kernels_here();
    forward_job j = {.leaves = l,
                     .tiles = tiling_of(s),
                     .group = grouping_of(l, in.channels, out.channels),
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
    float *turned = scratch;
    pack_turned(s, weight, turned);
    convolve(s, side_of(s, s->y, s->out), side_of(s, s->x, s->in), turned, dy, NULL, dx,
             turned + packed_floats(kernels_here(), s->out, s->in));
}

static int64_t scratch_bytes(const conv_shape *s, bool training) {
    const winograd_kernels *l = kernels_here();
    const int64_t threads = omp_get_max_threads();
    int64_t floats = threads * grouping_of(l, s->in, s->out).each;
    if (training)
        floats = max_i64(floats, threads * grouping_of(l, s->out, s->in).each +
                                     packed_floats(l, s->out, s->in));
    return (zeros_floats(s) + floats) * (int64_t)sizeof(float);
}

const conv_algorithm conv_winograd = {.takes = takes,
                                      .packed = packed_bytes,
                                      .scratch = scratch_bytes,
                                      .pack = pack,
                                      .forward = forward,
                                      .backward_data = backward_data};

/* ---- weight gradient ---- */

/* The tiles are in parts, whose products are summed apart. Positions of x as [position][tile][in],
 * of dy as [position][panel][tile][out], the products of a part as [position][panel][in][out], sums
 * of dy as [tile][out]; counts of floats. */
typedef struct gradient_job {
    const winograd_kernels *leaves;
    tiling tiles;
    side in, out;
    int64_t parts, part; /* tiles of a part */
    int64_t x_row, x_position, dy_panel, dy_position, product_panel, product_position, sum_row;
    int64_t room, product; /* of what is made of a chunk, and of the products of a part */
    bool wants_bias;
    const void *x, *dy;
    float *zeros, *products, *rooms;
    double *totals; /* of dy, by parts */
} gradient_job;

/* What is made of a chunk. */
typedef struct chunk_room {
    float *xs, *dys, *sums;
} chunk_room;

static gradient_job gradient_of(const conv_shape *s) {
    const winograd_kernels *l = kernels_here();
    const int64_t panels = round_up(s->out, l->panel) / l->panel;
    gradient_job j = {.leaves = l,
                      .tiles = tiling_of(s),
                      .in = side_of(s, s->x, s->in),
                      .out = side_of(s, s->y, s->out),
                      .x_row = s->in + 16, /* lest rows fall on the same lines of the cache */
                      .dy_panel = CHUNK * l->panel,
                      .product_panel = round_up(s->in, l->rows) * l->panel,
                      .sum_row = round_up(s->out, 16)};
    j.x_position = round_up(CHUNK * j.x_row, 16) + 16;
    j.dy_position = panels * j.dy_panel + 16;
    j.product_position = panels * j.product_panel;
    j.room = WINOGRAD_POSITIONS * (j.x_position + j.dy_position) + CHUNK * j.sum_row;
    j.product = WINOGRAD_POSITIONS * j.product_position;
    const int64_t threads = omp_get_max_threads(), chunks = (j.tiles.count + CHUNK - 1) / CHUNK;
    j.parts = threads <= chunks && threads * j.product <= PARTS_FLOATS ? threads : 1;
    j.part = (chunks + j.parts - 1) / j.parts * CHUNK;
    j.parts = (j.tiles.count + j.part - 1) / j.part; /* none is empty */
    return j;
}

/* Tiles [begin, end) of the chunk. */
static void spread_tiles(const gradient_job *j, const chunk_room *r, int64_t first, int64_t begin,
                         int64_t end) {
    const winograd_kernels *l = j->leaves;
    void *pixel[WINOGRAD_POSITIONS], *result[4];
    for (int64_t t = begin; t < end; t++) {
        tile_pixels(&j->tiles, first + t, -1, 4, &j->in, j->x, j->zeros, pixel);
        l->input(j->in.numbers, (const void *const *)pixel, j->in.channels, r->xs + t * j->x_row,
                 j->x_position);
        tile_pixels(&j->tiles, first + t, 0, 2, &j->out, j->dy, j->zeros, result);
        l->gradient_output(j->out.numbers, (const void *const *)result, j->out.channels,
                           r->dys + t * l->panel, j->dy_position, j->dy_panel,
                           r->sums + t * j->sum_row);
    }
}

/* Inputs [k, k + part) at one position. A last product may read past them: sums that nobody reads.
 */
static void multiply_part(const gradient_job *j, const chunk_room *r, int64_t p, int64_t k,
                          int64_t part, int64_t count, bool add, float *products) {
    const winograd_kernels *l = j->leaves;
    for (int64_t panel = 0; panel * l->panel < j->out.channels; panel++)
        for (int64_t i = k; i < k + part && i < j->in.channels; i += l->rows)
            l->correlate(r->xs + p * j->x_position + i, j->x_row,
                         r->dys + p * j->dy_position + panel * j->dy_panel, count, add,
                         products + p * j->product_position + panel * j->product_panel +
                             i * l->panel);
}

static void add_bias(const gradient_job *j, const chunk_room *r, int64_t count, double *total) {
    for (int64_t t = 0; t < count; t++)
        for (int64_t o = 0; o < j->out.channels; o++) total[o] += r->sums[t * j->sum_row + o];
}

/* One part, by so many threads. */
static void gradient_part(const gradient_job *j, int64_t part, int threads) {
    const int64_t rows = PART_ROWS * j->leaves->rows;
    const int64_t begin = part * j->part, end = min_i64(begin + j->part, j->tiles.count);
    float *products = j->products + part * j->product, *at = j->rooms + part * j->room;
    double *total = j->totals + part * j->sum_row;
    const chunk_room r = {at, at + WINOGRAD_POSITIONS * j->x_position,
                          at + WINOGRAD_POSITIONS * (j->x_position + j->dy_position)};
#pragma omp parallel num_threads(threads)
    for (int64_t first = begin; first < end; first += CHUNK) {
        const int64_t count = min_i64(CHUNK, end - first);
#pragma omp for schedule(dynamic)
        for (int64_t t = 0; t < count; t += SPREAD)
            spread_tiles(j, &r, first, t, min_i64(t + SPREAD, count));
#pragma omp for schedule(dynamic) collapse(2)
        for (int64_t p = 0; p < WINOGRAD_POSITIONS; p++)
            for (int64_t k = 0; k < j->in.channels; k += rows) {
                multiply_part(j, &r, p, k, rows, count, first > begin, products);
                if (p == 0 && k == 0 && j->wants_bias) add_bias(j, &r, count, total);
            }
    }
}

/* Products and totals of the first part += those of the others, in order. */
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
    return (zeros_floats(s) + 2 * j.parts * j.sum_row + j.parts * j.product + j.parts * j.room) *
           (int64_t)sizeof(float);
}

static void add_gradient(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                         void *scratch) {
    gradient_job j = gradient_of(s);
    const winograd_kernels *l = j.leaves;
    j.x = x, j.dy = dy, j.zeros = scratch;
    j.wants_bias = db != NULL;
    j.totals = (double *)(void *)(j.zeros + zeros_floats(s));
    j.products = (float *)(void *)(j.totals + j.parts * j.sum_row);
    j.rooms = j.products + j.parts * j.product;
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
    for (int64_t o = 0; o < s->out; o += l->panel)
        for (int64_t k = 0; k < s->in; k += l->block)
            l->gradient(j.products + o / l->panel * j.product_panel + k * l->panel,
                        j.product_position, row, min_i64(l->block, s->in - k),
                        min_i64(l->panel, s->out - o), dw + o * row + k * WINOGRAD_TAPS);
    for (int64_t o = 0; db && o < s->out; o++) db[o] += (float)j.totals[o];
}

const weight_gradient_algorithm weight_gradient_winograd = {
    .takes = takes, .scratch = gradient_scratch, .add = add_gradient};
