/* The scanner: supersampling of voxels (partial volume effect), point spread function, noise and
 * the 12-bit range.
 *
 * A voxel is the mean of the HU of its samples, because attenuation is additive. The point spread
 * function is a Gaussian in the plane of the slice, applied on the fine grid. The noise of filtered
 * back projection has a power spectrum proportional to frequency, limited by the reconstruction
 * kernel; it is modelled as white noise convolved with a kernel of the Fourier transform
 *
 *     sqrt(f) exp(-(f / f_c)^2 / 2).
 */
#include "model/phantom/scan.h"
#include "model/phantom/anatomy.h"
#include "io/alloc.h"

#include <string.h>

/* Noise kernel: largest offset and size. Point spread function: largest offset. Range of HU. */
enum { REACH = 7, TAPS = 2 * REACH + 1, BLUR_MAX = 8, HU_MIN = -1024, HU_MAX = 3071 };

/* What scanners differ in; relative to the first one, but for the cutoff of the noise, 1 / mm. */
typedef struct scanner_traits {
    float noise, blur;
    double view, cutoff;
} scanner_traits;

/* Standard soft kernels roll off near 0.35 / mm, sharp ones near 0.6 / mm. */
static const scanner_traits scanners[] = {
    [SCANNER_FIRST] = {1, 1, 1, 0.35}, [SCANNER_SECOND] = {2, 0.6f, 1.2, 0.6}};

/* The kernel of unit-variance noise: an inverse DFT on TAPS x TAPS points, normalised. Large pixels
 * average out what is above the cutoff (1 / mm). */
static void noise_kernel(double roll_off, double spacing, float kernel[TAPS][TAPS]) {
    const double cutoff = fmin(roll_off * spacing, 0.45), pi = 3.14159265358979323846;
    double square = 0;
    for (int y = -REACH; y <= REACH; y++)
        for (int x = -REACH; x <= REACH; x++) {
            double sum = 0;
            for (int v = -REACH; v <= REACH; v++)
                for (int u = -REACH; u <= REACH; u++) {
                    const double f = sqrt((double)(u * u + v * v)) / TAPS;
                    sum += sqrt(f) * exp(-0.5 * f * f / (cutoff * cutoff)) *
                           cos(2 * pi * (u * x + v * y) / TAPS);
                }
            kernel[y + REACH][x + REACH] = (float)sum;
            square += sum * sum;
        }
    for (int i = 0; i < TAPS * TAPS; i++) (&kernel[0][0])[i] /= (float)sqrt(square);
}

status phantom_noise(const phantom *p, int64_t slice, int64_t h, int64_t w, double spacing,
                     float *out) {
    status st = ST_OK;
    float *white = NULL, kernel[TAPS][TAPS];
    int64_t n = 0;
    /* A margin of REACH pixels, so that the variance is the same at the border of the slice. */
    const int64_t wide = w + 2 * REACH, tall = h + 2 * REACH;
    if (!size_mul(wide, tall, &n)) n = -1;
    TRY(array_alloc(&white, n, sizeof *white, "white noise of a slice"));
    rng_stream r = rng_open(p->seed, RNG_PHANTOM, p->index,
                            DRAW_NOISE * (1 + (uint32_t)p->scanner) + (uint32_t)slice);
    rng_fill_normal(&r, white, n);
    noise_kernel(scanners[p->scanner].cutoff, spacing, kernel);
    memset(out, 0, (size_t)(h * w) * sizeof *out);
    for (int64_t y = 0; y < h; y++)
        for (int v = 0; v < TAPS; v++)
            for (int u = 0; u < TAPS; u++) {
                const float k = kernel[v][u], *from = white + (y + v) * wide + u;
                float *to = out + y * w;
                for (int64_t x = 0; x < w; x++) to[x] += k * from[x];
            }
done:
    free(white);
    return st;
}

/* Samples along a side of a voxel: 2 to 4, if possible not more than `distance` mm apart. */
static int samples(double spacing, double distance) {
    const int n = (int)ceil(spacing / distance);
    return n < 2 ? 2 : n > 4 ? 4 : n;
}

/* The working memory of one thread; owned. */
typedef struct workspace {
    float *fine;  /* the fine grid of a slice: sums of HU over the samples in depth */
    float *line;  /* a row or column of the fine grid with BLUR_MAX values before and behind it */
    float *noise; /* h * w */
    uint16_t *votes; /* h * w * LABEL_COUNT: samples of a pixel with each label */
} workspace;

