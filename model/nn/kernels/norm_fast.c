/* Group normalisation with optional scale-shift and SiLU, and its gradients, at memory speed.
 *
 * A sample is cut into chunks of pixels and these into blocks; the cuts follow from the shape
 * alone. Sums run in f32 inside a block, are folded in f64, and are joined in the order of the
 * chunks: the bits depend neither on the number of threads nor on the place of the sample in the
 * batch. The loops over numbers are those of norm_loops.h.
 */
#include "model/nn/int_math.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/cloned.h"
#include "model/nn/kernels/norm.h"
#include "model/nn/kernels/norm_loops.h"
#include "model/nn/kernels/variants.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { VECTOR = 16, RUN = 256, BLOCK = 32768, CHUNK = 65536, MAX_CHUNKS = 64 }; /* numbers */

/* How one norm is cut. */
typedef struct cut {
    int64_t width; /* floats of a run: channels * pixels of a run */
    int64_t row;   /* width rounded up to whole vectors: from one row to the next */
    int64_t run_pixels, block_pixels; /* whole runs */
    int64_t chunk_pixels, chunks;
    bool across; /* threads share a sample, for there are fewer samples than threads */
} cut;

static cut cut_of(const norm_shape *s) {
    cut k;
    int64_t run = max_i64(1, RUN / s->channels);
    k.width = run * s->channels;
    k.row = (k.width + VECTOR - 1) / VECTOR * VECTOR;
    k.run_pixels = run;
    k.block_pixels = run * max_i64(1, BLOCK / k.width);
    k.chunks = max_i64(1, min_i64(MAX_CHUNKS, s->pixels * s->channels / CHUNK));
    k.chunk_pixels = (s->pixels + k.chunks - 1) / k.chunks;
    k.chunks = (s->pixels + k.chunk_pixels - 1) / k.chunk_pixels;
    k.across = s->batch < omp_get_max_threads();
    return k;
}

static const norm_loops *loops(void) { return kernel_best(KERNEL_NORM); }

static void repeat(float *row, int64_t channels, int64_t width) {
    for (int64_t i = channels; i < width; i += channels)
        memcpy(row + i, row, (size_t)channels * sizeof *row);
}

/* Adds the later pixels of a run to its first, which then holds sums [channels]. */
CLONED(void, fold, (float *run, int64_t channels, int64_t width), (run, channels, width)) {
    for (int64_t at = channels; at < width; at += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) run[c] += run[at + c];
    }
}

CLONED(double, group_sum, (const float *sums, int64_t wide), (sums, wide)) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < wide; c++) sum += sums[c];
    return sum;
}

/* sums += of, in f64 */
CLONED(void, add_up, (double *restrict sums, const float *restrict of, int64_t n), (sums, of, n)) {
    for (int64_t i = 0; i < n; i++) sums[i] += of[i];
}

/* Mean and sum of squared deviations of n numbers; joined as in Chan, Golub & LeVeque 1983, (2.1).
 */
typedef struct moments {
    double n, mean, squares;
} moments;

static void moments_join(moments *a, const moments *b) {
    if (b->n == 0) return;
    double n = a->n + b->n, d = b->mean - a->mean;
    a->mean += d * b->n / n;
    a->squares += b->squares + d * d * a->n * b->n / n;
    a->n = n;
}

/* pivot [width] = the mean of each group over `pixels` pixels, no more than a run; sum and squares
 * [row] are left over. */
static void find_pivot(const norm_shape *s, const cut *k, const void *x, int64_t pixels,
                       float *pivot, float *sum, float *squares) {
    int64_t wide = s->channels / s->groups;
    memset(pivot, 0, (size_t)k->width * sizeof(float));
    memset(sum, 0, (size_t)k->width * sizeof(float));
    loops()->deviations(s->type, x, pixels * s->channels, k->width, pivot, sum, squares);
    fold(sum, s->channels, k->width);
    for (int64_t c = 0; c < s->channels; c += wide) {
        float mean = (float)(group_sum(sum + c, wide) / (double)(pixels * wide));
        for (int64_t i = c; i < c + wide; i++) pivot[i] = mean;
    }
    repeat(pivot, s->channels, k->width);
}

/* Moments [groups] of one chunk x of `pixels` pixels; scratch [3, row]. Deviations are taken from
 * the mean of a block's first run, so that no constant in x, however large, eats the variance: that
 * of the whole block is at least the first run's share of (mean - pivot)^2, which bounds what the
 * sums lose to 1.5 log2 of the runs in a block, and only if the first is unlike the rest. */
