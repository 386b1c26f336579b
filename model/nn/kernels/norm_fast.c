/* Group normalisation with optional scale-shift and SiLU, and its gradients.
 *
 * A sample is partitioned into chunks of pixels, and a chunk into blocks, which depend on the shape
 * alone. A chunk is the work of one thread; norm_loops.h processes a block. Sums are f32 within a
 * block and f64 over the blocks, and the sums of chunks are added in the order of the chunks: the
 * bits depend neither on the number of threads nor on the position of the sample in the batch.
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

/* Elements of a vector and, approximately, of a row (norm_loops.h), a block and a chunk. */
enum { VECTOR = 16, ROW = 256, BLOCK = 32768, CHUNK = 65536, CHUNKS_MAX = 64 };

typedef struct partition {
    int64_t width;        /* elements of a row: channels * row_pixels */
    int64_t row_stride;   /* width rounded up to whole vectors */
    int64_t row_pixels;   /* pixels of a row */
    int64_t block_pixels; /* of a block: whole rows */
    int64_t chunk_pixels, chunks;
    bool split_samples; /* the threads share each sample: there are fewer samples than threads */
} partition;

static partition partition_of(const norm_shape *s) {
    partition k;
    k.row_pixels = max_i64(1, ROW / s->channels);
    k.width = k.row_pixels * s->channels;
    k.row_stride = round_up(k.width, VECTOR);
    k.block_pixels = k.row_pixels * max_i64(1, BLOCK / k.width);
    k.chunks = max_i64(1, min_i64(CHUNKS_MAX, s->pixels * s->channels / CHUNK));
    k.chunk_pixels = (s->pixels + k.chunks - 1) / k.chunks;
    k.chunks = (s->pixels + k.chunk_pixels - 1) / k.chunk_pixels;
    k.split_samples = s->batch < omp_get_max_threads();
    return k;
}

static const norm_loops *loops(void) { return kernel_best(KERNEL_NORM); }

/* Repeats the values of the channels for all pixels of a row. */
static void repeat(float *row, int64_t channels, int64_t width) {
    for (int64_t i = channels; i < width; i += channels)
        memcpy(row + i, row, (size_t)channels * sizeof *row);
}

/* Adds the later pixels of a row to its first, which then holds sums [channels]. */
CLONED(void, fold, (float *row, int64_t channels, int64_t width), (row, channels, width)) {
    for (int64_t at = channels; at < width; at += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) row[c] += row[at + c];
    }
}

CLONED(double, group_sum, (const float *sums, int64_t wide), (sums, wide)) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < wide; c++) sum += sums[c];
    return sum;
}

/* sums += of */
CLONED(void, add_up, (double *restrict sums, const float *restrict of, int64_t n), (sums, of, n)) {
    for (int64_t i = 0; i < n; i++) sums[i] += of[i];
}

/* Mean and sum of squared deviations of n values. They are combined as in Chan, Golub & LeVeque
 * 1983, (2.1). */
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

/* pivot [width] = the mean of each group over `pixels` pixels, at most a row. Overwrites sum and
 * squares [row_stride]. */
