/* Weight gradients of 1x1 and 3x3 convolutions between bf16 activations with AMX tiles, as matrix
 * products over one long sequence of positions.
 *
 * The positions are the pixels of all samples in order, with one position of zeros after each row
 * and a row of zeros after each sample. So a tap of the kernel is a fixed distance in the sequence:
 *
 *   dw[tap][i][o] = sum over positions p of x[p][i] dy[p - distance(tap)][o]
 *
 * A 1x1 kernel needs no zeros. AMX sums along the rows of its left operand, so x is transposed to
 * have a channel's positions contiguous, and dy is packed into pairs of neighbouring positions. The
 * pairs exist twice, once for even and once for odd distances, so that every tile of dy is 64-byte
 * aligned. Both operands are prepared for a chunk of positions that fits the second-level cache
 * (2 MB; up to 256 channels), and used for all taps.
 *
 * A job is a part of the positions and a block of input channels, with sums of its own. The sums of
 * the parts are added in order at the end.
 */
#include "model/nn/kernels/conv_algorithms.h"

#include "model/nn/kernels/x86/amx.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/x86/gradient_sums.h"
#include "model/nn/kernels/cpu.h"

#include <omp.h>
#include <string.h>

enum {
    STEP = 2 * TILE,        /* positions that one instruction sums over */
    CHUNK = 1024,           /* positions; twice as many if they fit BUFFER_BYTES */
    BUFFER_BYTES = 1 << 20, /* of one thread */
    BLOCK = 128,            /* input channels of a job, at most */
    TWO_TILES = 2 * TILE,   /* channels of one micro-kernel */
    JOBS_PER_THREAD = 2,
    PART_MIN = 2048 /* positions: with shorter parts the final addition takes too long */
};

/* Every processor with AMX has VBMI2. */
#define TARGET_AVX512_VBMI2                                                                        \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vbmi2,avx2,fma")))

typedef uint32_t pair; /* bf16 elements at one position and the next */

static bool supports(const conv_shape *s) {
    return cpu_has(CPU_AMX) && s->stride == 1 && s->x == TYPE_BF16 && s->y == TYPE_BF16 &&
           s->batch > 0 && s->height > 0 && s->width > 0 && s->in > 0 && s->in % TWO_TILES == 0 &&
           s->out > 0 && s->out % TWO_TILES == 0;
}

/* The partition into jobs, and the layout of the operands and sums:
 *
 *   x      [channels of a block / 16][positions / 32][16 channels][32 positions]
 *   pairs  of dy, from `lead` positions before the chunk:
 *          [even, odd distances][out / 16][pair of positions][16]
 *   sums   [part][tap][in / 16][out / 16][16][16]; those of dy [part][out]
 */
typedef struct layout {
    int64_t taps;
    int64_t row, sample, count, lead; /* positions; count: of all samples */
    int64_t parts, part;              /* parts of all positions; positions of a part */
    int64_t blocks, block;            /* blocks of input channels; channels of a block */
    int64_t chunk;                    /* positions */
    int64_t x_tile;                   /* bf16 elements of 16 channels of x */
    int64_t dy_tile, dy_phase;        /* pairs of 16 channels of dy, of all channels */
    int64_t phases;                   /* of dy: 2, or 1 if there are no odd distances */
    int64_t sums;                     /* of a part */
    int64_t threads;
} layout;

/* Padding of one tile (x) and one cache line (dy) keeps tiles of different channels from mapping to
 * the same cache sets. */
static void lay_out_chunk(const conv_shape *s, layout *l, int64_t chunk) {
    l->chunk = chunk;
    l->x_tile = (chunk + STEP) * TILE;
    l->dy_tile = round_up(chunk + 2 * l->lead, STEP) / 2 * TILE + TILE;
    l->dy_phase = s->out / TILE * l->dy_tile;
}

/* Bytes of the operands of one thread. */
static int64_t thread_bytes(const layout *l) {
    return l->block / TILE * l->x_tile * (int64_t)sizeof(bf16) +
           l->phases * l->dy_phase * (int64_t)sizeof(pair);
}

