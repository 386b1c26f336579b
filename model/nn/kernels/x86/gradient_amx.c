/* A weight gradient as products of one long line of pixels.
 *
 * The pixels of all maps lie in one line, each row followed by one position of zeros and each map
 * by a row of them. So a tap of the kernel is a distance in the line, whatever the pixel:
 *
 *   dw[tap][i][o] = sum over positions p of x[p][i] dy[p - distance(tap)][o]
 *
 * A 1x1 kernel needs no zeros. Tiles want their sum along the rows of x, whose channels are
 * therefore turned into rows, and pairs of neighbours of dy; these are made for even and for odd
 * distances, so that every tile begins where a line of the cache does: 1.3 times as fast. Both are
 * made for a stretch of the line that fits the second-level cache (2 MB; up to 256 channels), and
 * used for all taps.
 *
 * A job is a part of the line and a block of input channels, with sums of its own; the parts' are
 * added in order at the end.
 */
#include "model/nn/kernels/conv_algorithms.h"

#include "model/nn/kernels/x86/amx.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/x86/gradient_sums.h"
#include "model/nn/kernels/cpu.h"

#include <omp.h>
#include <string.h>

enum {
    TILE_SUMS = TILE * TILE, /* of a tile */
    STEP = 2 * TILE,         /* positions that one instruction sums over */
    STRETCH = 1024,          /* positions at once; twice as many where there is room: */
    ROOM_BYTES = 1 << 20,
    BLOCK = 128,          /* input channels of a job, at most */
    TWO_TILES = 2 * TILE, /* channels that go together */
    JOBS_A_THREAD = 2,
    MIN_PART = 2048 /* positions: shorter ones spend too long adding up */
};

/* Whoever has tiles has VBMI2. */
#define PAIRED                                                                                     \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vbmi2,avx2,fma")))

typedef uint32_t pair; /* numbers at one position and the next */

static bool takes(const conv_shape *s) {
    return cpu_has(CPU_AMX) && s->stride == 1 && s->x == TYPE_BF16 && s->y == TYPE_BF16 &&
           s->batch > 0 && s->height > 0 && s->width > 0 && s->in > 0 && s->in % TWO_TILES == 0 &&
           s->out > 0 && s->out % TWO_TILES == 0;
}

/* What lies where. Tiles of x: [channels of a block / 16][positions / 32][16 channels][32
 * positions]; pairs of dy, the first `lead` positions before the stretch: [even, odd distances][out
 * / 16][pair of positions][16]; sums: [part][tap][in / 16][out / 16][16][16] and, of dy,
 * [part][out]. */
typedef struct layout {
    int64_t taps, row, map, count, lead; /* positions; of the whole line: count */
    int64_t parts, part, blocks, block;
    int64_t stretch, x_tile, dy_tile, dy_phase, phases, sums, threads;
} layout;

/* A line of the cache more, lest tiles of x and of dy fall on the same sets. */
static void lay_out_stretch(const conv_shape *s, layout *l, int64_t stretch) {
    l->stretch = stretch;
    l->x_tile = (stretch + STEP) * TILE;
    l->dy_tile = round_up(stretch + 2 * l->lead, STEP) / 2 * TILE + TILE;
    l->dy_phase = s->out / TILE * l->dy_tile;
}

/* Bytes of one thread. */
static int64_t own_bytes(const layout *l) {
    return l->block / TILE * l->x_tile * (int64_t)sizeof(bf16) +
           l->phases * l->dy_phase * (int64_t)sizeof(pair);
}

