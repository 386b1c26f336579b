/* Group normalisation with optional scale-shift and SiLU, and SiLU alone, at memory speed.
 *
 * A sample is cut into chunks of pixels and these into blocks that stay in the first-level cache;
 * the cuts follow from the shape alone. Sums run in f32 inside a block, are folded in f64, and
 * are joined in the order of the chunks: the bits depend neither on the number of threads nor on
 * the place of the sample in the batch. Several pixels are walked as one "run" of about 256 numbers
 * with per-channel coefficients repeated over it, so that any channel count fills the vectors.
 */
#include "io/span.h"
#include "model/nn/kernels_fast.h"

#include <math.h>
#include <omp.h>

enum { VECTOR = 16, RUN = 256, BLOCK = 8192, CHUNK = 65536, MOST_CHUNKS = 64 }; /* floats */

/* How one norm is cut. */
typedef struct cut {
    int64_t width;        /* floats of a run: channels * pixels of a run */
    int64_t row;          /* width rounded up to whole vectors: from one row to the next */
    int64_t block_pixels; /* whole runs */
    int64_t chunk_pixels, chunks;
    bool across; /* threads share a sample, for there are fewer samples than threads */
} cut;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static cut cut_of(const norm_shape *s) {
    cut k;
    int64_t run = most(1, RUN / s->channels);
    k.width = run * s->channels;
    k.row = (k.width + VECTOR - 1) / VECTOR * VECTOR;
    k.block_pixels = run * most(1, BLOCK / k.width);
    k.chunks = most(1, least(MOST_CHUNKS, s->pixels * s->channels / CHUNK));
    k.chunk_pixels = (s->pixels + k.chunks - 1) / k.chunks;
    k.chunks = (s->pixels + k.chunk_pixels - 1) / k.chunk_pixels;
    k.across = s->batch < omp_get_max_threads();
    return k;
}

/* Zeroed rows for sums and coefficients, on vector boundaries: rows that straddle cache lines cost
 * small maps much of their speed. The caller frees *memory. */
static status rows_alloc(int64_t floats, void **memory, float **rows) {
    status st = array_alloc(memory, floats + VECTOR, sizeof(float), "norm scratch");
    uintptr_t at = (uintptr_t)*memory, boundary = VECTOR * sizeof(float);
    *rows = (float *)((at + boundary - 1) / boundary * boundary);
    return st;
}

/* Leaf loops. x holds n numbers, a block; position i of a run has coefficient [i]. */

CLONES static void add_up(const float *restrict x, int64_t n, int64_t width, float *restrict sum) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        for (int64_t i = 0; i < length; i++) sum[i] += x[at + i];
    }
}

CLONES static void add_deviations(const float *restrict x, int64_t n, int64_t width,
                                  const float *restrict pivot, float *restrict sum,
                                  float *restrict squares) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        for (int64_t i = 0; i < length; i++) {
            float d = x[at + i] - pivot[i];
            sum[i] += d;
            squares[i] += d * d;
        }
    }
}

CLONES static void apply(const float *restrict x, int64_t n, int64_t width,
                         const float *restrict mean, const float *restrict slope,
                         const float *restrict offset, bool silu, float *restrict y) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        if (silu) {
            for (int64_t i = 0; i < length; i++) {
                float u = (x[at + i] - mean[i]) * slope[i] + offset[i];
                y[at + i] = u * fast_sigmoid(u);
            }
        } else {
            for (int64_t i = 0; i < length; i++)
                y[at + i] = (x[at + i] - mean[i]) * slope[i] + offset[i];
        }
    }
}

static inline float silu_slope(float u) {
    float g = fast_sigmoid(u);
    return g * (1.0f + u * (1.0f - g));
}

/* du = dy * silu'(u), and per position the sums of du and of du * (x - mean). */
CLONES static void add_gradients_silu(const float *restrict x, const float *restrict dy, int64_t n,
                                      int64_t width, const float *restrict mean,
                                      const float *restrict slope, const float *restrict offset,
                                      float *restrict du, float *restrict sum,
                                      float *restrict sum_x) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        for (int64_t i = 0; i < length; i++) {
            float d = x[at + i] - mean[i];
            float g = dy[at + i] * silu_slope(d * slope[i] + offset[i]);
            du[at + i] = g;
            sum[i] += g;
            sum_x[i] += g * d;
        }
    }
}

