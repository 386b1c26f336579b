/* The window is separable: columns are weighted after rows. All in f64. */
#include "model/metric/ms_ssim.h"
#include "io/alloc.h"
#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>

enum { WINDOW = 11, LEVELS = 5, STEP_PAIRS = 2 };
static const double WEIGHT[LEVELS] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
static const double DEVIATION = 1.5, K1 = 0.01, K2 = 0.03;

/* The local statistics of a level. */
enum { MEAN_A, MEAN_B, SQUARE_A, SQUARE_B, PRODUCT, MAPS };

/* Working memory of one thread; each array holds size * size values. */
typedef struct workspace {
    double *a, *b;     /* the images at the present level */
    double *input;     /* what is weighted */
    double *rows;      /* weighted along rows */
    double *map[MAPS]; /* weighted along both */
} workspace;

enum { ARRAYS = 4 + MAPS };

static workspace workspace_at(double *memory, int64_t pixels) {
    workspace w = {memory, memory + pixels, memory + 2 * pixels, memory + 3 * pixels, {NULL}};
    for (int k = 0; k < MAPS; k++) w.map[k] = memory + (4 + k) * pixels;
    return w;
}

static void make_window(double window[WINDOW]) {
    double sum = 0;
    for (int k = 0; k < WINDOW; k++) {
        double at = k - WINDOW / 2;
        window[k] = exp(-at * at / (2 * DEVIATION * DEVIATION));
        sum += window[k];
    }
    for (int k = 0; k < WINDOW; k++) window[k] /= sum;
}

/* out[inner][inner], inner = size - WINDOW + 1, of x[size][size]. */
static void weight(const double *x, int64_t size, const double window[WINDOW], double *rows,
                   double *out) {
    int64_t inner = size - WINDOW + 1;
    for (int64_t r = 0; r < size; r++)
        for (int64_t c = 0; c < inner; c++) {
            double sum = 0;
            for (int k = 0; k < WINDOW; k++) sum += window[k] * x[r * size + c + k];
            rows[r * inner + c] = sum;
        }
    for (int64_t r = 0; r < inner; r++)
        for (int64_t c = 0; c < inner; c++) {
            double sum = 0;
            for (int k = 0; k < WINDOW; k++) sum += window[k] * rows[(r + k) * inner + c];
            out[r * inner + c] = sum;
        }
}

static void weight_product(const double *x, const double *y, int64_t size,
                           const double window[WINDOW], const workspace *w, double *out) {
    for (int64_t i = 0; i < size * size; i++) w->input[i] = x[i] * y[i];
    weight(w->input, size, window, w->rows, out);
}

/* The mean of cs, or of l cs if it is the last level. */
static double level_mean(const workspace *w, int64_t size, double range, bool last,
                         const double window[WINDOW]) {
    double c1 = pow(K1 * range, 2), c2 = pow(K2 * range, 2), sum = 0;
    int64_t count = (size - WINDOW + 1) * (size - WINDOW + 1);
    weight(w->a, size, window, w->rows, w->map[MEAN_A]);
    weight(w->b, size, window, w->rows, w->map[MEAN_B]);
    weight_product(w->a, w->a, size, window, w, w->map[SQUARE_A]);
    weight_product(w->b, w->b, size, window, w, w->map[SQUARE_B]);
    weight_product(w->a, w->b, size, window, w, w->map[PRODUCT]);
    for (int64_t i = 0; i < count; i++) {
        double mu_a = w->map[MEAN_A][i], mu_b = w->map[MEAN_B][i];
        double var_a = w->map[SQUARE_A][i] - mu_a * mu_a;
        double var_b = w->map[SQUARE_B][i] - mu_b * mu_b;
        double cov = w->map[PRODUCT][i] - mu_a * mu_b;
        double cs = (2 * cov + c2) / (var_a + var_b + c2);
        double l = (2 * mu_a * mu_b + c1) / (mu_a * mu_a + mu_b * mu_b + c1);
        sum += last ? l * cs : cs;
    }
    return sum / (double)count;
}

/* Means of 2 x 2 pixels, in place: no pixel is written before it was read. */
static void halve(double *x, int64_t size) {
    int64_t half = size / 2;
    for (int64_t r = 0; r < half; r++)
        for (int64_t c = 0; c < half; c++) {
            const double *from = x + 2 * r * size + 2 * c;
            x[r * half + c] = 0.25 * (from[0] + from[1] + from[size] + from[size + 1]);
        }
}