static layout layout_of(const conv_shape *s) {
    const int64_t pad = s->kernel / 2;
    layout l = {.taps = s->kernel * s->kernel, .row = s->width + pad};
    l.map = (s->height + pad) * l.row;
    l.count = s->batch * l.map;
    l.lead = round_up(pad * (l.row + 1), 2);
    l.blocks = (s->in + BLOCK - 1) / BLOCK;
    l.block = round_up((s->in + l.blocks - 1) / l.blocks, TWO_TILES);
    l.threads = omp_get_max_threads();
    l.parts = (JOBS_A_THREAD * l.threads + l.blocks - 1) / l.blocks;
    l.parts = max_i64(1, min_i64(l.parts, l.count / MIN_PART));
    l.part = round_up((l.count + l.parts - 1) / l.parts, STEP);
    l.parts = (l.count + l.part - 1) / l.part; /* none is empty */
    l.phases = 1 + pad;
    lay_out_stretch(s, &l, 2 * STRETCH);
    if (own_bytes(&l) > ROOM_BYTES) lay_out_stretch(s, &l, STRETCH);
    l.sums = l.taps * s->in * s->out;
    return l;
}

/* Bytes of the sums, and of the zeros that stand for pixels outside. */
static int64_t sums_bytes(const layout *l) { return l->parts * l->sums * (int64_t)sizeof(float); }
static int64_t bias_bytes(const conv_shape *s, const layout *l) {
    return round_up(l->parts * s->out * (int64_t)sizeof(double), 64);
}
static int64_t zeros_bytes(const conv_shape *s) {
    return round_up(max_i64(s->in, s->out) * (int64_t)sizeof(bf16), 64);
}

static int64_t scratch_bytes(const conv_shape *s) {
    const layout l = layout_of(s);
    return zeros_bytes(s) + sums_bytes(&l) + bias_bytes(s, &l) + l.threads * own_bytes(&l);
}

typedef struct job {
    const conv_shape *shape;
    layout at;
    const bf16 *x, *dy, *zeros;
    float *sums;
    double *bias; /* NULL: nobody asks */
} job;

/* ---- walking along the line ---- */

typedef struct walk {
    const conv_shape *shape;
    const layout *at;
    int64_t position, y, x, channels;
    int64_t sample; /* where its map begins, in numbers; perhaps outside */
    const bf16 *maps, *zeros;
} walk;

/* `position` may lie before the beginning, by no more than a map. */
static walk walk_from(const job *j, const bf16 *map, int64_t channels, int64_t position) {
    walk w = {.shape = j->shape, .at = &j->at, .position = position, .channels = channels};
    const int64_t map_numbers = j->shape->height * j->shape->width * channels;
    const int64_t moved = position + j->at.map, sample = moved / j->at.map - 1;
    w.y = moved % j->at.map / j->at.row, w.x = moved % j->at.map % j->at.row;
    w.sample = sample * map_numbers, w.maps = map, w.zeros = j->zeros;
    return w;
}

/* The channels at this position; on to the next. */
static inline const bf16 *walk_on(walk *w) {
    const conv_shape *s = w->shape;
    bool inside =
        w->position >= 0 && w->position < w->at->count && w->y < s->height && w->x < s->width;
    const bf16 *pixel =
        inside ? w->maps + w->sample + (w->y * s->width + w->x) * w->channels : w->zeros;
    w->position++;
    if (++w->x == w->at->row) {
        w->x = 0;
        if (++w->y * w->at->row == w->at->map) {
            w->y = 0;
            w->sample += s->height * s->width * w->channels;
        }
    }
    return pixel;
}

/* Eight channels of four pixels. */
NATIVE_INLINE __m512i four_pixels(const bf16 *const pixel[STEP], int first, int64_t c) {
    const void *at[4];
    for (int i = 0; i < 4; i++) at[i] = pixel[first + 8 * i] + c;
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128(at[0]));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, _mm_loadu_si128(at[1]));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, _mm_loadu_si128(at[2]));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, _mm_loadu_si128(at[3]));
}

/* Channels [c, c + 8) of 32 pixels to 8 lines of a tile. */
NATIVE_INLINE void turn_eight(const bf16 *const pixel[STEP], int64_t c, bf16 *lines) {
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
        _mm512_store_si512(lines + 2 * i * STEP, _mm512_unpacklo_epi64(a[i], a[i + 4]));
        _mm512_store_si512(lines + (2 * i + 1) * STEP, _mm512_unpackhi_epi64(a[i], a[i + 4]));
    }
}