static void chunk_moments(const norm_shape *s, const cut *k, const void *x, int64_t pixels,
                          float *scratch, moments *out) {
    float *pivot = scratch, *sum = scratch + k->row, *squares = scratch + 2 * k->row;
    int64_t wide = s->channels / s->groups;
    memset(out, 0, (size_t)s->groups * sizeof *out);
    for (int64_t p = 0; p < pixels; p += k->block_pixels) {
        int64_t count = min_i64(k->block_pixels, pixels - p);
        const void *block = activation_at(s->type, x, p * s->channels);
        find_pivot(s, k, block, min_i64(k->run_pixels, count), pivot, sum, squares);
        memset(sum, 0, (size_t)k->width * sizeof(float));
        memset(squares, 0, (size_t)k->width * sizeof(float));
        loops()->deviations(s->type, block, count * s->channels, k->width, pivot, sum, squares);
        fold(sum, s->channels, k->width);
        fold(squares, s->channels, k->width);
        for (int64_t g = 0; g < s->groups; g++) {
            moments m = {.n = (double)(count * wide)};
            double off = group_sum(sum + g * wide, wide) / m.n;
            m.mean = pivot[g * wide] + off;
            m.squares = group_sum(squares + g * wide, wide) - off * off * m.n;
            moments_join(&out[g], &m);
        }
    }
}

/* slope and offset [width]: u = (x - mean) slope + offset is the whole norm before SiLU. */
CLONED(void, coefficients,
       (const norm_shape *s, const cut *k, const float *restrict gain, const float *restrict bias,
        const float *restrict scale_shift, const float *restrict mean, const float *restrict rstd,
        float *restrict means, float *restrict slope, float *restrict offset),
       (s, k, gain, bias, scale_shift, mean, rstd, means, slope, offset)) {
    int64_t wide = s->channels / s->groups;
    for (int64_t g = 0; g < s->groups; g++) {
        for (int64_t c = g * wide; c < (g + 1) * wide; c++) {
            float scale = scale_shift ? 1.0f + scale_shift[c] : 1.0f;
            float shift = scale_shift ? scale_shift[s->channels + c] : 0.0f;
            means[c] = mean[g];
            slope[c] = rstd[g] * (gain[c] * scale);
            offset[c] = bias[c] * scale + shift;
        }
    }
    repeat(means, s->channels, k->width);
    repeat(slope, s->channels, k->width);
    repeat(offset, s->channels, k->width);
}

/* What the first pass of the backward direction keeps for the second: bytes a number, a sample. */
static int64_t kept_bytes(const norm_shape *s) {
    return s->silu ? loops()->kept[s->type == TYPE_BF16] : 0;
}
static int64_t kept_sample(const norm_shape *s) {
    return whole_lines(s->pixels * s->channels * kept_bytes(s));
}

static norm_rows rows_of(const norm_shape *s, const cut *k, const float *rows) {
    return (norm_rows){.type = s->type,
                       .silu = s->silu,
                       .width = k->width,
                       .mean = rows,
                       .slope = rows + k->row,
                       .offset = rows + 2 * k->row,
                       .same = rows + 3 * k->row,
                       .spread = rows + 4 * k->row};
}

/* The work on one sample in either direction: out is y or dx; what scratch, parts and sums hold is
 * said where they are used. */
typedef struct sample {
    const norm_shape *s;
    const cut *k;
    norm_rows rows;
    const void *x, *dy;
    void *out;
    bool add;
    float *scratch;
    moments *parts;
    double *sums;
    char *kept;
} sample;

/* Where chunk i begins in a map, and its numbers. */
static int64_t chunk_at(const sample *a, int64_t i) {
    return i * a->k->chunk_pixels * a->s->channels;
}
static int64_t chunk_count(const sample *a, int64_t i) {
    return min_i64(a->k->chunk_pixels, a->s->pixels - i * a->k->chunk_pixels) * a->s->channels;
}

/* Does work for every chunk. An if clause would not do, nor one where samples are shared out: a
 * team of one inside a team costs more than a small sample, and a team inside a team of one is made
 * of new threads each time. */
