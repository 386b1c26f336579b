/* Weight gradients of 3x3 convolutions between bf16 activations with AVX512_BF16, as matrix
 * products over chunks of pixels.
 *
 * For the tap (down, right), each -1, 0 or 1,
 *
 *   dw[tap][i][o] = sum over y, u of x[y + down][u][i] dy[y][u - right][o]
 *
 * with dy zero outside its rows. This is a product of whole rows of x and whole rows of dy. So one
 * transposed copy of x, with the pixels of a channel contiguous, serves all taps, and dy is packed
 * into bf16 pairs of neighbouring pixels once for each column of taps (`right`). Rows that x does
 * not have are omitted, not multiplied as zeros.
 *
 * A chunk is some rows of one sample, or several whole samples. It is so small that its transposed
 * x and pairs of dy stay in the second-level cache, and the pairs of 32 output channels in the
 * first. A job is a part of the chunks and a block of input channels, with buffers and sums of its
 * own. The sums of the parts are added in order at the end.
 *
 * Sums are laid out in the order in which they are accumulated. As [tap][in][out] they were slower
 * by a third at times, probably because of prefetches at the distance between taps into sums that
 * another core was writing (see tests/bench/README.md).
 */
#include "model/nn/kernels/conv_algorithms.h"

#include "model/nn/int_math.h"
#include "model/nn/kernels/x86/gradient_sums.h"
#include "model/nn/kernels/cpu.h"
#include "model/nn/kernels/x86/product_avx512.h"

#include <omp.h>
#include <string.h>

enum {
    TAPS = 9,
    TAP_SUMS = LANES * COLUMNS,
    STEP = 2 * LANES, /* pixels that are transposed at once */
    CHUNK = 512,      /* pixels, about */
    BLOCK = 128       /* input channels of a job, at most */
};

static bool supports(const conv_shape *s) {
    return cpu_has(CPU_AVX512_BF16) && s->kernel == 3 && s->stride == 1 && s->x == TYPE_BF16 &&
           s->y == TYPE_BF16 && s->batch > 0 && s->height > 0 && s->width > 0 &&
           s->width % 2 == 0 && s->in > 0 && s->in % COLUMNS == 0 && s->out > 0 &&
           s->out % COLUMNS == 0;
}

/* The partition into jobs, and the layout of a job's buffers:
 *
 *   x      [channels of a block][x_row pixels], x_sample pixels per sample
 *   pairs  of dy: [out / 32][dy_panel pairs][32], dy_sample pairs per sample
 *   sums   [out / 32][channels of a block / 16][tap][16][32]
 */
typedef struct layout {
    int64_t samples, rows; /* of a chunk: whole samples, or rows of one */
    int64_t per_sample;    /* chunks; 1 also if a chunk has several samples */
    int64_t chunks;
    int64_t parts, part;   /* parts of all chunks; chunks of a part */
    int64_t blocks, block; /* blocks of input channels; channels of a block */
    int64_t x_row, x_sample, dy_panel, dy_sample;
    int64_t x_bytes, pairs_bytes, job_bytes;
} layout;

static layout layout_of(const conv_shape *s) {
    layout l = {.rows = max_i64(1, min_i64(s->height, CHUNK / s->width))};
    l.samples = max_i64(1, min_i64(s->batch, CHUNK / (s->height * s->width)));
    l.per_sample = (s->height + l.rows - 1) / l.rows;
    l.chunks = (s->batch + l.samples - 1) / l.samples * l.per_sample;
    for (l.blocks = 1; l.blocks * BLOCK < s->in;) l.blocks *= 2;
    l.block = round_up((s->in + l.blocks - 1) / l.blocks, COLUMNS);
    l.blocks = (s->in + l.block - 1) / l.block; /* no block is empty, below no part */
    l.parts = min_i64((omp_get_max_threads() + l.blocks - 1) / l.blocks, l.chunks);
    l.part = (l.chunks + l.parts - 1) / l.parts;
    l.parts = (l.chunks + l.part - 1) / l.part;
    l.x_sample = (l.rows + 2) * s->width;
    l.dy_sample = l.rows * s->width / 2;
    /* One cache line of padding, so that the channels of x do not map to the same cache sets. */
    l.x_row = round_up(l.samples * l.x_sample, STEP) + STEP;
    l.dy_panel = l.samples * l.dy_sample;
    l.x_bytes = l.block * l.x_row * (int64_t)sizeof(bf16);
    l.pairs_bytes = s->out * l.dy_panel * (int64_t)sizeof(unit);
    l.job_bytes = l.x_bytes + l.pairs_bytes + TAPS * l.block * s->out * (int64_t)sizeof(float);
    return l;
}

static int64_t scratch_bytes(const conv_shape *s) {
    const layout l = layout_of(s);
    return zeros_bytes(s) + bias_bytes(s, l.parts) + l.parts * l.blocks * l.job_bytes;
}

