/* A convolution as products of lines of pixels.
 *
 * A tile of pixels is 16 of them that lie the same distance apart, wherever a tap of the kernel
 * moves them. So pixels are copied into a line, a position of zeros after each row of a map and a
 * row of them between maps; where rows are no whole number of tiles, several maps lie in one line
 * pixel by pixel in turn. A line is as long as the second-level cache (2 MB) has room for, with
 * sums of 32 outputs for all its pixels. These are added to for 64 inputs at a time, whose weights
 * (36 KB) stay in the first-level cache; the last time they are rounded and go where they belong. A
 * 1x1 kernel reads the map itself, and all its inputs at once.
 *
 * Backward by data is the same with the kernel turned by 180 degrees and channels exchanged.
 *
 * Measured on two cores of a Granite Rapids over the convolutions of the networks here: 3.6 to 4.2
 * TFLOP/s, of 7.3 that the tiles could do, from 64x64 maps to 16x16, and 2.7 to 3.9 from 8x8;
 * oneDNN 2.6 3.0 to 4.4, and 1.4 to 2.3 from 8x8. What limits it is what comes from outside the
 * second-level cache, 29 GB/s a core: fetching the next line ahead changed nothing, and answers
 * that go past the caches made the whole forward run a quarter slower.
 */
#include "model/nn/kernels/conv_algorithms.h"

#include "model/nn/kernels/x86/amx.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/cpu.h"
#include "model/nn/kernels/bf16.h"

#include <omp.h>
#include <string.h>

enum {
    TWO_TILES = 2 * TILE, /* pixels, or channels, that go together */
    TILE_UNITS = TILE * TILE,
    ROOM_BYTES = 1 << 20, /* of a line and its sums, about */
    JOBS_A_THREAD = 4,    /* if there are so many */
    MIN_OUTPUTS = 128,    /* of a job: copying the line would take longer else */
    DEPTH = 2,            /* times 32 inputs at once, of 3x3 */
    MAX_TURNS = 4         /* maps in one line */
};

typedef uint32_t pair; /* weights of an input and the next */

/* From `in` channels to `out`: forward as it is, backward exchanged. */
typedef struct side {
    int64_t batch, height, width, in, out, kernel;
} side;

static side forward_side(const conv_shape *s) {
    return (side){s->batch, s->height, s->width, s->in, s->out, s->kernel};
}
static side backward_side(const conv_shape *s) {
    return (side){s->batch, s->height, s->width, s->out, s->in, s->kernel};
}

/* Maps that take turns in a line, so that a row is a whole number of tiles. */
static int64_t turns_of(int64_t width) {
    int64_t turns = 1;
    while (width * turns % TILE != 0) turns *= 2;
    return turns;
}

/* Whatever the batch: a sample's bits must not depend on its company. */
static bool takes(const conv_shape *s) {
    if (!cpu_has(CPU_AMX) || s->stride != 1 || s->x != TYPE_BF16 || s->y != TYPE_BF16 ||
        s->batch < 1 || s->height < 1 || s->width < 1 || s->in < 1 || s->in % TWO_TILES != 0 ||
        s->out < 1 || s->out % TWO_TILES != 0)
        return false;
    return s->kernel == 1 ? s->height * s->width % TILE == 0
                          : s->kernel == 3 && turns_of(s->width) <= MAX_TURNS;
}

/* A line holds `groups` groups of `turns` maps, or `rows` rows of one group; whichever, the pixels
 * of a chunk. row: positions. Jobs are chunks by parts of the panels of outputs. */
typedef struct layout {
    int64_t turns, row, groups, rows, across; /* across: tiles in a row of pixels */
    int64_t step, plane; /* numbers to the next position, to 32 channels more */
    int64_t depth;       /* times 32 inputs at once */
    int64_t all_groups, parts, chunks, split, threads;
} layout;

static layout layout_of(const side *s) {
    layout l = {.turns = turns_of(s->width), .threads = omp_get_max_threads()};
    l.row = (s->width + 1) * l.turns, l.across = s->width * l.turns / TILE;
    l.all_groups = (s->batch + l.turns - 1) / l.turns;
    const int64_t position = s->in * (int64_t)sizeof(bf16) + TWO_TILES * (int64_t)sizeof(float);
    const int64_t fit = ROOM_BYTES / (l.row * position); /* rows */
    l.rows = s->height, l.groups = 1, l.parts = 1;
    if (fit < s->height + 2) {
        l.parts = (s->height + max_i64(fit - 2, 1) - 1) / max_i64(fit - 2, 1);
        l.rows = (s->height + l.parts - 1) / l.parts;
        l.parts = (s->height + l.rows - 1) / l.rows;
        l.chunks = l.all_groups * l.parts;
    } else {
        l.groups = (fit - 1) / (s->height + 1);
        l.chunks = round_up((l.all_groups + l.groups - 1) / l.groups, l.threads);
        l.groups = (l.all_groups + l.chunks - 1) / l.chunks;
        l.chunks = (l.all_groups + l.groups - 1) / l.groups;
    }
    l.step = TWO_TILES, l.depth = DEPTH;
    const int64_t line = l.turns + (l.groups * (l.rows + 1) + 1) * l.row;
    l.plane = (line + 1) * TWO_TILES;
    l.split = (JOBS_A_THREAD * l.threads + l.chunks - 1) / l.chunks;
    l.split = max_i64(1, min_i64(l.split, s->out / MIN_OUTPUTS));
    return l;
}