/* What the slices of a scan share. */
typedef struct scan_setup {
    const phantom *patient;
    const phantom_grid *grid;
    int in_plane, in_depth;   /* samples along a side of a voxel */
    int reach;                /* largest offset of the point spread function on the fine grid */
    float taps[BLUR_MAX + 1]; /* its weights at offsets 0..reach */
} scan_setup;

static scan_setup setup_of(const phantom *p, const phantom_grid *g) {
    scan_setup s = {.patient = p, .grid = g};
    s.in_plane = samples(fmax(g->spacing[1], g->spacing[2]), 1.3);
    s.in_depth = samples(g->spacing[0], 2.5);
    const double sigma = scanners[p->scanner].blur * p->blur / (g->spacing[1] / s.in_plane);
    s.reach = (int)fmin(ceil(3 * sigma), BLUR_MAX);
    float sum = 0;
    for (int k = 0; k <= s.reach; k++) {
        s.taps[k] = (float)exp(-0.5 * k * k / (sigma * sigma));
        sum += (k ? 2.0f : 1.0f) * s.taps[k];
    }
    for (int k = 0; k <= s.reach; k++) s.taps[k] /= sum;
    return s;
}

/* Evaluates the samples of slice k: sums of HU in fine[y x], label counts in votes[y x label]. */
static void sample_slice(const scan_setup *s, int64_t k, workspace *b) {
    const phantom_grid *g = s->grid;
    const int64_t h = g->shape[1], w = g->shape[2], n = s->in_plane, wide = w * n;
    memset(b->fine, 0, (size_t)(h * n * wide) * sizeof *b->fine);
    memset(b->votes, 0, (size_t)(h * w * LABEL_COUNT) * sizeof *b->votes);
    for (int d = 0; d < s->in_depth; d++) {
        const double z = g->origin[2] + g->spacing[0] * ((double)k + (d + 0.5) / s->in_depth - 0.5);
        for (int64_t i = 0; i < h * n; i++) {
            const double y = g->origin[1] + g->spacing[1] * (((double)i + 0.5) / (double)n - 0.5);
            for (int64_t j = 0; j < wide; j++) {
                const double x =
                    g->origin[0] + g->spacing[2] * (((double)j + 0.5) / (double)n - 0.5);
                float hu;
                const material m = phantom_sample(s->patient, (float)x, (float)y, (float)z, &hu);
                b->fine[i * wide + j] += hu;
                b->votes[((i / n) * w + j / n) * LABEL_COUNT + material_info_of(m)->label]++;
            }
        }
    }
}

/* Blurs a row or column of n values, `stride` apart. The end values are repeated outside. */
static void blur_line(const scan_setup *s, float *at, int64_t stride, int64_t n, float *line) {
    float *mid = line + BLUR_MAX;
    for (int64_t i = 0; i < n; i++) mid[i] = at[i * stride];
    for (int k = 1; k <= s->reach; k++) {
        mid[-k] = mid[0];
        mid[n - 1 + k] = mid[n - 1];
    }
    for (int64_t i = 0; i < n; i++) {
        float sum = s->taps[0] * mid[i];
        for (int k = 1; k <= s->reach; k++) sum += s->taps[k] * (mid[i - k] + mid[i + k]);
        at[i * stride] = sum;
    }
}

static uint8_t most_voted(const uint16_t *votes) {
    int best = 0;
    for (int k = 1; k < LABEL_COUNT; k++)
        if (votes[k] > votes[best]) best = k;
    return (uint8_t)best;
}

/* The standard deviation of the noise (HU) increases towards the axis, where rays are attenuated
 * most. */
static float noise_level(const phantom *p, double x, double y) {
    const double u = (x - p->shift[0]) / (150 * p->scale[0]),
                 v = (y - p->shift[1]) / (115 * p->scale[1]);
    return scanners[p->scanner].noise * p->noise *
           (float)(0.42 + 0.58 * exp(-0.5 * (u * u + v * v)));
}