/* `count` positions from `first` as tiles of the channels [c, c + channels). */
NATIVE static void turn_x(const job *j, int64_t c, int64_t channels, int64_t first, int64_t count,
                          bf16 *tiles) {
    walk w = walk_from(j, j->x, j->shape->in, first);
    for (int64_t p = 0; p < count; p += STEP) {
        const bf16 *pixel[STEP];
        for (int i = 0; i < STEP; i++) pixel[i] = walk_on(&w);
        for (int64_t k = 0; k < channels; k += 8)
            turn_eight(pixel, c + k, tiles + k / TILE * j->at.x_tile + p * TILE + k % TILE * STEP);
    }
}

/* Channels [c, c + 32) of two pixels as two rows of pairs. */
NATIVE_INLINE void pair_pixels(const bf16 *a, const bf16 *b, __m512i pairs[2]) {
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(TILE));
    const __m512i x = _mm512_loadu_si512(a), y = _mm512_loadu_si512(b);
    pairs[0] = _mm512_permutex2var_epi16(x, low, y);
    pairs[1] = _mm512_permutex2var_epi16(x, high, y);
}

/* Pairs of `count` positions from `first`, all channels, in each phase: those of odd distances are
 * neighbouring halves of neighbouring even ones. */
PAIRED static void pair_dy(const job *j, int64_t first, int64_t count, pair *pairs) {
    const layout *l = &j->at;
    walk w = walk_from(j, j->dy, j->shape->out, first);
    const bf16 *pixel[STEP + 2];
    for (int i = 0; i < 2; i++) pixel[STEP + i] = walk_on(&w);
    for (int64_t p = 0; p < count; p += STEP) {
        for (int i = 0; i < 2; i++) pixel[i] = pixel[STEP + i];
        for (int i = 2; i < STEP + 2; i++) pixel[i] = walk_on(&w);
        for (int64_t o = 0; o < j->shape->out; o += TWO_TILES) {
            pair *to = pairs + o / TILE * l->dy_tile + p / 2 * TILE;
            __m512i here[2], next[2];
            pair_pixels(pixel[0] + o, pixel[1] + o, here);
            for (int i = 0; i < TILE; i++) {
                pair_pixels(pixel[2 * i + 2] + o, pixel[2 * i + 3] + o, next);
                for (int h = 0; h < 2; h++) {
                    pair *at = to + h * l->dy_tile + i * TILE;
                    _mm512_store_si512(at, here[h]);
                    if (l->phases == 2)
                        _mm512_store_si512(at + l->dy_phase,
                                           _mm512_shrdi_epi32(here[h], next[h], 16));
                    here[h] = next[h];
                }
            }
        }
    }
}

/* bias [out] += the sum of `count` positions of these pairs. */
NATIVE static void add_bias(const job *j, const pair *pairs, int64_t count, double *bias) {
    for (int64_t o = 0; o < j->shape->out; o += TILE)
        add_pairs(pairs + o / TILE * j->at.dy_tile, TILE, count / 2, bias + o);
}

/* ---- products ---- */

/* 32 x 32 sums c [in / 16][out / 16][16][16] = or += over `steps` times 32 positions. */
TILED static void multiply(const bf16 *x, int64_t x_tile, const pair *dy, int64_t dy_tile,
                           int64_t steps, bool add, float *c, int64_t c_row) {
    const int64_t whole = TILE * (int64_t)sizeof *c;
    float *below = c + c_row;
    if (add) {
        _tile_loadd(0, c, whole);
        _tile_loadd(1, c + TILE_SUMS, whole);
        _tile_loadd(2, below, whole);
        _tile_loadd(3, below + TILE_SUMS, whole);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t i = 0; i < steps; i++) {
        _tile_loadd(4, x + i * STEP * TILE, whole);
        _tile_loadd(6, dy + i * TILE_SUMS, whole);
        _tile_loadd(7, dy + dy_tile + i * TILE_SUMS, whole);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, x + x_tile + i * STEP * TILE, whole);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        if (i % 16 == 15) _tile_stored(0, c, whole); /* see amx.h */
    }
    _tile_stored(0, c, whole);
    _tile_stored(1, c + TILE_SUMS, whole);
    _tile_stored(2, below, whole);
    _tile_stored(3, below + TILE_SUMS, whole);
}