static void for_chunks(const sample *a, void (*work)(const sample *a, int64_t i)) {
    if (a->k->across) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < a->k->chunks; i++) work(a, i);
    } else {
        for (int64_t i = 0; i < a->k->chunks; i++) work(a, i);
    }
}

static void moments_chunk(const sample *a, int64_t i) {
    const norm_shape *s = a->s;
    chunk_moments(s, a->k, activation_at(s->type, a->x, chunk_at(a, i)),
                  chunk_count(a, i) / s->channels, a->scratch + i * 3 * a->k->row,
                  a->parts + i * s->groups);
}

static void apply_chunk(const sample *a, int64_t i) {
    int64_t at = chunk_at(a, i);
    loops()->apply(&a->rows, activation_at(a->s->type, a->x, at), chunk_count(a, i),
                   activation_at(a->s->type, a->out, at));
}

/* scratch [chunks, 3, row], parts [chunks, groups]; the rows of the second pass take the place of
 * the first chunk's scratch. */
static void sample_forward(const sample *a, const float *gain, const float *bias,
                           const float *scale_shift, float *mean, float *rstd) {
    const norm_shape *s = a->s;
    for_chunks(a, moments_chunk);
    for (int64_t g = 0; g < s->groups; g++) {
        moments all = {0};
        for (int64_t i = 0; i < a->k->chunks; i++) moments_join(&all, &a->parts[i * s->groups + g]);
        mean[g] = (float)all.mean;
        double variance = all.squares > 0 ? all.squares / all.n : all.squares * 0; /* NaN stays */
        rstd[g] = (float)(1 / sqrt(variance + s->epsilon));
    }
    coefficients(s, a->k, gain, bias, scale_shift, mean, rstd, a->scratch, a->scratch + a->k->row,
                 a->scratch + 2 * a->k->row);
    for_chunks(a, apply_chunk);
}

/* Bytes of the rows and sums of a whole batch; the same in both directions but for what they hold.
 */
static int64_t forward_floats(const norm_shape *s, const cut *k) {
    return s->batch * k->chunks * 3 * k->row;
}
static int64_t backward_floats(const norm_shape *s, const cut *k) {
    return s->batch * (5 + 2 * k->chunks) * k->row;
}

int64_t norm_fast_scratch(const norm_shape *s) {
    cut k = cut_of(s);
    int64_t forward = forward_floats(s, &k) * (int64_t)sizeof(float) +
                      s->batch * k.chunks * s->groups * (int64_t)sizeof(moments);
    int64_t under_way = k.across ? 1 : omp_get_max_threads(); /* samples */
    int64_t backward = backward_floats(s, &k) * (int64_t)sizeof(float) +
                       (s->batch * (1 + k.chunks) + 1) * 2 * s->channels * (int64_t)sizeof(double) +
                       under_way * kept_sample(s);
    return max_i64(forward, backward);
}

/* The arguments of one call; what only one direction has is NULL in the other. */
typedef struct call {
    const norm_shape *s;
    cut k;
    const void *x, *dy;
    const float *gain, *bias, *scale_shift;
    const float *mean, *rstd;   /* backward */
    float *new_mean, *new_rstd; /* forward */
    void *out;
    bool add;
    float *rows;
    moments *parts;
    double *sums;
    char *kept;
} call;

static const float *scale_shift_of(const call *c, int64_t b) {
    return c->scale_shift ? c->scale_shift + b * 2 * c->s->channels : NULL;
}

static void for_samples(const call *c, void (*work)(const call *c, int64_t b)) {
    if (c->k.across) {
        for (int64_t b = 0; b < c->s->batch; b++) work(c, b);
    } else {
#pragma omp parallel for schedule(static)
        for (int64_t b = 0; b < c->s->batch; b++) work(c, b);
    }
}

static void call_forward(const call *c, int64_t b) {
    const norm_shape *s = c->s;
    const cut *k = &c->k;
    int64_t at = b * s->pixels * s->channels;
    float *rows = c->rows + b * k->chunks * 3 * k->row;
    const sample a = {.s = s,
                      .k = k,
                      .rows = rows_of(s, k, rows),
                      .x = activation_at(s->type, c->x, at),
                      .out = activation_at(s->type, c->out, at),
                      .scratch = rows,
                      .parts = c->parts + b * k->chunks * s->groups};
    sample_forward(&a, c->gain, c->bias, scale_shift_of(c, b), c->new_mean + b * s->groups,
                   c->new_rstd + b * s->groups);
}