/* Copies the images; false if a pixel is not finite. */
static bool take_images(const float *a, const float *b, int64_t size, const workspace *w) {
    for (int64_t i = 0; i < size * size; i++) {
        w->a[i] = a[i];
        w->b[i] = b[i];
        if (!isfinite(w->a[i]) || !isfinite(w->b[i])) return false;
    }
    return true;
}

/* NAN if a pixel is not finite. */
static double similarity(const float *a, const float *b, int64_t size, double range,
                         const workspace *w) {
    double window[WINDOW], weights = 0, result = 1;
    int levels = 0;
    for (; levels < LEVELS && size >> levels >= WINDOW; levels++) weights += WEIGHT[levels];
    make_window(window);
    if (!take_images(a, b, size, w)) return NAN;
    for (int k = 0; k < levels; k++, size /= 2) {
        double mean = level_mean(w, size, range, k == levels - 1, window);
        result *= pow(mean > 0 ? mean : 0, WEIGHT[k] / weights);
        halve(w->a, size);
        halve(w->b, size);
    }
    return result;
}

/* *values: numbers of a workspace. */
static status check(int64_t size, double range, int64_t *values) {
    if (size < WINDOW || !(range > 0) || isinf(range))
        return status_fail(ST_INPUT,
                           "structural similarity of images of size %" PRId64
                           " and range %g: needed are at least %d and a positive range",
                           size, range, WINDOW);
    if (!size_mul(size, size, values) || !size_mul(*values, ARRAYS, values))
        return status_memory("structural similarity", INT64_MAX);
    return ST_OK;
}

static status not_finite(void) {
    return status_fail(ST_INPUT, "structural similarity of an image with NaN or infinity");
}

status ssim(const float *a, const float *b, int64_t size, double range, double *out) {
    status st = ST_OK;
    double *memory = NULL, window[WINDOW];
    int64_t values = 0;
    *out = NAN;
    TRY(check(size, range, &values));
    TRY(array_alloc(&memory, values, sizeof *memory, "structural similarity"));
    workspace w = workspace_at(memory, size * size);
    make_window(window);
    if (!take_images(a, b, size, &w)) TRY(not_finite());
    *out = level_mean(&w, size, range, true, window);
done:
    free(memory);
    return st;
}

status ms_ssim(const float *a, const float *b, int64_t size, double range, double *out) {
    status st = ST_OK;
    double *memory = NULL;
    int64_t values = 0;
    *out = NAN;
    TRY(check(size, range, &values));
    TRY(array_alloc(&memory, values, sizeof *memory, "structural similarity"));
    workspace w = workspace_at(memory, size * size);
    *out = similarity(a, b, size, range, &w);
    if (isnan(*out)) TRY(not_finite());
done:
    free(memory);
    return st;
}

status ms_ssim_pairs(const float *image, int64_t n, int64_t size, double range, int64_t pairs,
                     uint64_t seed, double *value, double *mean) {
    status st = ST_OK;
    double *memory = NULL, sum = 0;
    int64_t values = 0, all = 0;
    *mean = NAN;
    TRY(check(size, range, &values));
    if (n < 2 || pairs < 1)
        TRY(status_fail(ST_INPUT,
                        "structural similarity of %" PRId64 " pairs of %" PRId64
                        " images: at least 1 and 2 are needed",
                        pairs, n));
    if (!size_mul(values, omp_get_max_threads(), &all))
        TRY(status_memory("structural similarity", INT64_MAX));
    TRY(array_alloc(&memory, all, sizeof *memory, "structural similarity"));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < pairs; i++) {
        rng_stream r = rng_open(seed, RNG_SUBSET, (uint64_t)i, STEP_PAIRS);
        int64_t first = (int64_t)rng_below(&r, (uint64_t)n);
        int64_t second = (int64_t)rng_below(&r, (uint64_t)n - 1);
        if (second >= first) second++;
        workspace w = workspace_at(memory + omp_get_thread_num() * values, size * size);
        value[i] =
            similarity(image + first * size * size, image + second * size * size, size, range, &w);
    }
    for (int64_t i = 0; i < pairs; i++) sum += value[i];
    if (isnan(sum)) TRY(not_finite());
    *mean = sum / (double)pairs;
done:
    free(memory);
    return st;
}