static layout layout_of(const conv_shape *s) {
    const int64_t pad = s->kernel / 2;
    layout l = {.taps = s->kernel * s->kernel, .row = s->width + pad};
    l.sample = (s->height + pad) * l.row;
    l.count = s->batch * l.sample;
    l.lead = round_up(pad * (l.row + 1), 2);
    l.blocks = (s->in + BLOCK - 1) / BLOCK;
    l.block = round_up((s->in + l.blocks - 1) / l.blocks, TWO_TILES);
    l.threads = omp_get_max_threads();
    l.parts = (JOBS_PER_THREAD * l.threads + l.blocks - 1) / l.blocks;
    l.parts = max_i64(1, min_i64(l.parts, l.count / PART_MIN));
    l.part = round_up((l.count + l.parts - 1) / l.parts, STEP);
    l.parts = (l.count + l.part - 1) / l.part; /* no part is empty */
    l.phases = 1 + pad;
    lay_out_chunk(s, &l, 2 * CHUNK);
    if (thread_bytes(&l) > BUFFER_BYTES) lay_out_chunk(s, &l, CHUNK);
    l.sums = l.taps * s->in * s->out;
    return l;
}

static int64_t sums_bytes(const layout *l) { return l->parts * l->sums * (int64_t)sizeof(float); }

static int64_t scratch_bytes(const conv_shape *s) {
    const layout l = layout_of(s);
    return zeros_bytes(s) + sums_bytes(&l) + bias_bytes(s, l.parts) + l.threads * thread_bytes(&l);
}

typedef struct job {
    const conv_shape *shape;
    layout at;
    const bf16 *x, *dy, *zeros;
    float *sums;
    double *bias; /* NULL: not wanted */
} job;

/* ---- iterating over positions ---- */

/* An iterator over the positions of x or dy (`pixels`). */
typedef struct cursor {
    const conv_shape *shape;
    const layout *at;
    int64_t position, y, x, channels;
    int64_t sample; /* offset of the sample in elements; may lie outside the array */
    const bf16 *pixels, *zeros;
} cursor;

/* `position` may be negative, by at most the positions of a sample. */
static cursor cursor_at(const job *j, const bf16 *pixels, int64_t channels, int64_t position) {
    cursor c = {.shape = j->shape, .at = &j->at, .position = position, .channels = channels};
    const int64_t elements = j->shape->height * j->shape->width * channels;
    const int64_t moved = position + j->at.sample, sample = moved / j->at.sample - 1;
    c.y = moved % j->at.sample / j->at.row, c.x = moved % j->at.sample % j->at.row;
    c.sample = sample * elements, c.pixels = pixels, c.zeros = j->zeros;
    return c;
}

/* The channels at the cursor's position (zeros outside the samples); advances the cursor. */
static inline const bf16 *cursor_next(cursor *c) {
    const conv_shape *s = c->shape;
    bool inside =
        c->position >= 0 && c->position < c->at->count && c->y < s->height && c->x < s->width;
    const bf16 *pixel =
        inside ? c->pixels + c->sample + (c->y * s->width + c->x) * c->channels : c->zeros;
    c->position++;
    if (++c->x == c->at->row) {
        c->x = 0;
        if (++c->y * c->at->row == c->at->sample) {
            c->y = 0;
            c->sample += s->height * s->width * c->channels;
        }
    }
    return pixel;
}

/* ---- packing ---- */

/* Channels [c, c + 8) of the pixels `first`, first + 8, first + 16 and first + 24. */
INLINE_AVX512_BF16 __m512i four_pixels(const bf16 *const pixel[STEP], int first, int64_t c) {
    const void *at[4];
    for (int i = 0; i < 4; i++) at[i] = pixel[first + 8 * i] + c;
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128(at[0]));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, _mm_loadu_si128(at[1]));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, _mm_loadu_si128(at[2]));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, _mm_loadu_si128(at[3]));
}

/* Channels [c, c + 8) of 32 pixels, transposed, to 8 rows of a tile. */
INLINE_AVX512_BF16 void transpose_eight(const bf16 *const pixel[STEP], int64_t c, bf16 *rows) {
    __m512i a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = four_pixels(pixel, i, c);
    for (int i = 0; i < 4; i++) {
        b[2 * i] = _mm512_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int h = 0; h < 2; h++) {
            a[i + 2 * h] = _mm512_unpacklo_epi32(b[i + h], b[i + 2 + h]);
            a[i + 2 * h + 1] = _mm512_unpackhi_epi32(b[i + h], b[i + 2 + h]);
        }
    for (int i = 0; i < 4; i++) {
        _mm512_store_si512(rows + 2 * i * STEP, _mm512_unpacklo_epi64(a[i], a[i + 4]));
        _mm512_store_si512(rows + (2 * i + 1) * STEP, _mm512_unpackhi_epi64(a[i], a[i + 4]));
    }
}

