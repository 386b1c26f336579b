/* Convolutions with stride 1 between bf16 activations with AMX tiles, as matrix products of 16
 * pixels by 16 output channels.
 *
 * The 16 pixels of a tile must lie at a constant distance in memory, for every tap of the kernel.
 * So the pixels of a 3x3 convolution are copied into a zero-padded buffer: one position of zeros
 * after each row and a row of zeros between samples. Where a row is not a whole number of tiles,
 * several samples are interleaved pixel by pixel. The pixels in the buffer at a time are a chunk.
 * Its size is chosen so that the buffer and the sums of 32 output channels for all its pixels fit
 * the second-level cache (2 MB).
 *
 * These sums are accumulated over 64 input channels at a time, whose weights (36 KB) stay in the
 * first-level cache. After the last 64 they are rounded and written to the output. A 1x1 kernel
 * reads the activations in place, and all input channels at once.
 *
 * Backward by data is the same with the flipped kernel, input and output channels exchanged.
 */
#include "model/nn/kernels/conv_algorithms.h"

#include "model/nn/kernels/x86/amx.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/cpu.h"
#include "model/nn/kernels/bf16.h"

#include <omp.h>
#include <string.h>

enum {
    TWO_TILES = 2 * TILE,   /* pixels, or channels, of one micro-kernel */
    BUFFER_BYTES = 1 << 20, /* of a chunk and its sums, about */
    JOBS_PER_THREAD = 4,    /* at least, if there are as many */
    OUTPUTS_MIN = 128,      /* of a job: with fewer, copying the pixels would take longer */
    DEPTH = 2,              /* times 32 input channels at once, of a 3x3 kernel */
    INTERLEAVE_MAX = 4      /* samples */
};

typedef uint32_t pair; /* bf16 weights of an input channel and the next */

/* A convolution from `in` to `out` channels. Backward by data exchanges them. */
typedef struct direction {
    int64_t batch, height, width, in, out, kernel;
} direction;

static direction forward_direction(const conv_shape *s) {
    return (direction){s->batch, s->height, s->width, s->in, s->out, s->kernel};
}
static direction backward_direction(const conv_shape *s) {
    return (direction){s->batch, s->height, s->width, s->out, s->in, s->kernel};
}

/* The number of samples to interleave so that a row is a whole number of tiles. */
static int64_t interleave_of(int64_t width) {
    int64_t interleave = 1;
    while (width * interleave % TILE != 0) interleave *= 2;
    return interleave;
}

/* Independent of the batch: the result of a sample must not depend on the other samples. */
static bool supports(const conv_shape *s) {
    if (!cpu_has(CPU_AMX) || s->stride != 1 || s->x != TYPE_BF16 || s->y != TYPE_BF16 ||
        s->batch < 1 || s->height < 1 || s->width < 1 || s->in < 1 || s->in % TWO_TILES != 0 ||
        s->out < 1 || s->out % TWO_TILES != 0)
        return false;
    return s->kernel == 1 ? s->height * s->width % TILE == 0
                          : s->kernel == 3 && interleave_of(s->width) <= INTERLEAVE_MAX;
}

/* The partition into jobs, and the layout of a chunk. A group is `interleave` samples. A chunk is
 * `groups` whole groups, or `rows` rows of one group. A job is a chunk and one of `split` parts of
 * the output channels. */
typedef struct layout {
    int64_t interleave;
    int64_t row, across; /* positions of a row, and its tiles */
    int64_t groups, rows;
    int64_t step, plane; /* bf16 elements to the next position, to the next 32 channels */
    int64_t depth;       /* times 32 input channels at once */
    int64_t all_groups;  /* of the batch */
    int64_t parts;       /* chunks of a group, if it is more than one; else 1 */
    int64_t chunks, split, threads;
} layout;

static layout layout_of(const direction *s) {
    layout l = {.interleave = interleave_of(s->width), .threads = omp_get_max_threads()};
    l.row = (s->width + 1) * l.interleave, l.across = s->width * l.interleave / TILE;
    l.all_groups = (s->batch + l.interleave - 1) / l.interleave;
    const int64_t position = s->in * (int64_t)sizeof(bf16) + TWO_TILES * (int64_t)sizeof(float);
    const int64_t fit = BUFFER_BYTES / (l.row * position); /* rows */
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
    const int64_t positions = l.interleave + (l.groups * (l.rows + 1) + 1) * l.row;
    l.plane = (positions + 1) * TWO_TILES;
    l.split = (JOBS_PER_THREAD * l.threads + l.chunks - 1) / l.chunks;
    l.split = max_i64(1, min_i64(l.split, s->out / OUTPUTS_MIN));
    return l;
}

