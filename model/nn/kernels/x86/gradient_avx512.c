/* A weight gradient as products of stretches of pixels.
 *
 * For the tap (down, right) of a 3x3 kernel
 *
 *   dw[tap][i][o] = sum over y, u of x[y + down][u][i] dy[y][u - right][o]
 *
 * with dy zero beside its rows: products of whole rows of x, moved by whole rows. So lines of x,
 * one of a channel each, serve all taps as they are, and dy is laid out in pairs of neighbours once
 * for each column of taps. Rows that x does not have are left out, and none is multiplied by zeros.
 *
 * A stretch is some rows of a map, or several whole maps, so small that its lines and pairs stay in
 * the second-level cache, and the pairs of 32 channels in the first. A job is a part of the
 * stretches and a block of input channels, with memory and sums of its own; the parts' sums are
 * added in order at the end.
 *
 * Measured over the networks' convolutions on two cores of a Zen 5 against oneDNN 2.6: 1.1 to 1.4
 * times as fast. Sums lie in the order in which they are added to. As [tap][in][out] they made both
 * cores slower by a third at times when they seemed to share no cache, perhaps because the
 * processor fetched what lay as far behind the last tap as taps lay apart, and the other core was
 * writing there; half a megabyte between two jobs helped with few channels only.
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
    TURNED = 2 * LANES, /* positions that are turned at once */
    STRETCH = 512,      /* positions, about */
    BLOCK = 128,        /* input channels of a job, at most */
    LINE = 64           /* bytes of a line of the cache */
};

static bool takes(const conv_shape *s) {
    return cpu_has(CPU_AVX512_BF16) && s->kernel == 3 && s->stride == 1 && s->x == TYPE_BF16 &&
           s->y == TYPE_BF16 && s->batch > 0 && s->height > 0 && s->width > 0 &&
           s->width % 2 == 0 && s->in > 0 && s->in % COLUMNS == 0 && s->out > 0 &&
           s->out % COLUMNS == 0;
}

/* What lies where. Lines of x: [channels of a block][x_line positions], of them x_map a map; pairs
 * of dy: [out / 32][dy_panel pairs][32], of them dy_map a map; sums: [out / 32][channels of a block
 * / 16][tap][16][32]. */
typedef struct layout {
    int64_t maps, rows; /* of a stretch: whole maps, or rows of one */
    int64_t in_a_map;   /* stretches; 1 also if it has several maps */
    int64_t stretches, parts, part, blocks, block;
    int64_t x_line, x_map, dy_panel, dy_map;
    int64_t lines_bytes, pairs_bytes, job_bytes;
} layout;

static layout layout_of(const conv_shape *s) {
    layout l = {.rows = max_i64(1, min_i64(s->height, STRETCH / s->width))};
    l.maps = max_i64(1, min_i64(s->batch, STRETCH / (s->height * s->width)));
    l.in_a_map = (s->height + l.rows - 1) / l.rows;
    l.stretches = (s->batch + l.maps - 1) / l.maps * l.in_a_map;
    for (l.blocks = 1; l.blocks * BLOCK < s->in;) l.blocks *= 2;
    l.block = round_up((s->in + l.blocks - 1) / l.blocks, COLUMNS);
    l.blocks = (s->in + l.block - 1) / l.block; /* none is empty, and no part */
    l.parts = min_i64((omp_get_max_threads() + l.blocks - 1) / l.blocks, l.stretches);
    l.part = (l.stretches + l.parts - 1) / l.parts;
    l.parts = (l.stretches + l.part - 1) / l.part;
    l.x_map = (l.rows + 2) * s->width;
    l.dy_map = l.rows * s->width / 2;
    /* A line of the cache more, lest lines of x fall on the same sets. */
    l.x_line = round_up(l.maps * l.x_map, TURNED) + TURNED;
    l.dy_panel = l.maps * l.dy_map;
    l.lines_bytes = l.block * l.x_line * (int64_t)sizeof(bf16);
    l.pairs_bytes = s->out * l.dy_panel * (int64_t)sizeof(unit);
    l.job_bytes = l.lines_bytes + l.pairs_bytes + TAPS * l.block * s->out * (int64_t)sizeof(float);
    return l;
}

static int64_t bias_bytes(const conv_shape *s, const layout *l) {
    return round_up(l->parts * s->out * (int64_t)sizeof(double), LINE);
}
static int64_t zeros_bytes(const conv_shape *s) {
    return round_up(max_i64(s->in, s->out) * (int64_t)sizeof(bf16), LINE);
}