/* Blurs the fine grid, averages it to voxels, adds noise, and sets the labels. */
static void finish_slice(const scan_setup *s, workspace *b, int16_t *hu, uint8_t *labels) {
    const phantom_grid *g = s->grid;
    const int64_t h = g->shape[1], w = g->shape[2], n = s->in_plane, wide = w * n;
    for (int64_t i = 0; i < h * n; i++) blur_line(s, b->fine + i * wide, 1, wide, b->line);
    for (int64_t j = 0; j < wide; j++) blur_line(s, b->fine + j, wide, h * n, b->line);
    const float weight = 1.0f / (float)(n * n * s->in_depth);
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            float sum = 0;
            for (int64_t i = 0; i < n * n; i++) {
                sum += b->fine[(y * n + i / n) * wide + x * n + i % n];
            }
            const double px = g->origin[0] + g->spacing[2] * (double)x;
            const double py = g->origin[1] + g->spacing[1] * (double)y;
            const float noisy =
                sum * weight + noise_level(s->patient, px, py) * b->noise[y * w + x];
            hu[y * w + x] = (int16_t)lrintf(fminf(fmaxf(noisy, HU_MIN), HU_MAX));
            labels[y * w + x] = most_voted(b->votes + (y * w + x) * LABEL_COUNT);
        }
}

static status workspace_alloc(const scan_setup *s, workspace *b) {
    status st = ST_OK;
    const int64_t h = s->grid->shape[1], w = s->grid->shape[2], n = s->in_plane;
    const int64_t longest = (h > w ? h : w) * n + 2 * BLUR_MAX;
    TRY(array_alloc(&b->fine, h * n * w * n, sizeof *b->fine, "the fine grid of a slice"));
    TRY(array_alloc(&b->line, longest, sizeof *b->line, "a line of a slice"));
    TRY(array_alloc(&b->noise, h * w, sizeof *b->noise, "the noise of a slice"));
    TRY(array_alloc(&b->votes, h * w * LABEL_COUNT, sizeof *b->votes, "the labels of a slice"));
done:
    return st;
}

static void workspace_free(workspace *b) {
    free(b->fine);
    free(b->line);
    free(b->noise);
    free(b->votes);
}

static status scan_slice(const scan_setup *s, int64_t k, workspace *b, int16_t *hu,
                         uint8_t *labels) {
    status st = ST_OK;
    const phantom_grid *g = s->grid;
    const int64_t pixels = g->shape[1] * g->shape[2];
    TRY(phantom_noise(s->patient, k, g->shape[1], g->shape[2], g->spacing[1], b->noise));
    sample_slice(s, k, b);
    finish_slice(s, b, hu + k * pixels, labels + k * pixels);
done:
    return st;
}

status phantom_scan(const phantom *p, const phantom_grid *grid, int16_t *hu, uint8_t *labels) {
    status worst = ST_OK;
    const scan_setup s = setup_of(p, grid);
#pragma omp parallel
    {
        workspace b = {0};
        status st = workspace_alloc(&s, &b);
#pragma omp for schedule(dynamic)
        for (int64_t k = 0; k < grid->shape[0]; k++) {
            if (st == ST_OK) st = scan_slice(&s, k, &b, hu, labels);
        }
#pragma omp critical
        if (st > worst) worst = st;
        workspace_free(&b);
    }
    /* The message of the failure is on the thread that failed; this thread needs its own. */
    if (worst != ST_OK) return status_memory("scanning a phantom", grid->shape[1] * grid->shape[2]);
    return ST_OK;
}

void phantom_plan(const phantom *p, int64_t size, int64_t slices, phantom_grid *out) {
    float widest = 0;
    for (int j = 0; j < OUTLINE_LEVELS; j++)
        for (int i = 0; i < OUTLINE_ANGLES; i++) {
            widest = fmaxf(widest, p->trunk.at[j][i][0] * fmaxf(p->scale[0], p->scale[1]));
        }
    /* The field of view of the first scanner is a multiple of 10 mm. */
    const double view =
        scanners[p->scanner].view * fmax(10.0 * ceil((2.0 * widest + 24.0) / 10.0), 340.0);
    const double pixel = view / (double)size, thick = 200.0 / (double)slices;
    *out = (phantom_grid){
        .shape = {slices, size, size},
        .spacing = {thick, pixel, pixel},
        .origin = {-0.5 * (view - pixel), -0.5 * (view - pixel) + 12.0, 0.5 * thick}};
}