status norm_fast_forward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                         const float *scale_shift, float *mean, float *rstd, void *y,
                         void *scratch) {
    call c = {.s = s,
              .k = cut_of(s),
              .x = x,
              .gain = gain,
              .bias = bias,
              .scale_shift = scale_shift,
              .new_mean = mean,
              .new_rstd = rstd,
              .out = y,
              .rows = scratch};
    c.parts = (moments *)(void *)(c.rows + forward_floats(s, &c.k));
    for_samples(&c, call_forward);
    return ST_OK;
}

/* Per channel the sums [2, channels] of du and du * (x - mean) over one chunk; scratch [2, row]. */
static void chunk_gradients(const norm_shape *s, const cut *k, const norm_rows *rows, const void *x,
                            const void *dy, int64_t pixels, float *scratch, double *sums,
                            char *kept) {
    float *sum = scratch, *sum_x = scratch + k->row;
    memset(sums, 0, (size_t)(2 * s->channels) * sizeof *sums);
    for (int64_t p = 0; p < pixels; p += k->block_pixels) {
        int64_t n = min_i64(k->block_pixels, pixels - p) * s->channels, at = p * s->channels;
        memset(sum, 0, (size_t)(2 * k->row) * sizeof(float));
        loops()->gradients(rows, activation_at(s->type, x, at), activation_at(s->type, dy, at), n,
                           sum, sum_x, kept + at * kept_bytes(s));
        fold(sum, s->channels, k->width);
        fold(sum_x, s->channels, k->width);
        add_up(sums, sum, s->channels);
        add_up(sums + s->channels, sum_x, s->channels);
    }
}

/* Rows same and spread from the sample's sums; see norm_ref.c for the
 * formula. */
CLONED(void, gradient_rows,
       (const norm_shape *s, const cut *k, const float *rstd, const double *sums,
        const float *slope, float *same, float *spread),
       (s, k, rstd, sums, slope, same, spread)) {
    int64_t wide = s->channels / s->groups;
    double n = (double)(s->pixels * wide);
    for (int64_t g = 0; g < s->groups; g++) {
        double d = 0, dx = 0;
#pragma omp simd reduction(+ : d, dx)
        for (int64_t c = g * wide; c < (g + 1) * wide; c++) {
            d += slope[c] * sums[c];
            dx += slope[c] * sums[s->channels + c];
        }
        for (int64_t c = g * wide; c < (g + 1) * wide; c++) {
            same[c] = (float)(d / n);
            spread[c] = (float)(dx / n * rstd[g] * rstd[g]);
        }
    }
    repeat(same, s->channels, k->width);
    repeat(spread, s->channels, k->width);
}

static void gradients_chunk(const sample *a, int64_t i) {
    const norm_shape *s = a->s;
    int64_t at = chunk_at(a, i);
    chunk_gradients(s, a->k, &a->rows, activation_at(s->type, a->x, at),
                    activation_at(s->type, a->dy, at), chunk_count(a, i) / s->channels,
                    a->scratch + (5 + i * 2) * a->k->row, a->sums + (1 + i) * 2 * s->channels,
                    a->kept + at * kept_bytes(s));
}

static void finish_chunk(const sample *a, int64_t i) {
    int64_t at = chunk_at(a, i);
    loops()->finish(&a->rows, a->add, activation_at(a->s->type, a->x, at),
                    activation_at(a->s->type, a->dy, at), a->kept + at * kept_bytes(a->s),
                    chunk_count(a, i), activation_at(a->s->type, a->out, at));
}

/* scratch: rows [5, row], then [chunks, 2, row]; sums [1 + chunks, 2, channels], the first are the
 * sample's. */
static void sample_backward(const sample *a, const float *rstd) {
    int64_t pair = 2 * a->s->channels, row = a->k->row;
    for_chunks(a, gradients_chunk);
    memset(a->sums, 0, (size_t)pair * sizeof *a->sums);
    for (int64_t i = 0; i < a->k->chunks; i++)
        for (int64_t c = 0; c < pair; c++) a->sums[c] += a->sums[(1 + i) * pair + c];
    gradient_rows(a->s, a->k, rstd, a->sums, a->scratch + row, a->scratch + 3 * row,
                  a->scratch + 4 * row);
    for_chunks(a, finish_chunk);
}

/* What one sample, with sums [2, channels], gives to the gradients of gain and bias and leaves in
 * those of its scale and shift. */