static int64_t scratch_bytes(const conv_shape *s) {
    const layout l = layout_of(s);
    return zeros_bytes(s) + bias_bytes(s, &l) + l.parts * l.blocks * l.job_bytes;
}

typedef struct task {
    const conv_shape *shape;
    layout at;
    const bf16 *x, *dy, *zeros;
    double *bias; /* of dy [part][out]; NULL: nobody asks */
    char *jobs;
} task;

/* What a job has of its own. */
typedef struct job {
    int64_t channel, channels; /* of x */
    bf16 *lines;
    unit *pairs;
    float *sums;
} job;

static job job_of(const task *t, int64_t part, int64_t block) {
    const layout *l = &t->at;
    char *memory = t->jobs + (part * l->blocks + block) * l->job_bytes;
    return (job){.channel = block * l->block,
                 .channels = min_i64(l->block, t->shape->in - block * l->block),
                 .lines = (bf16 *)(void *)memory,
                 .pairs = (unit *)(void *)(memory + l->lines_bytes),
                 .sums = (float *)(void *)(memory + l->lines_bytes + l->pairs_bytes)};
}

/* The sums of the tap 0 of the 16 inputs and 32 outputs that channel k of the block and o are
 * among. */
static float *sums_at(const task *t, const job *j, int64_t k, int64_t o) {
    return j->sums + (o / COLUMNS * (t->at.block / LANES) + k / LANES) * TAPS * TAP_SUMS;
}

/* Rows [first, end) of maps [map, map + maps). */
typedef struct stretch {
    int64_t map, maps, first, end;
} stretch;

static stretch stretch_at(const task *t, int64_t i) {
    const layout *l = &t->at;
    stretch s = {.map = i / l->in_a_map * l->maps, .first = i % l->in_a_map * l->rows};
    s.maps = min_i64(l->maps, t->shape->batch - s.map);
    s.end = min_i64(s.first + l->rows, t->shape->height);
    return s;
}

/* The numbers of row y of a map before its first. */
static int64_t row_at(const conv_shape *s, int64_t map, int64_t y, int64_t channels) {
    return (map * s->height + y) * s->width * channels;
}

/* 16 channels of pixel a in the lower halves of 16 units, of pixel b in the upper ones. */
NATIVE_INLINE __m512i paired(const bf16 *a, const bf16 *b) {
    return zipped(_mm256_loadu_si256((const __m256i *)(const void *)a),
                  _mm256_loadu_si256((const __m256i *)(const void *)b));
}

/* Some channels of `count` pixels as lines; up to 30 more positions of each are overwritten. */
NATIVE static void turn_pixels(const task *t, const bf16 *pixels, int64_t count, int64_t channels,
                               bf16 *lines) {
    for (int64_t p = 0; p < count; p += TURNED) {
        const bf16 *pixel[TURNED];
        for (int64_t i = 0; i < TURNED; i++)
            pixel[i] = p + i < count ? pixels + (p + i) * t->shape->in : t->zeros;
        for (int64_t k = 0; k < channels; k += LANES) {
            __m512 rows[LANES];
            for (int i = 0; i < LANES; i++)
                rows[i] = _mm512_castsi512_ps(paired(pixel[2 * i] + k, pixel[2 * i + 1] + k));
            transpose16(rows);
            for (int i = 0; i < LANES; i++)
                _mm512_storeu_ps(lines + (k + i) * t->at.x_line + p, rows[i]);
        }
    }
}

/* The rows of a stretch, and those above and below that taps reach. */
static void turn_x(const task *t, const job *j, const stretch *s) {
    const conv_shape *c = t->shape;
    const int64_t from = max_i64(0, s->first - 1), to = min_i64(c->height, s->end + 1);
    for (int64_t m = 0; m < s->maps; m++)
        turn_pixels(t, t->x + row_at(c, s->map + m, from, c->in) + j->channel,
                    (to - from) * c->width, j->channels,
                    j->lines + m * t->at.x_map + (from - s->first + 1) * c->width);
}

/* Pairs of a row of dy, moved by `right`. */
NATIVE static void pair_row(const task *t, const bf16 *row, int64_t right, unit *pairs) {
    const int64_t out = t->shape->out, width = t->shape->width;
    for (int64_t u = 0; u < width; u += 2, pairs += COLUMNS) {
        const int64_t at = u - right;
        const bf16 *a = at >= 0 ? row + at * out : t->zeros;
        const bf16 *b = at + 1 < width ? row + (at + 1) * out : t->zeros;
        for (int64_t o = 0; o < out; o += COLUMNS) {
            unit *to = pairs + o * t->at.dy_panel;
            _mm512_store_si512(to, paired(a + o, b + o));
            _mm512_store_si512(to + LANES, paired(a + o + LANES, b + o + LANES));
        }
    }
}