/* Bytes of the pixels of a chunk, and of its sums. */
static int64_t pixels_bytes(const direction *s, const layout *l) {
    return l->plane * (s->in / TWO_TILES) * (int64_t)sizeof(bf16);
}

static int64_t sums_bytes(const layout *l) {
    return round_up(l->groups * l->rows * l->across, 2) * 2 * TILE_UNITS * (int64_t)sizeof(float);
}

/* ---- weights: [out / 32][in / 32][tap][2][16 pairs of inputs][16 outputs] ---- */

static int64_t weight_bytes(const direction *s) {
    return s->kernel * s->kernel * s->in * s->out * (int64_t)sizeof(bf16);
}

/* weight: step_out and step_in elements from one output and one input to the next; flipped: the
 * taps in reverse order. */
static void pack_direction(const direction *s, const float *weight, int64_t step_out,
                           int64_t step_in, bool flipped, pair *to) {
    const int64_t taps = s->kernel * s->kernel, panel = taps * s->in * TILE;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += TILE)
        for (int64_t i = 0; i < s->in; i += TWO_TILES)
            for (int64_t p = 0; p < TILE; p++)
                for (int64_t t = 0; t < taps; t++) {
                    const int64_t block = i / TWO_TILES * taps + t;
                    bf16_pack_pairs(weight + o * step_out + (i + 2 * p) * step_in +
                                        (flipped ? taps - 1 - t : t),
                                    step_out, step_in,
                                    to + o / TWO_TILES * panel +
                                        (block * 2 + o / TILE % 2) * TILE_UNITS + p * TILE,
                                    TILE);
                }
}

static int64_t packed_bytes(const conv_shape *s) {
    const direction f = forward_direction(s);
    return weight_bytes(&f);
}

static void pack(const conv_shape *s, const float *weight, void *packed) {
    const direction f = forward_direction(s);
    const int64_t taps = s->kernel * s->kernel;
    pack_direction(&f, weight, s->in * taps, taps, false, packed);
}

/* Bytes of the buffers of all threads. */
static int64_t buffers_bytes(const direction *s) {
    const layout l = layout_of(s);
    return s->kernel == 1 ? 0 : l.threads * (pixels_bytes(s, &l) + sums_bytes(&l));
}

static int64_t scratch_bytes(const conv_shape *s, bool training) {
    const direction f = forward_direction(s), b = backward_direction(s);
    return training ? max_i64(buffers_bytes(&f), weight_bytes(&b) + buffers_bytes(&b))
                    : buffers_bytes(&f);
}

/* ---- copying pixels ---- */

/* `count` pixels of x (zeros if NULL) to every `interleave`th position from `to` on. */
TARGET_AVX512_BF16 static void copy_pixels(const direction *s, const layout *l, const bf16 *x,
                                           int64_t count, int64_t interleave, bf16 *to) {
    for (int64_t p = 0; p < count; p++, to += interleave * TWO_TILES)
        for (int64_t i = 0; i < s->in / TWO_TILES; i++)
            _mm512_store_si512(to + i * l->plane,
                               x ? _mm512_loadu_si512(x + p * s->in + i * TWO_TILES)
                                 : _mm512_setzero_si512());
}

/* Rows [y0, y0 + rows) of the group of samples from `sample`, each with its zeros after it; zeros
 * for rows and samples that do not exist. */
static void copy_rows(const direction *s, const layout *l, const bf16 *x, int64_t sample,
                      int64_t y0, int64_t rows, bf16 *to) {
    for (int64_t y = y0; y < y0 + rows; y++, to += l->row * TWO_TILES) {
        for (int64_t t = 0; t < l->interleave; t++) {
            bool inside = y >= 0 && y < s->height && sample + t < s->batch;
            const bf16 *from = x + ((sample + t) * s->height + y) * s->width * s->in;
            copy_pixels(s, l, inside ? from : NULL, s->width, l->interleave, to + t * TWO_TILES);
        }
        copy_pixels(s, l, NULL, l->interleave, 1, to + s->width * l->interleave * TWO_TILES);
    }
}