/* Adds one stretch to the sums of a job, or begins them. */
TILED static void add_stretch(const job *j, const bf16 *x, const pair *dy, int64_t count,
                              int64_t channels, bool add, float *sums) {
    const conv_shape *s = j->shape;
    const layout *l = &j->at;
    const int64_t c_row = s->out / TILE * TILE_SUMS, pad = s->kernel / 2;
    for (int64_t k = 0; k < channels; k += TWO_TILES)
        for (int64_t o = 0; o < s->out; o += TWO_TILES)
            for (int64_t t = 0; t < l->taps; t++) {
                const int64_t down = t / s->kernel - pad, right = t % s->kernel - pad;
                const int64_t from = l->lead - (down * l->row + right);
                multiply(x + k / TILE * l->x_tile, l->x_tile,
                         dy + from % 2 * l->dy_phase + o / TILE * l->dy_tile + from / 2 * TILE,
                         l->dy_tile, count / STEP, add,
                         sums + t * s->in * s->out + k / TILE * c_row + o / TILE * TILE_SUMS,
                         c_row);
            }
}

TILED static void run_job(const job *j, int64_t part, int64_t block, void *own) {
    const conv_shape *s = j->shape;
    const layout *l = &j->at;
    bf16 *x = own;
    pair *dy = (pair *)(void *)(x + l->block / TILE * l->x_tile);
    const int64_t c = block * l->block, channels = min_i64(l->block, s->in - c);
    const int64_t begin = part * l->part, end = min_i64(begin + l->part, round_up(l->count, STEP));
    float *sums = j->sums + part * l->sums + c / TILE * (s->out / TILE) * TILE_SUMS;
    tiles_begin((const uint8_t[8]){TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE});
    for (int64_t p = begin; p < end; p += l->stretch) {
        const int64_t count = min_i64(l->stretch, end - p);
        turn_x(j, c, channels, p, count, x);
        pair_dy(j, p - l->lead, round_up(count + 2 * l->lead, STEP), dy);
        if (j->bias && block == 0)
            add_bias(j, dy + l->lead / 2 * TILE, count, j->bias + part * s->out);
        TILES_SETTLED();
        add_stretch(j, x, dy, count, channels, p > begin, sums);
        TILES_SETTLED();
    }
    _tile_release();
}

/* dw += the parts' sums of 16 x 16 channels. */
NATIVE static void deliver(const job *j, int64_t k, int64_t o, float *dw) {
    const conv_shape *s = j->shape;
    const layout *l = &j->at;
    const sums_layout at = {
        .input = TILE, .tap = s->in * s->out, .part = l->sums, .taps = l->taps, .parts = l->parts};
    deliver_sums(&at, j->sums + (k / TILE * (s->out / TILE) + o / TILE) * TILE_SUMS,
                 dw + (o * s->in + k) * l->taps, s->in * l->taps);
}

static void add(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                void *scratch) {
    job j = {.shape = s, .at = layout_of(s), .x = x, .dy = dy, .zeros = scratch};
    const layout *l = &j.at;
    char *bias = (char *)scratch + zeros_bytes(s), *sums = bias + bias_bytes(s, l);
    char *own = sums + sums_bytes(l);
    memset(scratch, 0, (size_t)(zeros_bytes(s) + bias_bytes(s, l)));
    j.sums = (float *)(void *)sums;
    j.bias = db ? (double *)(void *)bias : NULL;
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int64_t part = 0; part < l->parts; part++)
        for (int64_t block = 0; block < l->blocks; block++)
            run_job(&j, part, block, own + omp_get_thread_num() * own_bytes(l));
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += TILE)
        for (int64_t k = 0; k < s->in; k += TILE) deliver(&j, k, o, dw);
    if (db) deliver_bias(j.bias, l->parts, s->out, db);
}

const weight_gradient_algorithm weight_gradient_amx = {
    .takes = takes, .scratch = scratch_bytes, .add = add};