CLONES static void add_gradients(const float *restrict x, const float *restrict dy, int64_t n,
                                 int64_t width, const float *restrict mean, float *restrict sum,
                                 float *restrict sum_x) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        for (int64_t i = 0; i < length; i++) {
            sum[i] += dy[at + i];
            sum_x[i] += dy[at + i] * (x[at + i] - mean[i]);
        }
    }
}

/* dx = slope du - same - (x - mean) spread; du may be dx. */
CLONES static void finish_gradient(const float *restrict x, const float *du, int64_t n,
                                   int64_t width, const float *restrict mean,
                                   const float *restrict slope, const float *restrict same,
                                   const float *restrict spread, float *dx) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
#pragma omp simd
        for (int64_t i = 0; i < length; i++)
            dx[at + i] = slope[i] * du[at + i] - same[i] - (x[at + i] - mean[i]) * spread[i];
    }
}

static void repeat(float *row, int64_t channels, int64_t width) {
    for (int64_t i = channels; i < width; i++) row[i] = row[i - channels];
}

/* Adds the later pixels of a run to its first, which then holds sums [channels]. */
CLONES static void fold(float *run, int64_t channels, int64_t width) {
    for (int64_t at = channels; at < width; at += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) run[c] += run[at + c];
    }
}

static double group_sum(const float *sums, int64_t wide) {
    double sum = 0;
    for (int64_t c = 0; c < wide; c++) sum += sums[c];
    return sum;
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

/* Moments [groups] of one chunk x of `pixels` pixels; scratch [3, row]. Two passes over each
 * block while it is in the cache: deviations are taken from the block's own mean, so that no
 * constant in x, however large, eats the variance. */
static void chunk_moments(const norm_shape *s, const cut *k, const float *x, int64_t pixels,
                          float *scratch, moments *out) {
    float *pivot = scratch, *sum = scratch + k->row, *squares = scratch + 2 * k->row;
    int64_t wide = s->channels / s->groups;
    memset(out, 0, (size_t)s->groups * sizeof *out);
    for (int64_t p = 0; p < pixels; p += k->block_pixels) {
        int64_t count = least(k->block_pixels, pixels - p), n = count * s->channels;
        const float *block = x + p * s->channels;
        memset(sum, 0, (size_t)(2 * k->row) * sizeof(float));
        add_up(block, n, k->width, sum);
        fold(sum, s->channels, k->width);
        for (int64_t c = 0; c < s->channels; c += wide) {
            float mean = (float)(group_sum(sum + c, wide) / (double)(count * wide));
            for (int64_t i = c; i < c + wide; i++) pivot[i] = mean;
        }
        repeat(pivot, s->channels, k->width);
        memset(sum, 0, (size_t)k->row * sizeof(float));
        add_deviations(block, n, k->width, pivot, sum, squares);
        fold(sum, s->channels, k->width);
        fold(squares, s->channels, k->width);
        for (int64_t g = 0; g < s->groups; g++) {
            moments m = {.n = (double)(count * wide)};
            double off = group_sum(sum + g * wide, wide) / m.n; /* the pivot's own rounding */
            m.mean = pivot[g * wide] + off;
            m.squares = group_sum(squares + g * wide, wide) - off * off * m.n;
            moments_join(&out[g], &m);
        }
    }
}

/* slope and offset [width]: u = (x - mean) slope + offset is the whole norm before SiLU. */
CLONES static void coefficients(const norm_shape *s, const cut *k, const float *restrict gain,
                                const float *restrict bias, const float *restrict scale_shift,
                                const float *restrict mean, const float *restrict rstd,
                                float *restrict means, float *restrict slope,
                                float *restrict offset) {
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

/* One sample; scratch [chunks, 3, row], parts [chunks, groups]. */
static void sample_forward(const norm_shape *s, const cut *k, const float *x, const float *gain,
                           const float *bias, const float *scale_shift, float *mean, float *rstd,
                           float *y, float *scratch, moments *parts) {
#pragma omp parallel for schedule(static) if (k->across)
    for (int64_t i = 0; i < k->chunks; i++) {
        int64_t p = i * k->chunk_pixels;
        chunk_moments(s, k, x + p * s->channels, least(k->chunk_pixels, s->pixels - p),
                      scratch + i * 3 * k->row, parts + i * s->groups);
    }
    for (int64_t g = 0; g < s->groups; g++) {
        moments all = {0};
        for (int64_t i = 0; i < k->chunks; i++) moments_join(&all, &parts[i * s->groups + g]);
        mean[g] = (float)all.mean;
        double variance = all.squares > 0 ? all.squares / all.n : all.squares * 0; /* NaN stays */
        rstd[g] = (float)(1 / sqrt(variance + s->epsilon));
    }
    float *means = scratch, *slope = scratch + k->row, *offset = scratch + 2 * k->row;
    coefficients(s, k, gain, bias, scale_shift, mean, rstd, means, slope, offset);
#pragma omp parallel for schedule(static) if (k->across)
    for (int64_t i = 0; i < k->chunks; i++) {
        int64_t p = i * k->chunk_pixels, n = least(k->chunk_pixels, s->pixels - p) * s->channels;
        apply(x + p * s->channels, n, k->width, means, slope, offset, s->silu, y + p * s->channels);
    }
}

int64_t norm_fast_scratch(const norm_shape *s) {
    (void)s;
    return 0;
}

status norm_fast_forward(const norm_shape *s, const void *px, const float *gain, const float *bias,
                         const float *scale_shift, float *mean, float *rstd, void *py,
                         void *unused) {
    status st;
    const float *x = px;
    float *y = py;
    (void)unused;
    cut k = cut_of(s);
    int64_t sample = s->pixels * s->channels, each = k.chunks * 3 * k.row;
    void *memory = NULL;
    float *scratch;
    moments *parts = NULL;
    TRY(rows_alloc(s->batch * each, &memory, &scratch));
    TRY(array_alloc(&parts, s->batch * k.chunks * s->groups, sizeof *parts, "norm scratch"));
#pragma omp parallel for schedule(static) if (!k.across)
    for (int64_t b = 0; b < s->batch; b++) {
        sample_forward(s, &k, x + b * sample, gain, bias,
                       scale_shift ? scale_shift + b * 2 * s->channels : NULL, mean + b * s->groups,
                       rstd + b * s->groups, y + b * sample, scratch + b * each,
                       parts + b * k.chunks * s->groups);
    }
done:
    free(memory);
    free(parts);
    return st;
}

/* Per channel the sums [2, channels] of du and du * (x - mean) over one chunk; scratch [2, row].
 * du may be NULL when there is no SiLU: it is dy then. */
static void chunk_gradients(const norm_shape *s, const cut *k, const float *x, const float *dy,
                            int64_t pixels, const float *rows, float *du, float *scratch,
                            double *sums) {
    const float *means = rows, *slope = rows + k->row, *offset = rows + 2 * k->row;
    float *sum = scratch, *sum_x = scratch + k->row;
    memset(sums, 0, (size_t)(2 * s->channels) * sizeof *sums);
    for (int64_t p = 0; p < pixels; p += k->block_pixels) {
        int64_t n = least(k->block_pixels, pixels - p) * s->channels, at = p * s->channels;
        memset(sum, 0, (size_t)(2 * k->row) * sizeof(float));
        if (s->silu)
            add_gradients_silu(x + at, dy + at, n, k->width, means, slope, offset, du + at, sum,
                               sum_x);
        else
            add_gradients(x + at, dy + at, n, k->width, means, sum, sum_x);
        fold(sum, s->channels, k->width);
        fold(sum_x, s->channels, k->width);
        for (int64_t c = 0; c < s->channels; c++) {
            sums[c] += sum[c];
            sums[s->channels + c] += sum_x[c];
        }
    }
}

/* Rows same and spread of finish_gradient() from the sample's sums; see kernels_ref.c for the
 * formula. */
CLONES static void gradient_rows(const norm_shape *s, const cut *k, const float *rstd,
                                 const double *sums, const float *slope, float *same,
                                 float *spread) {
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

/* One sample; rows [5, row], scratch [chunks, 2, row], sums [1 + chunks, 2, channels]: the
 * first are the sample's. With SiLU, du waits in dx for the second pass, which saves computing the
 * sigmoid again. */
static void sample_backward(const norm_shape *s, const cut *k, const float *x, const float *rstd,
                            const float *dy, float *dx, float *rows, float *scratch, double *sums) {
    int64_t pair = 2 * s->channels;
#pragma omp parallel for schedule(static) if (k->across)
    for (int64_t i = 0; i < k->chunks; i++) {
        int64_t p = i * k->chunk_pixels, at = p * s->channels;
        chunk_gradients(s, k, x + at, dy + at, least(k->chunk_pixels, s->pixels - p), rows, dx + at,
                        scratch + i * 2 * k->row, sums + (1 + i) * pair);
    }
    memset(sums, 0, (size_t)pair * sizeof *sums);
    for (int64_t i = 0; i < k->chunks; i++)
        for (int64_t c = 0; c < pair; c++) sums[c] += sums[(1 + i) * pair + c];
    float *slope = rows + k->row, *same = rows + 3 * k->row, *spread = rows + 4 * k->row;
    gradient_rows(s, k, rstd, sums, slope, same, spread);
#pragma omp parallel for schedule(static) if (k->across)
    for (int64_t i = 0; i < k->chunks; i++) {
        int64_t p = i * k->chunk_pixels, at = p * s->channels;
        finish_gradient(x + at, (s->silu ? dx : dy) + at,
                        least(k->chunk_pixels, s->pixels - p) * s->channels, k->width, rows, slope,
                        same, spread, dx + at);
    }
}

/* Gradients of gain, bias, scale and shift from every sample's sums, in the order of the batch. */
static void parameter_gradients(const norm_shape *s, const float *gain, const float *bias,
                                const float *scale_shift, const float *rstd, const double *sums,
                                int64_t stride, float *dgain, float *dbias, float *dscale_shift) {
    int64_t wide = s->channels / s->groups;
    for (int64_t c = 0; c < s->channels; c++) {
        double gain_sum = 0, bias_sum = 0;
        for (int64_t b = 0; b < s->batch; b++) {
            double du = sums[b * stride + c];
            double du_xhat = sums[b * stride + s->channels + c] * rstd[b * s->groups + c / wide];
            double scale = scale_shift ? 1.0 + scale_shift[b * 2 * s->channels + c] : 1;
            gain_sum += scale * du_xhat;
            bias_sum += scale * du;
            if (!dscale_shift) continue;
            dscale_shift[b * 2 * s->channels + c] = (float)(gain[c] * du_xhat + bias[c] * du);
            dscale_shift[b * 2 * s->channels + s->channels + c] = (float)du;
        }
        dgain[c] += (float)gain_sum;
        dbias[c] += (float)bias_sum;
    }
}

status norm_fast_backward(const norm_shape *s, const void *px, const float *gain, const float *bias,
                          const float *scale_shift, const float *mean, const float *rstd,
                          const void *pdy, bool add, void *pdx, float *dgain, float *dbias,
                          float *dscale_shift, void *unused) {
    status st;
    const float *x = px, *dy = pdy;
    float *dx = pdx;
    (void)unused, (void)add;
    cut k = cut_of(s);
    int64_t sample = s->pixels * s->channels, each = (5 + 2 * k.chunks) * k.row;
    int64_t stride = (1 + k.chunks) * 2 * s->channels;
    void *memory = NULL;
    float *scratch;
    double *sums = NULL;
    TRY(rows_alloc(s->batch * each, &memory, &scratch));
    TRY(array_alloc(&sums, s->batch * stride, sizeof *sums, "norm scratch"));
#pragma omp parallel for schedule(static) if (!k.across)
    for (int64_t b = 0; b < s->batch; b++) {
        float *rows = scratch + b * each;
        coefficients(s, &k, gain, bias, scale_shift ? scale_shift + b * 2 * s->channels : NULL,
                     mean + b * s->groups, rstd + b * s->groups, rows, rows + k.row,
                     rows + 2 * k.row);
        sample_backward(s, &k, x + b * sample, rstd + b * s->groups, dy + b * sample,
                        dx + b * sample, rows, rows + 5 * k.row, sums + b * stride);
    }
    parameter_gradients(s, gain, bias, scale_shift, rstd, sums, stride, dgain, dbias, dscale_shift);
done:
    free(memory);
    free(sums);
    return st;
}

CLONES static void silu_block(const float *x, float *y, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * fast_sigmoid(x[i]);
}

CLONES static void silu_block_backward(const float *x, const float *dy, float *dx, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * silu_slope(x[i]);
}

void silu_fast_forward(const float *x, float *y, int64_t n) {
#pragma omp parallel for schedule(static) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += BLOCK) silu_block(x + i, y + i, least(BLOCK, n - i));
}

void silu_fast_backward(const float *x, const float *dy, float *dx, int64_t n) {
#pragma omp parallel for schedule(static) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += BLOCK)
        silu_block_backward(x + i, dy + i, dx + i, least(BLOCK, n - i));
}