CLONED(void, sample_parameters,
       (const norm_shape *s, const float *restrict gain, const float *restrict bias,
        const float *restrict scale_shift, const float *restrict rstd, const double *restrict sums,
        double *restrict gain_sum, double *restrict bias_sum, float *restrict dscale_shift),
       (s, gain, bias, scale_shift, rstd, sums, gain_sum, bias_sum, dscale_shift)) {
    const int64_t channels = s->channels, wide = channels / s->groups;
    for (int64_t g = 0; g < s->groups; g++) {
        for (int64_t c = g * wide; c < (g + 1) * wide; c++) {
            double du = sums[c], du_xhat = sums[channels + c] * rstd[g];
            double scale = scale_shift ? 1.0 + scale_shift[c] : 1;
            gain_sum[c] += scale * du_xhat;
            bias_sum[c] += scale * du;
        }
        for (int64_t c = g * wide; dscale_shift && c < (g + 1) * wide; c++) {
            double du = sums[c], du_xhat = sums[channels + c] * rstd[g];
            dscale_shift[c] = (float)(gain[c] * du_xhat + bias[c] * du);
            dscale_shift[channels + c] = (float)du;
        }
    }
}

/* Gradients of gain, bias, scale and shift from every sample's sums, in the order of the batch. all
 * [2, channels] holds zeros. */
static void parameter_gradients(const norm_shape *s, const float *gain, const float *bias,
                                const float *scale_shift, const float *rstd, const double *sums,
                                int64_t stride, double *all, float *dgain, float *dbias,
                                float *dscale_shift) {
    for (int64_t b = 0; b < s->batch; b++) {
        int64_t at = b * 2 * s->channels;
        sample_parameters(s, gain, bias, scale_shift ? scale_shift + at : NULL,
                          rstd + b * s->groups, sums + b * stride, all, all + s->channels,
                          dscale_shift ? dscale_shift + at : NULL);
    }
    for (int64_t c = 0; c < s->channels; c++) {
        dgain[c] += (float)all[c];
        dbias[c] += (float)all[s->channels + c];
    }
}

/* Doubles from the sums of one sample to those of the next. */
static int64_t sums_stride(const norm_shape *s, const cut *k) {
    return (1 + k->chunks) * 2 * s->channels;
}

static void call_backward(const call *c, int64_t b) {
    const norm_shape *s = c->s;
    const cut *k = &c->k;
    int64_t at = b * s->pixels * s->channels;
    float *rows = c->rows + b * (5 + 2 * k->chunks) * k->row;
    const sample a = {.s = s,
                      .k = k,
                      .rows = rows_of(s, k, rows),
                      .x = activation_at(s->type, c->x, at),
                      .dy = activation_at(s->type, c->dy, at),
                      .out = activation_at(s->type, c->out, at),
                      .add = c->add,
                      .scratch = rows,
                      .sums = c->sums + b * sums_stride(s, k),
                      .kept = c->kept + (k->across ? 0 : omp_get_thread_num()) * kept_sample(s)};
    coefficients(s, k, c->gain, c->bias, scale_shift_of(c, b), c->mean + b * s->groups,
                 c->rstd + b * s->groups, rows, rows + k->row, rows + 2 * k->row);
    sample_backward(&a, c->rstd + b * s->groups);
}

status norm_fast_backward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                          const float *scale_shift, const float *mean, const float *rstd,
                          const void *dy, bool add, void *dx, float *dgain, float *dbias,
                          float *dscale_shift, void *scratch) {
    call c = {.s = s,
              .k = cut_of(s),
              .x = x,
              .dy = dy,
              .gain = gain,
              .bias = bias,
              .scale_shift = scale_shift,
              .mean = mean,
              .rstd = rstd,
              .out = dx,
              .add = add,
              .rows = scratch};
    c.sums = (double *)(void *)(c.rows + backward_floats(s, &c.k));
    double *all = c.sums + s->batch * sums_stride(s, &c.k);
    c.kept = (char *)(all + 2 * s->channels);
    for_samples(&c, call_backward);
    memset(all, 0, (size_t)(2 * s->channels) * sizeof *all);
    parameter_gradients(s, gain, bias, scale_shift, rstd, c.sums, sums_stride(s, &c.k), all, dgain,
                        dbias, dscale_shift);
    return ST_OK;
}