static int64_t line_bytes(const side *s, const layout *l) {
    return l->plane * (s->in / TWO_TILES) * (int64_t)sizeof(bf16);
}

static int64_t sums_bytes(const layout *l) {
    return round_up(l->groups * l->rows * l->across, 2) * 2 * TILE_UNITS * (int64_t)sizeof(float);
}

/* ---- weights: [32 outputs][32 inputs][tap][16 outputs][pair][output] ---- */

static int64_t weight_bytes(const side *s) {
    return s->kernel * s->kernel * s->in * s->out * (int64_t)sizeof(bf16);
}

/* to [out by in]: step_out and step_in lie between the weights of neighbours. */
static void pack_side(const side *s, const float *weight, int64_t step_out, int64_t step_in,
                      bool turned, pair *to) {
    const int64_t taps = s->kernel * s->kernel, panel = taps * s->in * TILE;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += TILE)
        for (int64_t i = 0; i < s->in; i += TWO_TILES)
            for (int64_t p = 0; p < TILE; p++)
                for (int64_t t = 0; t < taps; t++) {
                    const int64_t block = i / TWO_TILES * taps + t;
                    bf16_pack_pairs(weight + o * step_out + (i + 2 * p) * step_in +
                                        (turned ? taps - 1 - t : t),
                                    step_out, step_in,
                                    to + o / TWO_TILES * panel +
                                        (block * 2 + o / TILE % 2) * TILE_UNITS + p * TILE,
                                    TILE);
                }
}

static int64_t packed_bytes(const conv_shape *s) {
    const side f = forward_side(s);
    return weight_bytes(&f);
}

static void pack(const conv_shape *s, const float *weight, void *packed) {
    const side f = forward_side(s);
    const int64_t taps = s->kernel * s->kernel;
    pack_side(&f, weight, s->in * taps, taps, false, packed);
}

static int64_t lines_bytes(const side *s) {
    const layout l = layout_of(s);
    return s->kernel == 1 ? 0 : l.threads * (line_bytes(s, &l) + sums_bytes(&l));
}

static int64_t scratch_bytes(const conv_shape *s, bool training) {
    const side f = forward_side(s), b = backward_side(s);
    return training ? max_i64(lines_bytes(&f), weight_bytes(&b) + lines_bytes(&b))
                    : lines_bytes(&f);
}

/* ---- pixels in lines ---- */

/* `count` pixels of x to every `turns`th position of a line; zeros for NULL. */
NATIVE static void copy_pixels(const side *s, const layout *l, const bf16 *x, int64_t count,
                               int64_t turns, bf16 *line) {
    for (int64_t p = 0; p < count; p++, line += turns * TWO_TILES)
        for (int64_t i = 0; i < s->in / TWO_TILES; i++)
            _mm512_store_si512(line + i * l->plane,
                               x ? _mm512_loadu_si512(x + p * s->in + i * TWO_TILES)
                                 : _mm512_setzero_si512());
}

/* Rows of the maps from `sample`, as many from y0 on, to `line`; zeros where there is nothing. */
static void copy_rows(const side *s, const layout *l, const bf16 *x, int64_t sample, int64_t y0,
                      int64_t rows, bf16 *line) {
    for (int64_t y = y0; y < y0 + rows; y++, line += l->row * TWO_TILES) {
        for (int64_t t = 0; t < l->turns; t++) {
            bool inside = y >= 0 && y < s->height && sample + t < s->batch;
            const bf16 *from = x + ((sample + t) * s->height + y) * s->width * s->in;
            copy_pixels(s, l, inside ? from : NULL, s->width, l->turns, line + t * TWO_TILES);
        }
        copy_pixels(s, l, NULL, l->turns, 1, line + s->width * l->turns * TWO_TILES);
    }
}

typedef struct chunk {
    int64_t group, groups, y0, rows;
} chunk;

