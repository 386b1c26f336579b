/* Strips of rows are copied between columns of zeros, x with a row more above and below. Then a tap
 * is one offset for all pixels of a strip: each product is whole, and what it multiplies across the
 * end of a row is a zero of dy.
 *
 * Strips are shared among the threads, each of which has sums of its own: these are added in the
 * order of the threads.
 */
#include "model/nn/taps.h"

#include "model/nn/kernels_fast.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>

enum { ROWS = 16, TAPS = 9 };

/* How the work is cut; counts of floats. */
typedef struct cut {
    int64_t row;        /* pixels of a row and its two columns of zeros */
    int64_t rows;       /* of a strip, at most */
    int64_t strips;     /* of a sample */
    int64_t x, dy, sum; /* of one strip's x and dy, and of one thread's sums [tap, out, in] */
} cut;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t whole_lines(int64_t floats) { return (floats + 15) / 16 * 16; }

static cut cut_of(const conv_shape *s) {
    cut k = {.row = s->width + 2, .rows = least(ROWS, s->height)};
    k.strips = (s->height + k.rows - 1) / k.rows;
    k.x = whole_lines((k.rows + 2) * k.row * s->in);
    k.dy = whole_lines(k.rows * k.row * s->out);
    k.sum = whole_lines(TAPS * s->out * s->in);
    return k;
}

int64_t taps_scratch(const conv_shape *s) {
    const cut k = cut_of(s);
    if (s->in > INT_MAX || s->out > INT_MAX || k.rows * k.row > INT_MAX) return -1;
    return omp_get_max_threads() * (k.x + k.dy + k.sum) * (int64_t)sizeof(float);
}

/* Rows [first, first + count) of a map [height, width, channels] between columns of zeros; rows
 * outside the map are zeros. */
static void copy_rows(const conv_shape *s, int64_t channels, const float *map, int64_t first,
                      int64_t count, float *to) {
    const int64_t inside = s->width * channels;
    for (int64_t r = first; r < first + count; r++, to += inside + 2 * channels) {
        memset(to, 0, (size_t)channels * sizeof *to);
        if (r >= 0 && r < s->height)
            memcpy(to + channels, map + r * inside, (size_t)inside * sizeof *to);
        else
            memset(to + channels, 0, (size_t)inside * sizeof *to);
        memset(to + channels + inside, 0, (size_t)channels * sizeof *to);
    }
}

/* Adds what rows [first, first + count) of one sample give. The first and the last pixel of a strip
 * are zeros of dy, and left out: their neighbours would lie outside. */
static void add_strip(const conv_shape *s, const cut *k, const float *x, const float *dy,
                      int64_t first, int64_t count, bool begins, float *at) {
    float *xs = at, *dys = xs + k->x, *sum = dys + k->dy;
    copy_rows(s, s->in, x, first - 1, count + 2, xs);
    copy_rows(s, s->out, dy, first, count, dys);
    for (int64_t t = 0; t < TAPS; t++)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)s->out, (int)s->in,
                    (int)(count * k->row - 2), 1, dys + s->out, (int)s->out,
                    xs + (t / 3 * k->row + t % 3) * s->in, (int)s->in, begins ? 0 : 1,
                    sum + t * s->out * s->in, (int)s->in);
}

/* dw of output o += the sums of all threads. */
CLONES static void add_sums(const conv_shape *s, const float *sums, int64_t stride, int64_t threads,
                            int64_t o, float *restrict dw) {
    for (int64_t i = 0; i < s->in; i++)
        for (int64_t t = 0; t < TAPS; t++) {
            float sum = 0;
            for (int64_t thread = 0; thread < threads; thread++)
                sum += sums[thread * stride + (t * s->out + o) * s->in + i];
            dw[i * TAPS + t] += sum;
        }
}

void taps_gradient(const conv_shape *s, const float *x, const float *dy, float *dw, void *scratch) {
    const cut k = cut_of(s);
    const int64_t units = s->batch * k.strips, each = k.x + k.dy + k.sum;
    const int64_t threads = least(omp_get_max_threads(), units);
    const int64_t pixels = s->height * s->width;
#pragma omp parallel for schedule(static, 1) num_threads((int)threads)
    for (int64_t thread = 0; thread < threads; thread++) {
        int64_t begin = units * thread / threads, end = units * (thread + 1) / threads;
        for (int64_t u = begin; u < end; u++) {
            int64_t b = u / k.strips, first = u % k.strips * k.rows;
            add_strip(s, &k, x + b * pixels * s->in, dy + b * pixels * s->out, first,
                      least(k.rows, s->height - first), u == begin,
                      (float *)scratch + thread * each);
        }
    }
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < s->out; o++)
        add_sums(s, (const float *)scratch + k.x + k.dy, each, threads, o, dw + o * s->in * TAPS);
}