/* Rows [y0, y0 + rows) of the groups [group, group + groups). */
typedef struct chunk {
    int64_t group, groups, y0, rows;
} chunk;

static chunk chunk_at(const direction *s, const layout *l, int64_t index) {
    if (l->parts == 1)
        return (chunk){index * l->groups, min_i64(l->groups, l->all_groups - index * l->groups), 0,
                       s->height};
    const int64_t y0 = index % l->parts * l->rows;
    return (chunk){index / l->parts, 1, y0, min_i64(l->rows, s->height - y0)};
}

/* A chunk with zeros before its first row, and the rows above and below that taps reach. */
static void copy_chunk(const direction *s, const layout *l, const chunk *c, const bf16 *x,
                       bf16 *to) {
    copy_pixels(s, l, NULL, l->interleave, 1, to);
    to += l->interleave * TWO_TILES;
    copy_rows(s, l, x, c->group * l->interleave, c->y0 - 1, 1, to);
    to += l->row * TWO_TILES;
    for (int64_t g = 0; g < c->groups; g++, to += (c->rows + 1) * l->row * TWO_TILES)
        copy_rows(s, l, x, (c->group + g) * l->interleave, c->y0, c->rows + 1, to);
}

/* ---- products ---- */

/* The place of a tile of pixels in a chunk: its group, row and first position in the row. */
typedef struct place {
    int64_t group, row, first;
} place;

/* Advances to the next tile: down columns of two tiles, or of one if rows have an odd number of
 * tiles. So two of the three rows that a kernel reads have been read just before. */
static void place_next(place *at, const layout *l, const chunk *c) {
    const int64_t column = l->across % 2 == 0 ? TWO_TILES : TILE;
    at->first += TILE;
    if (at->first % column != 0) return;
    at->first -= column;
    if (++at->row < c->rows) return;
    at->row = 0;
    if (++at->group < c->groups) return;
    at->group = 0, at->first += column;
}

/* The micro-kernel: c [2 by pixels][2 by outputs][16][16] = or (if add) += the products of the
 * tiles of pixels at x[0] and x[1] and the weights w, over `depth` times 32 input channels. */
TARGET_AMX static void multiply(const direction *s, const layout *l, const bf16 *const x[2],
                                const pair *w, int64_t depth, bool add, float *c) {
    const int64_t whole = TILE * (int64_t)sizeof(pair), step = l->step * (int64_t)sizeof(bf16);
    const int64_t row = l->row * l->step, right_by = l->interleave * l->step;
    tiles_load_sums(add, c, c + 2 * TILE_UNITS);
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
    tiles_store_sums(c, c + 2 * TILE_UNITS);
}

/* Writes 32 outputs of 16 pixels to y, rounded, with the bias (may be NULL) added. bias and y begin
 * at the first of these outputs. */
TARGET_AVX512_BF16 static void write_outputs(const direction *s, const layout *l, const chunk *k,
                                             const place *at, const float *c, const float *bias,
                                             bf16 *y) {
    const __m512 low = bias ? _mm512_loadu_ps(bias) : _mm512_setzero_ps();
    const __m512 high = bias ? _mm512_loadu_ps(bias + TILE) : _mm512_setzero_ps();
    const int64_t sample = (k->group + at->group) * l->interleave,
                  sample_size = s->height * s->width * s->out;
    const int64_t samples = min_i64(l->interleave, s->batch - sample);
    y += sample * sample_size + ((k->y0 + at->row) * s->width + at->first / l->interleave) * s->out;
    for (int64_t p = 0; p < TILE; p += l->interleave, y += s->out)
        for (int64_t t = 0; t < samples; t++) {
            const __m512 a = _mm512_add_ps(_mm512_load_ps(c + (p + t) * TILE), low);
            const __m512 b = _mm512_add_ps(_mm512_load_ps(c + TILE_UNITS + (p + t) * TILE), high);
            _mm512_storeu_si512(y + t * sample_size, (__m512i)_mm512_cvtne2ps_pbh(b, a));
        }
}

/* The pixels of a tile, for the first tap. */
static const bf16 *place_pixels(const place *at, const layout *l, const chunk *c,
                                const bf16 *pixels) {
    return pixels + ((at->group * (c->rows + 1) + at->row) * l->row + at->first) * l->step;
}

/* The outputs [first, last) of all pixels of a chunk. sums: sums_bytes(), or those of two tiles of
 * pixels if all inputs are processed at once. */