static void find_pivot(const norm_shape *s, const partition *k, const void *x, int64_t pixels,
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

/* Moments [groups] of one chunk x of `pixels` pixels; scratch [3, row_stride].
 *
 * Deviations are taken from a pivot, the mean of the block's first row, so that a large constant in
 * x does not cancel the variance. The variance of the block is at least (mean - pivot)^2 divided by
 * the number of rows in it, which bounds the loss by cancellation to 1.5 log2(rows) bits; it occurs
 * only if the first row differs from the rest. */
static void chunk_moments(const norm_shape *s, const partition *k, const void *x, int64_t pixels,
                          float *scratch, moments *out) {
    float *pivot = scratch, *sum = scratch + k->row_stride;
    float *squares = scratch + 2 * k->row_stride;
    int64_t wide = s->channels / s->groups;
    memset(out, 0, (size_t)s->groups * sizeof *out);
    for (int64_t p = 0; p < pixels; p += k->block_pixels) {
        int64_t count = min_i64(k->block_pixels, pixels - p);
        const void *block = activation_at(s->type, x, p * s->channels);
        find_pivot(s, k, block, min_i64(k->row_pixels, count), pivot, sum, squares);
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

/* Coefficients [width] of the norm before SiLU, u = (x - mean) slope + offset. */
CLONED(void, coefficients,
       (const norm_shape *s, const partition *k, const float *restrict gain,
        const float *restrict bias, const float *restrict scale_shift, const float *restrict mean,
        const float *restrict rstd, float *restrict means, float *restrict slope,
        float *restrict offset),
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

/* Bytes per element that gradients() keeps for finish(). */
static int64_t kept_bytes(const norm_shape *s) {
    return s->silu ? loops()->kept[s->type == TYPE_BF16] : 0;
}

/* Likewise of one sample. */
static int64_t kept_sample(const norm_shape *s) {
    return round_up_to_cache_line(s->pixels * s->channels * kept_bytes(s));
}

static norm_rows rows_of(const norm_shape *s, const partition *k, const float *rows) {
    return (norm_rows){.type = s->type,
                       .silu = s->silu,
                       .width = k->width,
                       .mean = rows,
                       .slope = rows + k->row_stride,
                       .offset = rows + 2 * k->row_stride,
                       .same = rows + 3 * k->row_stride,
                       .spread = rows + 4 * k->row_stride};
}

/* The arguments of the work on one sample in either direction. out: y or dx. sample_forward() and
 * sample_backward() say what scratch, parts and sums hold. */
typedef struct sample {
    const norm_shape *s;
    const partition *k;
    norm_rows rows;
    const void *x, *dy;
    void *out;
    bool add;
    float *scratch;
    moments *parts;
    double *sums;
    char *kept;
} sample;

/* First element of chunk i in the sample. */
static int64_t chunk_at(const sample *a, int64_t i) {
    return i * a->k->chunk_pixels * a->s->channels;
}

/* Elements of chunk i. */
static int64_t chunk_count(const sample *a, int64_t i) {
    return min_i64(a->k->chunk_pixels, a->s->pixels - i * a->k->chunk_pixels) * a->s->channels;
}

/* Calls work for every chunk, in parallel if the threads share samples. The two loops, here and in
 * for_samples(), replace an if clause of the directive, which would open a nested team of threads:
 * one thread inside a team costs more than a small sample, and a team inside a team of one creates
 * new threads each time. */
static void for_chunks(const sample *a, void (*work)(const sample *a, int64_t i)) {
    if (a->k->split_samples) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < a->k->chunks; i++) work(a, i);
    } else {
        for (int64_t i = 0; i < a->k->chunks; i++) work(a, i);
    }
}

static void moments_chunk(const sample *a, int64_t i) {
    const norm_shape *s = a->s;
    chunk_moments(s, a->k, activation_at(s->type, a->x, chunk_at(a, i)),
                  chunk_count(a, i) / s->channels, a->scratch + i * 3 * a->k->row_stride,
                  a->parts + i * s->groups);
}

static void apply_chunk(const sample *a, int64_t i) {
    int64_t at = chunk_at(a, i);
    loops()->apply(&a->rows, activation_at(a->s->type, a->x, at), chunk_count(a, i),
                   activation_at(a->s->type, a->out, at));
}

/* scratch [chunks, 3, row_stride], parts [chunks, groups]. The coefficients overwrite the scratch
 * of the first chunk. */
static void sample_forward(const sample *a, const float *gain, const float *bias,
                           const float *scale_shift, float *mean, float *rstd) {
    const norm_shape *s = a->s;
    if (!s->given) for_chunks(a, moments_chunk);
    for (int64_t g = 0; g < s->groups && !s->given; g++) {
        moments all = {0};
        for (int64_t i = 0; i < a->k->chunks; i++) moments_join(&all, &a->parts[i * s->groups + g]);
        mean[g] = (float)all.mean;
        double variance = all.squares > 0 ? all.squares / all.n : all.squares * 0; /* NaN stays */
        rstd[g] = (float)(1 / sqrt(variance + s->epsilon));
    }
    coefficients(s, a->k, gain, bias, scale_shift, mean, rstd, a->scratch,
                 a->scratch + a->k->row_stride, a->scratch + 2 * a->k->row_stride);
    for_chunks(a, apply_chunk);
}

/* Floats of scratch for the coefficients and sums of the whole batch. */
static int64_t forward_floats(const norm_shape *s, const partition *k) {
    return s->batch * k->chunks * 3 * k->row_stride;
}
static int64_t backward_floats(const norm_shape *s, const partition *k) {
    return s->batch * (5 + 2 * k->chunks) * k->row_stride;
}

int64_t norm_fast_scratch(const norm_shape *s) {
    partition k = partition_of(s);
    int64_t forward = forward_floats(s, &k) * (int64_t)sizeof(float) +
                      s->batch * k.chunks * s->groups * (int64_t)sizeof(moments);
    int64_t samples_at_once = k.split_samples ? 1 : omp_get_max_threads();
    int64_t backward = backward_floats(s, &k) * (int64_t)sizeof(float) +
                       (s->batch * (1 + k.chunks) + 1) * 2 * s->channels * (int64_t)sizeof(double) +
                       samples_at_once * kept_sample(s);
    return max_i64(forward, backward);
}

/* The arguments of one call of forward or backward; pointers that only the other uses are NULL. */
typedef struct call {
    const norm_shape *s;
    partition k;
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
    if (c->k.split_samples) {
        for (int64_t b = 0; b < c->s->batch; b++) work(c, b);
    } else {
#pragma omp parallel for schedule(static)
        for (int64_t b = 0; b < c->s->batch; b++) work(c, b);
    }
}

static void call_forward(const call *c, int64_t b) {
    const norm_shape *s = c->s;
    const partition *k = &c->k;
    int64_t at = b * s->pixels * s->channels;
    float *rows = c->rows + b * k->chunks * 3 * k->row_stride;
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
              .k = partition_of(s),
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

/* sums [2, channels] of du and of du * (x - mean) over one chunk; scratch [2, row_stride]. */
static void chunk_gradients(const norm_shape *s, const partition *k, const norm_rows *rows,
                            const void *x, const void *dy, int64_t pixels, float *scratch,
                            double *sums, char *kept) {
    float *sum = scratch, *sum_x = scratch + k->row_stride;
    memset(sums, 0, (size_t)(2 * s->channels) * sizeof *sums);
    for (int64_t p = 0; p < pixels; p += k->block_pixels) {
        int64_t n = min_i64(k->block_pixels, pixels - p) * s->channels, at = p * s->channels;
        memset(sum, 0, (size_t)(2 * k->row_stride) * sizeof(float));
        loops()->gradients(rows, activation_at(s->type, x, at), activation_at(s->type, dy, at), n,
                           sum, sum_x, kept + at * kept_bytes(s));
        fold(sum, s->channels, k->width);
        fold(sum_x, s->channels, k->width);
        add_up(sums, sum, s->channels);
        add_up(sums + s->channels, sum_x, s->channels);
    }
}

/* The coefficients same and spread from the sums of a sample, by the formula in norm_ref.c. */
CLONED(void, gradient_rows,
       (const norm_shape *s, const partition *k, const float *rstd, const double *sums,
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
                    a->scratch + (5 + i * 2) * a->k->row_stride,
                    a->sums + (1 + i) * 2 * s->channels, a->kept + at * kept_bytes(s));
}

static void finish_chunk(const sample *a, int64_t i) {
    int64_t at = chunk_at(a, i);
    loops()->finish(&a->rows, a->add, activation_at(a->s->type, a->x, at),
                    activation_at(a->s->type, a->dy, at), a->kept + at * kept_bytes(a->s),
                    chunk_count(a, i), activation_at(a->s->type, a->out, at));
}

/* scratch: coefficients [5, row_stride], then [chunks, 2, row_stride]. sums [1 + chunks, 2,
 * channels]: of the sample, then of the chunks. */
static void sample_backward(const sample *a, const float *rstd) {
    int64_t pair = 2 * a->s->channels, row = a->k->row_stride;
    for_chunks(a, gradients_chunk);
    memset(a->sums, 0, (size_t)pair * sizeof *a->sums);
    for (int64_t i = 0; i < a->k->chunks; i++)
        for (int64_t c = 0; c < pair; c++) a->sums[c] += a->sums[(1 + i) * pair + c];
    gradient_rows(a->s, a->k, rstd, a->sums, a->scratch + row, a->scratch + 3 * row,
                  a->scratch + 4 * row);
    for_chunks(a, finish_chunk);
}

/* From the sums [2, channels] of one sample: adds to the gradients of gain and bias, and sets those
 * of its scale and shift. */
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

/* Gradients of gain, bias, scale and shift from the sums of every sample, added up in the order of
 * the batch. all [2, channels] must hold zeros. */
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

/* Distance in doubles between the sums of two consecutive samples. */
static int64_t sums_stride(const norm_shape *s, const partition *k) {
    return (1 + k->chunks) * 2 * s->channels;
}

static void call_backward(const call *c, int64_t b) {
    const norm_shape *s = c->s;
    const partition *k = &c->k;
    int64_t at = b * s->pixels * s->channels;
    float *rows = c->rows + b * (5 + 2 * k->chunks) * k->row_stride;
    const sample a = {.s = s,
                      .k = k,
                      .rows = rows_of(s, k, rows),
                      .x = activation_at(s->type, c->x, at),
                      .dy = activation_at(s->type, c->dy, at),
                      .out = activation_at(s->type, c->out, at),
                      .add = c->add,
                      .scratch = rows,
                      .sums = c->sums + b * sums_stride(s, k),
                      .kept =
                          c->kept + (k->split_samples ? 0 : omp_get_thread_num()) * kept_sample(s)};
    coefficients(s, k, c->gain, c->bias, scale_shift_of(c, b), c->mean + b * s->groups,
                 c->rstd + b * s->groups, rows, rows + k->row_stride, rows + 2 * k->row_stride);
    sample_backward(&a, c->rstd + b * s->groups);
}

status norm_fast_backward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                          const float *scale_shift, const float *mean, const float *rstd,
                          const void *dy, bool add, void *dx, float *dgain, float *dbias,
                          float *dscale_shift, void *scratch) {
    call c = {.s = s,
              .k = partition_of(s),
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