typedef struct task {
    const conv_shape *shape;
    layout at;
    const bf16 *x, *dy, *zeros;
    double *bias; /* sums of dy [part][out]; NULL: not wanted */
    char *jobs;   /* buffers of the jobs */
} task;

/* The block of input channels of a job, and its buffers. */
typedef struct job {
    int64_t channel, channels; /* of x: the first, and how many */
    bf16 *x;
    unit *pairs;
    float *sums;
} job;

static job job_of(const task *t, int64_t part, int64_t block) {
    const layout *l = &t->at;
    char *memory = t->jobs + (part * l->blocks + block) * l->job_bytes;
    return (job){.channel = block * l->block,
                 .channels = min_i64(l->block, t->shape->in - block * l->block),
                 .x = (bf16 *)(void *)memory,
                 .pairs = (unit *)(void *)(memory + l->x_bytes),
                 .sums = (float *)(void *)(memory + l->x_bytes + l->pairs_bytes)};
}

/* Tap 0 of the sums of the 16 inputs and 32 outputs to which channel k of the block and output o
 * belong. */
static float *sums_at(const task *t, const job *j, int64_t k, int64_t o) {
    return j->sums + (o / COLUMNS * (t->at.block / LANES) + k / LANES) * TAPS * TAP_SUMS;
}

/* Rows [first, end) of samples [sample, sample + samples). */
typedef struct chunk {
    int64_t sample, samples, first, end;
} chunk;

static chunk chunk_at(const task *t, int64_t i) {
    const layout *l = &t->at;
    chunk c = {.sample = i / l->per_sample * l->samples, .first = i % l->per_sample * l->rows};
    c.samples = min_i64(l->samples, t->shape->batch - c.sample);
    c.end = min_i64(c.first + l->rows, t->shape->height);
    return c;
}

/* The offset of row y of a sample, in elements. */
static int64_t row_at(const conv_shape *s, int64_t sample, int64_t y, int64_t channels) {
    return (sample * s->height + y) * s->width * channels;
}

/* 16 pairs: a channel of pixel a in the lower half, the same of pixel b in the upper half. */
INLINE_AVX512_BF16 __m512i load_pairs(const bf16 *a, const bf16 *b) {
    return interleave16(_mm256_loadu_si256((const __m256i *)(const void *)a),
                        _mm256_loadu_si256((const __m256i *)(const void *)b));
}

/* to [channels][x_row] = `channels` channels of `count` pixels, transposed; up to 30 elements past
 * the last pixel of each channel are overwritten. */
TARGET_AVX512_BF16 static void transpose_pixels(const task *t, const bf16 *pixels, int64_t count,
                                                int64_t channels, bf16 *to) {
    for (int64_t p = 0; p < count; p += STEP) {
        const bf16 *pixel[STEP];
        for (int64_t i = 0; i < STEP; i++)
            pixel[i] = p + i < count ? pixels + (p + i) * t->shape->in : t->zeros;
        for (int64_t k = 0; k < channels; k += LANES) {
            __m512 rows[LANES];
            for (int i = 0; i < LANES; i++)
                rows[i] = _mm512_castsi512_ps(load_pairs(pixel[2 * i] + k, pixel[2 * i + 1] + k));
            transpose16(rows);
            for (int i = 0; i < LANES; i++)
                _mm512_storeu_ps(to + (k + i) * t->at.x_row + p, rows[i]);
        }
    }
}

/* Transposes the rows of a chunk, and the rows above and below that taps reach. */
static void transpose_x(const task *t, const job *j, const chunk *c) {
    const conv_shape *s = t->shape;
    const int64_t from = max_i64(0, c->first - 1), to = min_i64(s->height, c->end + 1);
    for (int64_t i = 0; i < c->samples; i++)
        transpose_pixels(t, t->x + row_at(s, c->sample + i, from, s->in) + j->channel,
                         (to - from) * s->width, j->channels,
                         j->x + i * t->at.x_sample + (from - c->first + 1) * s->width);
}

/* A row of dy as pairs of neighbouring pixels u - right and u + 1 - right, u even. */
TARGET_AVX512_BF16 static void pack_row(const task *t, const bf16 *row, int64_t right,
                                        unit *pairs) {
    const int64_t out = t->shape->out, width = t->shape->width;
    for (int64_t u = 0; u < width; u += 2, pairs += COLUMNS) {
        const int64_t at = u - right;
        const bf16 *a = at >= 0 ? row + at * out : t->zeros;
        const bf16 *b = at + 1 < width ? row + (at + 1) * out : t->zeros;
        for (int64_t o = 0; o < out; o += COLUMNS) {
            unit *to = pairs + o * t->at.dy_panel;
            _mm512_store_si512(to, load_pairs(a + o, b + o));
            _mm512_store_si512(to + LANES, load_pairs(a + o + LANES, b + o + LANES));
        }
    }
}