static void pair_dy(const task *t, const job *j, const stretch *s, int64_t right) {
    const conv_shape *c = t->shape;
    for (int64_t m = 0; m < s->maps; m++)
        for (int64_t y = s->first; y < s->end; y++)
            pair_row(t, t->dy + row_at(c, s->map + m, y, c->out), right,
                     j->pairs + (m * t->at.dy_map + (y - s->first) * c->width / 2) * COLUMNS);
}

NATIVE static void add_bias(const task *t, const job *j, const stretch *s, double *bias) {
    const int64_t count = s->maps * (s->end - s->first) * t->shape->width / 2;
    for (int64_t o = 0; o < t->shape->out; o += LANES)
        add_pairs(j->pairs + o / COLUMNS * COLUMNS * t->at.dy_panel + o % COLUMNS, COLUMNS, count,
                  bias + o);
}

/* Adds a stretch to the sums of one column of taps, or begins them. */
NATIVE static void add_column(const task *t, const job *j, const stretch *s, int64_t right,
                              bool more) {
    const layout *l = &t->at;
    const int64_t out = t->shape->out, height = t->shape->height, width = t->shape->width;
    for (int64_t o = 0; o < out; o += COLUMNS)
        for (int64_t k = 0; k < j->channels; k += ROWS)
            for (int64_t down = -1; down <= 1; down++) {
                const int64_t from = max_i64(s->first, -down), to = min_i64(s->end, height - down);
                const int64_t tap = (down + 1) * 3 + right + 1;
                const bf16 *x = j->lines + k * l->x_line + (from + down - s->first + 1) * width;
                const unit *dy =
                    j->pairs + o * l->dy_panel + (from - s->first) * width / 2 * COLUMNS;
                const runs each = {s->maps, l->x_map / 2, l->dy_map * COLUMNS};
                float *sums = sums_at(t, j, k, o) + tap * TAP_SUMS + k % LANES * COLUMNS;
                product_of_runs(TYPE_BF16, (const unit *)(const void *)x, l->x_line / 2, 1, dy,
                                COLUMNS, (to - from) * width / 2, each, more, sums, COLUMNS);
            }
}

static void run_job(const task *t, int64_t part, int64_t block) {
    const layout *l = &t->at;
    const job j = job_of(t, part, block);
    const int64_t begin = part * l->part, end = min_i64(begin + l->part, l->stretches);
    for (int64_t i = begin; i < end; i++) {
        const stretch s = stretch_at(t, i);
        turn_x(t, &j, &s);
        for (int64_t right = -1; right <= 1; right++) {
            pair_dy(t, &j, &s, right);
            if (t->bias && block == 0 && right == 0)
                add_bias(t, &j, &s, t->bias + part * t->shape->out);
            add_column(t, &j, &s, right, i > begin);
        }
    }
}

NATIVE static void deliver(const task *t, int64_t k, int64_t o, float *dw) {
    const conv_shape *s = t->shape;
    const layout *l = &t->at;
    const job first = job_of(t, 0, k / l->block);
    const sums_layout at = {.input = COLUMNS,
                            .tap = TAP_SUMS,
                            .part = l->blocks * l->job_bytes / (int64_t)sizeof(float),
                            .taps = TAPS,
                            .parts = l->parts};
    deliver_sums(&at, sums_at(t, &first, k % l->block, o) + o % COLUMNS,
                 dw + (o * s->in + k) * TAPS, s->in * TAPS);
}

static void add(const conv_shape *s, const void *x, const void *dy, float *dw, float *db,
                void *scratch) {
    task t = {.shape = s, .at = layout_of(s), .x = x, .dy = dy, .zeros = scratch};
    const layout *l = &t.at;
    char *bias = (char *)scratch + zeros_bytes(s);
    memset(scratch, 0, (size_t)(zeros_bytes(s) + bias_bytes(s, l)));
    t.bias = db ? (double *)(void *)bias : NULL;
    t.jobs = bias + bias_bytes(s, l);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t part = 0; part < l->parts; part++)
        for (int64_t block = 0; block < l->blocks; block++) run_job(&t, part, block);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t o = 0; o < s->out; o += LANES)
        for (int64_t k = 0; k < s->in; k += LANES) deliver(&t, k, o, dw);
    if (db) deliver_bias(t.bias, l->parts, s->out, db);
}

const weight_gradient_algorithm weight_gradient_avx512 = {
    .takes = takes, .scratch = scratch_bytes, .add = add};