TARGET_AMX static void run_chunk(const direction *s, const layout *l, const chunk *k,
                                 const bf16 *pixels, const pair *weights, const float *bias,
                                 bf16 *y, int64_t first, int64_t last, float *sums) {
    const int64_t tiles = k->groups * k->rows * l->across;
    const int64_t taps = s->kernel * s->kernel, blocks = s->in / TWO_TILES;
    tiles_begin_full();
    for (int64_t o = first; o < last; o += TWO_TILES) {
        for (int64_t i = 0; i < blocks; i += l->depth) {
            const int64_t depth = min_i64(l->depth, blocks - i);
            const pair *w = weights + (o / TWO_TILES * blocks + i) * taps * 2 * TILE_UNITS;
            place at = {0};
            for (int64_t t = 0; t < tiles; t += 2) {
                float *c = sums + (depth < blocks ? t * 2 * TILE_UNITS : 0);
                const int64_t count = min_i64(2, tiles - t);
                place two[2] = {at, at};
                if (count == 2) place_next(&two[1], l, k);
                const bf16 *const x[2] = {place_pixels(&two[0], l, k, pixels) + i * l->plane,
                                          place_pixels(&two[1], l, k, pixels) + i * l->plane};
                multiply(s, l, x, w, depth, i > 0, c);
                TILES_SETTLED();
                for (int64_t n = 0; n < count && i + depth == blocks; n++)
                    write_outputs(s, l, k, &two[n], c + n * 2 * TILE_UNITS, bias ? bias + o : NULL,
                                  y + o);
                TILES_SETTLED();
                at = two[1];
                place_next(&at, l, k);
            }
        }
    }
    _tile_release();
}

static void convolve(const direction *s, const pair *weights, const bf16 *x, const float *bias,
                     bf16 *y, char *buffers) {
    const layout l = layout_of(s);
    const int64_t outputs = round_up((s->out + l.split - 1) / l.split, TWO_TILES);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int64_t index = 0; index < l.chunks; index++)
        for (int64_t part = 0; part < l.split; part++) {
            if (part * outputs >= s->out) continue;
            const chunk c = chunk_at(s, &l, index);
            char *own = buffers + omp_get_thread_num() * (pixels_bytes(s, &l) + sums_bytes(&l));
            bf16 *pixels = (bf16 *)(void *)(own + sums_bytes(&l));
            copy_chunk(s, &l, &c, x, pixels);
            run_chunk(s, &l, &c, pixels, weights, bias, y, part * outputs,
                      min_i64(s->out, (part + 1) * outputs), (float *)(void *)own);
        }
}

/* A 1x1 kernel: the activations are one row of pixels, read in place. */
static void convolve_1x1(const direction *s, const pair *weights, const bf16 *x, const float *bias,
                         bf16 *y) {
    enum { PIXELS = 512 }; /* of a job */
    const int64_t pixels = s->batch * s->height * s->width;
#pragma omp parallel for schedule(dynamic)
    for (int64_t p = 0; p < pixels; p += PIXELS) {
        const int64_t width = min_i64(PIXELS, pixels - p);
        const direction part = {1, 1, width, s->in, s->out, 1};
        const layout own = {.interleave = 1,
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

static void run(const direction *s, const pair *weights, const bf16 *x, const float *bias, bf16 *y,
                char *buffers) {
    if (s->kernel == 1)
        convolve_1x1(s, weights, x, bias, y);
    else
        convolve(s, weights, x, bias, y, buffers);
}

static void forward(const conv_shape *s, const void *packed, const void *x, const float *bias,
                    void *y, void *scratch) {
    const direction f = forward_direction(s);
    run(&f, packed, x, bias, y, scratch);
}

static void backward_data(const conv_shape *s, const float *weight, const void *dy, void *dx,
                          void *scratch) {
    const direction b = backward_direction(s);
    const int64_t taps = s->kernel * s->kernel;
    pack_direction(&b, weight, taps, s->in * taps, true, scratch);
    run(&b, scratch, dy, NULL, dx, (char *)scratch + weight_bytes(&b));
}

const conv_algorithm conv_amx = {.supports = supports,
                                 .packed = packed_bytes,
                                 .scratch = scratch_bytes,
                                 .pack = pack,
                                 .forward = forward,
                                 .backward_data = backward_data};