static chunk chunk_at(const side *s, const layout *l, int64_t index) {
    if (l->parts == 1)
        return (chunk){index * l->groups, min_i64(l->groups, l->all_groups - index * l->groups), 0,
                       s->height};
    const int64_t y0 = index % l->parts * l->rows;
    return (chunk){index / l->parts, 1, y0, min_i64(l->rows, s->height - y0)};
}

static void copy_chunk(const side *s, const layout *l, const chunk *c, const bf16 *x, bf16 *line) {
    copy_pixels(s, l, NULL, l->turns, 1, line);
    line += l->turns * TWO_TILES;
    copy_rows(s, l, x, c->group * l->turns, c->y0 - 1, 1, line);
    line += l->row * TWO_TILES;
    for (int64_t g = 0; g < c->groups; g++, line += (c->rows + 1) * l->row * TWO_TILES)
        copy_rows(s, l, x, (c->group + g) * l->turns, c->y0, c->rows + 1, line);
}

/* ---- products ---- */

/* A tile of pixels: its row in a group of a chunk, and the first position there. */
typedef struct spot {
    int64_t group, row, first;
} spot;

/* On to the next: down columns of two tiles, or of one where rows have an odd number of them, so
 * that two of the three rows a kernel reads have just been read. */
static void spot_on(spot *at, const layout *l, const chunk *c) {
    const int64_t column = l->across % 2 == 0 ? TWO_TILES : TILE;
    at->first += TILE;
    if (at->first % column != 0) return;
    at->first -= column;
    if (++at->row < c->rows) return;
    at->row = 0;
    if (++at->group < c->groups) return;
    at->group = 0, at->first += column;
}

/* c [2 by pixels][2 by outputs][16][16] = or += 2 x 16 pixels by a panel, `depth` times 32 inputs.
 */
TILED static void multiply(const side *s, const layout *l, const bf16 *const x[2], const pair *w,
                           int64_t depth, bool add, float *c) {
    const int64_t whole = TILE * (int64_t)sizeof(pair), step = l->step * (int64_t)sizeof(bf16);
    const int64_t row = l->row * l->step, right_by = l->turns * l->step;
    if (add) {
        _tile_loadd(0, c, whole);
        _tile_loadd(1, c + TILE_UNITS, whole);
        _tile_loadd(2, c + 2 * TILE_UNITS, whole);
        _tile_loadd(3, c + 3 * TILE_UNITS, whole);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t i = 0; i < depth; i++) {
        for (int64_t down = 0; down < s->kernel; down++) {
            const bf16 *a = x[0] + down * row + i * l->plane, *b = x[1] + down * row + i * l->plane;
            for (int64_t right = 0; right < s->kernel; right++) {
                _tile_loadd(4, a, step);
                _tile_loadd(6, w, whole);
                _tile_loadd(7, w + TILE_UNITS, whole);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_loadd(5, b, step);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
                a += right_by, b += right_by, w += 2 * TILE_UNITS;
            }
        }
    }
    _tile_stored(0, c, whole);
    _tile_stored(1, c + TILE_UNITS, whole);
    _tile_stored(2, c + 2 * TILE_UNITS, whole);
    _tile_stored(3, c + 3 * TILE_UNITS, whole);
}

/* 32 outputs of 16 pixels, rounded, to where they belong; bias (may be NULL) and y from the first
 * of these on. */
NATIVE static void deliver(const side *s, const layout *l, const chunk *k, const spot *at,
                           const float *c, const float *bias, bf16 *y) {
    const __m512 low = bias ? _mm512_loadu_ps(bias) : _mm512_setzero_ps();
    const __m512 high = bias ? _mm512_loadu_ps(bias + TILE) : _mm512_setzero_ps();
    const int64_t sample = (k->group + at->group) * l->turns, map = s->height * s->width * s->out;
    const int64_t turns = min_i64(l->turns, s->batch - sample);
    y += sample * map + ((k->y0 + at->row) * s->width + at->first / l->turns) * s->out;
    for (int64_t p = 0; p < TILE; p += l->turns, y += s->out)
        for (int64_t t = 0; t < turns; t++) {
            const __m512 a = _mm512_add_ps(_mm512_load_ps(c + (p + t) * TILE), low);
            const __m512 b = _mm512_add_ps(_mm512_load_ps(c + TILE_UNITS + (p + t) * TILE), high);
            _mm512_storeu_si512(y + t * map, (__m512i)_mm512_cvtne2ps_pbh(b, a));
        }
}

static const bf16 *spot_in(const spot *at, const layout *l, const chunk *c, const bf16 *line) {
    return line + ((at->group * (c->rows + 1) + at->row) * l->row + at->first) * l->step;
}