/* Tiles of the channels [c, c + channels) of x at the positions [first, first + count). */
TARGET_AVX512_BF16 static void transpose_x(const job *j, int64_t c, int64_t channels, int64_t first,
                                           int64_t count, bf16 *tiles) {
    cursor at = cursor_at(j, j->x, j->shape->in, first);
    for (int64_t p = 0; p < count; p += STEP) {
        const bf16 *pixel[STEP];
        for (int i = 0; i < STEP; i++) pixel[i] = cursor_next(&at);
        for (int64_t k = 0; k < channels; k += 8)
            transpose_eight(pixel, c + k,
                            tiles + k / TILE * j->at.x_tile + p * TILE + k % TILE * STEP);
    }
}

/* 32 channels of two pixels as two vectors of 16 pairs. */
INLINE_AVX512_BF16 void pair_pixels(const bf16 *a, const bf16 *b, __m512i pairs[2]) {
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(TILE));
    const __m512i x = _mm512_loadu_si512(a), y = _mm512_loadu_si512(b);
    pairs[0] = _mm512_permutex2var_epi16(x, low, y);
    pairs[1] = _mm512_permutex2var_epi16(x, high, y);
}

/* Pairs of all channels of dy at the positions [first, first + count), for even and, if needed, odd
 * distances. A pair for odd distances is made of the upper half of a pair for even distances and
 * the lower half of the next one. */
TARGET_AVX512_VBMI2 static void pack_dy(const job *j, int64_t first, int64_t count, pair *pairs) {
    const layout *l = &j->at;
    cursor at = cursor_at(j, j->dy, j->shape->out, first);
    const bf16 *pixel[STEP + 2];
    for (int i = 0; i < 2; i++) pixel[STEP + i] = cursor_next(&at);
    for (int64_t p = 0; p < count; p += STEP) {
        for (int i = 0; i < 2; i++) pixel[i] = pixel[STEP + i];
        for (int i = 2; i < STEP + 2; i++) pixel[i] = cursor_next(&at);
        for (int64_t o = 0; o < j->shape->out; o += TWO_TILES) {
            pair *to = pairs + o / TILE * l->dy_tile + p / 2 * TILE;
            __m512i here[2], next[2];
            pair_pixels(pixel[0] + o, pixel[1] + o, here);
            for (int i = 0; i < TILE; i++) {
                pair_pixels(pixel[2 * i + 2] + o, pixel[2 * i + 3] + o, next);
                for (int h = 0; h < 2; h++) {
                    pair *dest = to + h * l->dy_tile + i * TILE;
                    _mm512_store_si512(dest, here[h]);
                    if (l->phases == 2)
                        _mm512_store_si512(dest + l->dy_phase,
                                           _mm512_shrdi_epi32(here[h], next[h], 16));
                    here[h] = next[h];
                }
            }
        }
    }
}

/* bias [out] += the sum of dy over `count` positions, given as pairs. */
TARGET_AVX512_BF16 static void add_bias(const job *j, const pair *pairs, int64_t count,
                                        double *bias) {
    for (int64_t o = 0; o < j->shape->out; o += TILE)
        add_pairs(pairs + o / TILE * j->at.dy_tile, TILE, count / 2, bias + o);
}

/* ---- products ---- */

/* The micro-kernel: c [2 by in][2 by out][16][16] = or (if add) += the products over `steps` times
 * 32 positions; c_row: from the first 16 inputs to the next. */
TARGET_AMX static void multiply(const bf16 *x, int64_t x_tile, const pair *dy, int64_t dy_tile,
                                int64_t steps, bool add, float *c, int64_t c_row) {
    const int64_t whole = TILE * (int64_t)sizeof *c;
    tiles_load_sums(add, c, c + c_row);
    for (int64_t i = 0; i < steps; i++) {
        _tile_loadd(4, x + i * STEP * TILE, whole);
        _tile_loadd(6, dy + i * TILE_UNITS, whole);
        _tile_loadd(7, dy + dy_tile + i * TILE_UNITS, whole);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, x + x_tile + i * STEP * TILE, whole);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        if (i % 16 == 15) _tile_stored(0, c, whole); /* see amx.h */
    }
    tiles_store_sums(c, c + c_row);
}