/* Packs the rows of dy of a chunk into pairs, moved by `right`. */
static void pack_dy(const task *t, const job *j, const chunk *c, int64_t right) {
    const conv_shape *s = t->shape;
    for (int64_t i = 0; i < c->samples; i++)
        for (int64_t y = c->first; y < c->end; y++)
            pack_row(t, t->dy + row_at(s, c->sample + i, y, s->out), right,
                     j->pairs + (i * t->at.dy_sample + (y - c->first) * s->width / 2) * COLUMNS);
}

/* bias [out] += the sums of dy over a chunk, from pairs that are not moved. */
TARGET_AVX512_BF16 static void add_bias(const task *t, const job *j, const chunk *c, double *bias) {
    const int64_t count = c->samples * (c->end - c->first) * t->shape->width / 2;
    for (int64_t o = 0; o < t->shape->out; o += LANES)
        add_pairs(j->pairs + o / COLUMNS * COLUMNS * t->at.dy_panel + o % COLUMNS, COLUMNS, count,
                  bias + o);
}

/* Sums of the column `right` of taps = or (if add) += the products over a chunk. */
TARGET_AVX512_BF16 static void add_column(const task *t, const job *j, const chunk *c,
                                          int64_t right, bool add) {
    const layout *l = &t->at;
    const int64_t out = t->shape->out, height = t->shape->height, width = t->shape->width;
    for (int64_t o = 0; o < out; o += COLUMNS)
        for (int64_t k = 0; k < j->channels; k += ROWS)
            for (int64_t down = -1; down <= 1; down++) {
                const int64_t from = max_i64(c->first, -down), to = min_i64(c->end, height - down);
                const int64_t tap = (down + 1) * 3 + right + 1;
                const bf16 *x = j->x + k * l->x_row + (from + down - c->first + 1) * width;
                const unit *dy =
                    j->pairs + o * l->dy_panel + (from - c->first) * width / 2 * COLUMNS;
                const sum_blocks blocks = {c->samples, l->x_sample / 2, l->dy_sample * COLUMNS};
                float *sums = sums_at(t, j, k, o) + tap * TAP_SUMS + k % LANES * COLUMNS;
                micro_kernel_blocks(TYPE_BF16, (const unit *)(const void *)x, l->x_row / 2, 1, dy,
                                    COLUMNS, (to - from) * width / 2, blocks, add, sums, COLUMNS);
            }
}

static void run_job(const task *t, int64_t part, int64_t block) {
    const layout *l = &t->at;
    const job j = job_of(t, part, block);
    const int64_t begin = part * l->part, end = min_i64(begin + l->part, l->chunks);
    for (int64_t i = begin; i < end; i++) {
        const chunk c = chunk_at(t, i);
        transpose_x(t, &j, &c);
        for (int64_t right = -1; right <= 1; right++) {
            pack_dy(t, &j, &c, right);
            if (t->bias && block == 0 && right == 0)
                add_bias(t, &j, &c, t->bias + part * t->shape->out);
            add_column(t, &j, &c, right, i > begin);
        }
    }
}

/* dw += the sums of the 16 inputs from k and the 16 outputs from o. */
TARGET_AVX512_BF16 static void reduce(const task *t, int64_t k, int64_t o, float *dw) {
    const conv_shape *s = t->shape;
    const layout *l = &t->at;
    const job first = job_of(t, 0, k / l->block);
    const sums_layout at = {.input = COLUMNS,
                            .tap = TAP_SUMS,
                            .part = l->blocks * l->job_bytes / (int64_t)sizeof(float),
                            .taps = TAPS,
                            .parts = l->parts};
    reduce_sums(&at, sums_at(t, &first, k % l->block, o) + o % COLUMNS, dw + (o * s->in + k) * TAPS,
                s->in * TAPS);
}

static void add(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                void *scratch) {
    task t = {.shape = s, .at = layout_of(s), .x = x, .dy = dy, .zeros = scratch};
    const layout *l = &t.at;
    char *bias = (char *)scratch + zeros_bytes(s);
    memset(scratch, 0, (size_t)(zeros_bytes(s) + bias_bytes(s, l->parts)));
    t.bias = db ? (double *)(void *)bias : NULL;
    t.jobs = bias + bias_bytes(s, l->parts);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t part = 0; part < l->parts; part++)
        for (int64_t block = 0; block < l->blocks; block++) run_job(&t, part, block);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += LANES)
        for (int64_t k = 0; k < s->in; k += LANES) reduce(&t, k, o, dw);
    if (db) reduce_bias(t.bias, l->parts, s->out, db);
}

const weight_gradient_algorithm weight_gradient_avx512 = {
    .supports = supports, .scratch = scratch_bytes, .add = add};