/* The outputs [first, last) of all pixels of a chunk; sums: of sums_bytes(), or of two tiles of
 * pixels where all inputs are taken at once. */
TILED static void run_chunk(const side *s, const layout *l, const chunk *k, const bf16 *line,
                            const pair *weights, const float *bias, bf16 *y, int64_t first,
                            int64_t last, float *sums) {
    const int64_t tiles = k->groups * k->rows * l->across;
    const int64_t taps = s->kernel * s->kernel, blocks = s->in / TWO_TILES;
    tiles_begin((const uint8_t[8]){TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE});
    for (int64_t o = first; o < last; o += TWO_TILES) {
        for (int64_t i = 0; i < blocks; i += l->depth) {
            const int64_t depth = min_i64(l->depth, blocks - i);
            const pair *w = weights + (o / TWO_TILES * blocks + i) * taps * 2 * TILE_UNITS;
            spot at = {0};
            for (int64_t t = 0; t < tiles; t += 2) {
                float *c = sums + (depth < blocks ? t * 2 * TILE_UNITS : 0);
                const int64_t count = min_i64(2, tiles - t);
                spot two[2] = {at, at};
                if (count == 2) spot_on(&two[1], l, k);
                const bf16 *const x[2] = {spot_in(&two[0], l, k, line) + i * l->plane,
                                          spot_in(&two[1], l, k, line) + i * l->plane};
                multiply(s, l, x, w, depth, i > 0, c);
                TILES_SETTLED();
                for (int64_t n = 0; n < count && i + depth == blocks; n++)
                    deliver(s, l, k, &two[n], c + n * 2 * TILE_UNITS, bias ? bias + o : NULL,
                            y + o);
                TILES_SETTLED();
                at = two[1];
                spot_on(&at, l, k);
            }
        }
    }
    _tile_release();
}

static void convolve(const side *s, const pair *weights, const bf16 *x, const float *bias, bf16 *y,
                     char *lines) {
    const layout l = layout_of(s);
    const int64_t outputs = round_up((s->out + l.split - 1) / l.split, TWO_TILES);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int64_t index = 0; index < l.chunks; index++)
        for (int64_t part = 0; part < l.split; part++) {
            if (part * outputs >= s->out) continue;
            const chunk c = chunk_at(s, &l, index);
            char *own = lines + omp_get_thread_num() * (line_bytes(s, &l) + sums_bytes(&l));
            bf16 *line = (bf16 *)(void *)(own + sums_bytes(&l));
            copy_chunk(s, &l, &c, x, line);
            run_chunk(s, &l, &c, line, weights, bias, y, part * outputs,
                      min_i64(s->out, (part + 1) * outputs), (float *)(void *)own);
        }
}

/* A 1x1 kernel: the map is a row, and the line. */
static void convolve_plain(const side *s, const pair *weights, const bf16 *x, const float *bias,
                           bf16 *y) {
    enum { PIXELS = 512 };
    const int64_t pixels = s->batch * s->height * s->width;
#pragma omp parallel for schedule(dynamic)
    for (int64_t p = 0; p < pixels; p += PIXELS) {
        const int64_t width = min_i64(PIXELS, pixels - p);
        const side part = {1, 1, width, s->in, s->out, 1};
        const layout own = {.turns = 1,
                            .row = width,
                            .step = s->in,
                            .plane = TWO_TILES,
                            .depth = s->in / TWO_TILES,
                            .across = width / TILE};
        _Alignas(64) float sums[4 * TILE_UNITS];
        const chunk c = {0, 1, 0, 1};
        run_chunk(&part, &own, &c, x + p * s->in, weights, bias, y + p * s->out, 0, s->out, sums);
    }
}

static void run(const side *s, const pair *weights, const bf16 *x, const float *bias, bf16 *y,
                char *lines) {
    if (s->kernel == 1)
        convolve_plain(s, weights, x, bias, y);
    else
        convolve(s, weights, x, bias, y, lines);
}

static void forward(const conv_shape *s, const void *packed, const void *x, const float *bias,
                    void *y, void *scratch) {
    const side f = forward_side(s);
    run(&f, packed, x, bias, y, scratch);
}

static void backward_data(const conv_shape *s, const float *weight, const void *dy, void *dx,
                          void *scratch) {
    const side b = backward_side(s);
    const int64_t taps = s->kernel * s->kernel;
    pack_side(&b, weight, taps, s->in * taps, true, scratch);
    run(&b, scratch, dy, NULL, dx, (char *)scratch + weight_bytes(&b));
}

const conv_algorithm conv_amx = {.takes = takes,
                                 .packed = packed_bytes,
                                 .scratch = scratch_bytes,
                                 .pack = pack,
                                 .forward = forward,
                                 .backward_data = backward_data};