/* The sums of a job = or (if add) += the products over one chunk. */
TARGET_AMX static void add_chunk(const job *j, const bf16 *x, const pair *dy, int64_t count,
                                 int64_t channels, bool add, float *sums) {
    const conv_shape *s = j->shape;
    const layout *l = &j->at;
    const int64_t c_row = s->out / TILE * TILE_UNITS, pad = s->kernel / 2;
    for (int64_t k = 0; k < channels; k += TWO_TILES)
        for (int64_t o = 0; o < s->out; o += TWO_TILES)
            for (int64_t t = 0; t < l->taps; t++) {
                const int64_t down = t / s->kernel - pad, right = t % s->kernel - pad;
                const int64_t from = l->lead - (down * l->row + right);
                multiply(x + k / TILE * l->x_tile, l->x_tile,
                         dy + from % 2 * l->dy_phase + o / TILE * l->dy_tile + from / 2 * TILE,
                         l->dy_tile, count / STEP, add,
                         sums + t * s->in * s->out + k / TILE * c_row + o / TILE * TILE_UNITS,
                         c_row);
            }
}

TARGET_AMX static void run_job(const job *j, int64_t part, int64_t block, void *own) {
    const conv_shape *s = j->shape;
    const layout *l = &j->at;
    bf16 *x = own;
    pair *dy = (pair *)(void *)(x + l->block / TILE * l->x_tile);
    const int64_t c = block * l->block, channels = min_i64(l->block, s->in - c);
    const int64_t begin = part * l->part, end = min_i64(begin + l->part, round_up(l->count, STEP));
    float *sums = j->sums + part * l->sums + c / TILE * (s->out / TILE) * TILE_UNITS;
    tiles_begin_full();
    for (int64_t p = begin; p < end; p += l->chunk) {
        const int64_t count = min_i64(l->chunk, end - p);
        transpose_x(j, c, channels, p, count, x);
        pack_dy(j, p - l->lead, round_up(count + 2 * l->lead, STEP), dy);
        if (j->bias && block == 0)
            add_bias(j, dy + l->lead / 2 * TILE, count, j->bias + part * s->out);
        TILES_SETTLED();
        add_chunk(j, x, dy, count, channels, p > begin, sums);
        TILES_SETTLED();
    }
    _tile_release();
}

/* dw += the sums of the 16 inputs from k and the 16 outputs from o. */
TARGET_AVX512_BF16 static void reduce(const job *j, int64_t k, int64_t o, float *dw) {
    const conv_shape *s = j->shape;
    const layout *l = &j->at;
    const sums_layout at = {
        .input = TILE, .tap = s->in * s->out, .part = l->sums, .taps = l->taps, .parts = l->parts};
    reduce_sums(&at, j->sums + (k / TILE * (s->out / TILE) + o / TILE) * TILE_UNITS,
                dw + (o * s->in + k) * l->taps, s->in * l->taps);
}

static void add(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                void *scratch) {
    job j = {.shape = s, .at = layout_of(s), .x = x, .dy = dy, .zeros = scratch};
    const layout *l = &j.at;
    char *bias = (char *)scratch + zeros_bytes(s), *sums = bias + bias_bytes(s, l->parts);
    char *own = sums + sums_bytes(l);
    memset(scratch, 0, (size_t)(zeros_bytes(s) + bias_bytes(s, l->parts)));
    j.sums = (float *)(void *)sums;
    j.bias = db ? (double *)(void *)bias : NULL;
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int64_t part = 0; part < l->parts; part++)
        for (int64_t block = 0; block < l->blocks; block++)
            run_job(&j, part, block, own + omp_get_thread_num() * thread_bytes(l));
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += TILE)
        for (int64_t k = 0; k < s->in; k += TILE) reduce(&j, k, o, dw);
    if (db) reduce_bias(j.bias, l->parts, s->out, db);
}

const weight_gradient_algorithm weight_gradient_amx = {
    .supports = supports, .scratch = scratch_bytes, .add = add};
