/* The painter `gaussian`: every structure in one random grey value, with noise. A baseline that
 * needs no network, after SynthSeg (Billot et al., Med. Image Anal. 86, 2023, section 3.2).
 *
 * A pixel belongs to the class of its label. Background is divided into BACKGROUNDS classes of grey
 * value (air, fat, soft tissue, bone): k-means of the background of the training slices, applied
 * to the image of the source slice, which is deformed like the labels.
 *
 * Of each class the labelled training volumes give the mean of every phase (native, contrast), its
 * standard deviation between volumes, and the standard deviation inside a volume. A synthetic
 * volume draws its mean grey values and its noise level once; its slices draw noise with the
 * correlation of the training slices, and edges are blurred alike.
 *
 * Grey values are those of slices: HU mapped to [-1, 1] by the window, and clamped.
 */
#include "pipeline/generate/painter.h"

#include "io/alloc.h"
#include "model/warp.h"
#include "pipeline/common/fingerprint.h"

#include <math.h>
#include <string.h>

enum {
    BACKGROUNDS = 4,
    PHASES = 2,
    BINS = 512, /* of the grey values of the background */
    ROUNDS = 100,
    MARGIN = 8 /* pixels: the blur ends here */
};

/* HU: where k-means starts. */
static const double FIRST_CENTRE[BACKGROUNDS] = {-1000, -100, 40, 500};

/* The prior of the standard deviation between volumes, which has the weight of one volume: HU. */
static const double PRIOR_BETWEEN = 10;

/* Of the blur: standard deviation of its Gaussian, pixels. At the largest MARGIN is 4 of them. */
static const double BLUR_MIN = 0.2, BLUR_MAX = 2;

/* Sums over the pixels of one class in one volume. */
typedef struct class_sums {
    double n, sum, squares;
} class_sums;

/* Squared differences of pixels of one class at a distance of one and of two pixels. */
typedef struct variogram {
    double n[2], squares[2];
} variogram;

typedef struct class_look {
    double mean[PHASES], between, within;
} class_look;

typedef struct gaussian_painter {
    const painter_inputs *in;
    int classes; /* BACKGROUNDS, then the structures from label 1 on */
    double centre[BACKGROUNDS];
    class_look *look; /* [classes] */
    double noise;     /* standard deviation of the logarithm of a volume's noise level */
    double blur;      /* pixels */
    float kernel[2 * MARGIN + 1];
    float *field, *rows; /* [size + 2 MARGIN][size + 2 MARGIN] */
} gaussian_painter;

static status create(const painter_inputs *in, void **self, char fingerprint[SHA256_HEX]) {
    status st = ST_OK;
    gaussian_painter *p = NULL;
    TRY(array_alloc(&p, 1, sizeof *p, "a painter"));
    p->in = in;
    *self = p;
    TRY(fingerprint_of_gaussian(in->stage->study, store_manifest(in->stores.real)->seal,
                                fingerprint));
done:
    return st;
}

static status find(const painter_inputs *in, void **self, char fingerprint[SHA256_HEX]) {
    *self = NULL;
    return comm_agree(in->stage->comm, create(in, self, fingerprint));
}

/* ---- statistics of the training slices ---- */

static double grey_of(const study *s, double hu) {
    return window_apply((float)hu, s->data.window[0], s->data.window[1]);
}

static int nearest_centre(const double centre[BACKGROUNDS], double grey) {
    int best = 0;
    for (int c = 1; c < BACKGROUNDS; c++)
        if (fabs(grey - centre[c]) < fabs(grey - centre[best])) best = c;
    return best;
}

static int class_of(const gaussian_painter *p, uint8_t label, float grey) {
    return label ? BACKGROUNDS + label - 1 : nearest_centre(p->centre, grey);
}

/* k-means in one dimension (Lloyd 1982). A class without pixels keeps its centre. */
static void find_centres(gaussian_painter *p, const double histogram[BINS]) {
    for (int c = 0; c < BACKGROUNDS; c++)
        p->centre[c] = grey_of(p->in->stage->study, FIRST_CENTRE[c]);
    for (int round = 0; round < ROUNDS; round++) {
        double n[BACKGROUNDS] = {0}, sum[BACKGROUNDS] = {0};
        for (int b = 0; b < BINS; b++) {
            double grey = (b + 0.5) * 2 / BINS - 1;
            int c = nearest_centre(p->centre, grey);
            n[c] += histogram[b];
            sum[c] += histogram[b] * grey;
        }
        for (int c = 0; c < BACKGROUNDS; c++)
            if (n[c] > 0) p->centre[c] = sum[c] / n[c];
    }
}

static void count_background(const slice_sample *slice, int64_t pixels, double histogram[BINS]) {
    for (int64_t i = 0; i < pixels; i++) {
        int bin = (int)((slice->image[i] + 1) / 2 * BINS);
        if (slice->labels[i] == 0) histogram[bin < BINS ? bin : BINS - 1]++;
    }
}

/* Adds a slice to the sums of its volume and, for structures, to the variogram. */
static void count_slice(const gaussian_painter *p, const slice_sample *slice, class_sums *sums,
                        variogram *v) {
    int64_t size = p->in->stage->study->data.size;
    for (int64_t i = 0; i < size * size; i++) {
        double grey = slice->image[i];
        class_sums *c = &sums[class_of(p, slice->labels[i], slice->image[i])];
        c->n++;
        c->sum += grey;
        c->squares += grey * grey;
        for (int lag = 1; slice->labels[i] && lag <= 2 && i % size + lag < size; lag++) {
            if (slice->labels[i + lag] != slice->labels[i]) break;
            double step = slice->image[i + lag] - grey;
            v->n[lag - 1]++;
            v->squares[lag - 1] += step * step;
        }
    }
}

/* Noise blurred by a Gaussian of s pixels has the correlation q^(d d) at distance d,
 * q = exp(-1 / (4 s s)), and the variogram 1 - q^(d d), whatever varies slowly besides. That of
 * two pixels over that of one is (1 + q)(1 + q q). */
static double blur_of(const variogram *v) {
    if (!(v->n[0] > 0 && v->n[1] > 0 && v->squares[0] > 0)) return BLUR_MIN;
    double ratio = v->squares[1] / v->n[1] / (v->squares[0] / v->n[0]), low = 0, high = 1;
    for (int k = 0; k < 60; k++) {
        double q = (low + high) / 2;
        if ((1 + q) * (1 + q * q) < ratio)
            low = q;
        else
            high = q;
    }
    double q = fmin(fmax(low, 1e-9), 1 - 1e-9), blur = sqrt(-1 / (4 * log(q)));
    return fmin(fmax(blur, BLUR_MIN), BLUR_MAX);
}

/* Grey values of class c from its sums in n volumes. phase[n]: of the volumes. */
static class_look look_of(const gaussian_painter *p, const class_sums *sums, const int *phase,
                          int64_t n, int c) {
    const double *window = p->in->stage->study->data.window;
    double volumes[PHASES] = {0}, means[PHASES] = {0}, deviation = 0, squares = 0, pixels = 0;
    class_look look = {{0}, 0, 0};
    for (int64_t v = 0; v < n; v++) {
        const class_sums *s = &sums[v * p->classes + c];
        if (s->n == 0) continue;
        volumes[phase[v]]++;
        means[phase[v]] += s->sum / s->n;
        squares += s->squares - s->sum * s->sum / s->n;
        pixels += s->n;
    }
    double all = volumes[0] + volumes[1];
    for (int k = 0; k < PHASES; k++) {
        look.mean[k] = all > 0 ? (means[0] + means[1]) / all : 0;
        if (volumes[k] > 0) look.mean[k] = means[k] / volumes[k];
    }
    for (int64_t v = 0; v < n; v++) {
        const class_sums *s = &sums[v * p->classes + c];
        double off = s->n > 0 ? s->sum / s->n - look.mean[phase[v]] : 0;
        deviation += off * off;
    }
    double prior = 2 * PRIOR_BETWEEN / (window[1] - window[0]);
    double freedom = all - (volumes[0] > 0) - (volumes[1] > 0);
    look.between = sqrt((deviation + prior * prior) / (freedom + 1));
    look.within = pixels > 0 ? sqrt(fmax(squares, 0) / pixels) : 0;
    return look;
}

/* The standard deviation over volumes of the logarithm of their noise, relative to p->look. */
static double noise_spread(const gaussian_painter *p, const class_sums *sums, int64_t n) {
    double count = 0, sum = 0, squares = 0;
    for (int64_t v = 0; v < n; v++) {
        double own = 0, expected = 0;
        for (int c = 0; c < p->classes; c++) {
            const class_sums *s = &sums[v * p->classes + c];
            if (s->n > 0) own += s->squares - s->sum * s->sum / s->n;
            expected += s->n * p->look[c].within * p->look[c].within;
        }
        if (!(own > 0 && expected > 0)) continue;
        double level = log(own / expected) / 2;
        count++;
        sum += level;
        squares += level * level;
    }
    return count > 1 ? sqrt(fmax(0, (squares - sum * sum / count) / (count - 1))) : 0;
}

/* The number of a volume of the store among the training volumes, which are sorted. */
static int64_t training_volume(const split *sp, int64_t volume) {
    int64_t number = -1, last = -1;
    for (int64_t r = 0; r < sp->run_count[SPLIT_TRAIN]; r++) {
        int64_t at = sp->runs[SPLIT_TRAIN][r].volume;
        if (at > volume) break;
        if (at != last) number++;
        last = at;
    }
    return number;
}

static status measure(gaussian_painter *p, slices *train, slice_sample *slice) {
    status st = ST_OK;
    const split *sp = p->in->split;
    int64_t size = p->in->stage->study->data.size, n = 1 + training_volume(sp, INT64_MAX);
    double histogram[BINS] = {0};
    variogram v = {{0}, {0}};
    class_sums *sums = NULL;
    int *phase = NULL;
    TRY(array_alloc(&sums, n, p->classes * (int64_t)sizeof *sums, "grey values"));
    TRY(array_alloc(&phase, n, sizeof *phase, "grey values"));
    for (int64_t k = 0; k < slices_count(train); k++) {
        TRY(slices_get(train, k, slice));
        count_background(slice, size * size, histogram);
    }
    find_centres(p, histogram);
    for (int64_t k = 0; k < slices_count(train); k++) {
        TRY(slices_get(train, k, slice));
        int64_t at = training_volume(sp, slice->volume);
        phase[at] = slice->contrast;
        count_slice(p, slice, sums + at * p->classes, &v);
    }
    for (int c = 0; c < p->classes; c++) p->look[c] = look_of(p, sums, phase, n, c);
    p->noise = noise_spread(p, sums, n);
    p->blur = blur_of(&v);
done:
    free(sums);
    free(phase);
    return st;
}

/* ---- painting ---- */

/* The weights of the blur, which add up to 1. */
static void fill_kernel(gaussian_painter *p) {
    double weight[2 * MARGIN + 1], sum = 0;
    for (int k = 0; k <= 2 * MARGIN; k++) {
        weight[k] = exp(-(k - MARGIN) * (k - MARGIN) / (2 * p->blur * p->blur));
        sum += weight[k];
    }
    for (int k = 0; k <= 2 * MARGIN; k++) p->kernel[k] = (float)(weight[k] / sum);
}

static status open_statistics(void *self, int64_t batch) {
    status st = ST_OK;
    (void)batch;
    gaussian_painter *p = self;
    const study *s = p->in->stage->study;
    const split *sp = p->in->split;
    int64_t size = s->data.size, side = size + 2 * MARGIN;
    slice_source from = {p->in->stores.real, sp->runs[SPLIT_TRAIN], sp->run_count[SPLIT_TRAIN]};
    slice_sample slice = {0};
    slices *train = NULL;
    p->classes = BACKGROUNDS + store_labels(p->in->stores.real)->count - 1;
    TRY(array_alloc(&p->look, p->classes, sizeof *p->look, "grey values"));
    TRY(array_alloc(&p->field, side * side, sizeof *p->field, "noise"));
    TRY(array_alloc(&p->rows, side * side, sizeof *p->rows, "noise"));
    TRY(array_alloc(&slice.image, size * size, sizeof *slice.image, "a slice"));
    TRY(array_alloc(&slice.labels, size * size, 1, "a slice"));
    TRY(slices_open(s, &from, 1, &train));
    TRY(measure(p, train, &slice));
    fill_kernel(p);
done:
    slices_close(train);
    free(slice.image);
    free(slice.labels);
    return st;
}

/* Blurs p->field; out[size][size] is its middle. */
static void blur_field(gaussian_painter *p, float *out, int64_t size) {
    int64_t side = size + 2 * MARGIN;
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < size; x++) {
            float sum = 0;
            for (int k = 0; k <= 2 * MARGIN; k++) sum += p->kernel[k] * p->field[y * side + x + k];
            p->rows[y * side + x] = sum;
        }
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++) {
            float sum = 0;
            for (int k = 0; k <= 2 * MARGIN; k++) sum += p->kernel[k] * p->rows[(y + k) * side + x];
            out[y * size + x] = sum;
        }
}

/* Paints one slice: blurred (means + noise). The blur divides the standard deviation of white
 * noise by 1 / (sum of squared weights), in both directions together; the noise is multiplied by
 * as much. */
static void paint_slice(gaussian_painter *p, const slice_sample *slice, uint64_t index,
                        const float *mean, float level, float *image) {
    const study *s = p->in->stage->study;
    int64_t size = s->data.size, side = size + 2 * MARGIN;
    rng_stream r = rng_open((uint64_t)s->seed, RNG_PAINT, index, 1);
    float power = 0;
    for (int k = 0; k <= 2 * MARGIN; k++) power += p->kernel[k] * p->kernel[k];
    rng_fill_normal(&r, p->field, side * side);
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            int64_t inside_y = y < MARGIN ? 0 : y < size + MARGIN ? y - MARGIN : size - 1;
            int64_t inside_x = x < MARGIN ? 0 : x < size + MARGIN ? x - MARGIN : size - 1;
            int64_t at = inside_y * size + inside_x;
            int c = class_of(p, slice->labels[at], slice->image[at]);
            float noise = level * (float)p->look[c].within / power;
            p->field[y * side + x] = mean[c] + noise * p->field[y * side + x];
        }
    blur_field(p, image, size);
    for (int64_t i = 0; i < size * size; i++) image[i] = fminf(fmaxf(image[i], -1), 1);
}

static status paint(void *self, const slice_sample *conditions, const uint64_t *index,
                    const float *keep, int64_t count, float *images) {
    (void)keep;
    gaussian_painter *p = self;
    const study *s = p->in->stage->study;
    float mean[BACKGROUNDS + STRUCTURES_MAX];
    rng_stream r = rng_open((uint64_t)s->seed, RNG_PAINT, index[0] >> 20, 0);
    float level = (float)exp(p->noise * rng_normal(&r));
    for (int c = 0; c < p->classes; c++) {
        const class_look *look = &p->look[c];
        mean[c] = (float)(look->mean[conditions[0].contrast] + look->between * rng_normal(&r));
    }
    for (int64_t b = 0; b < count; b++)
        paint_slice(p, &conditions[b], index[b], mean, level,
                    images + b * s->data.size * s->data.size);
    return ST_OK;
}

static json_t *provenance(const void *self) {
    const gaussian_painter *p = self;
    return json_pack("{s:f, s:f}", "blur_pixels", p->blur, "noise_level_spread", p->noise);
}

static void close_painter(void *self) {
    gaussian_painter *p = self;
    if (!p) return;
    free(p->look);
    free(p->field);
    free(p->rows);
    free(p);
}

const painter painter_gaussian = {.folder = "synthetic-gaussian",
                                  .wants_source = true,
                                  .find = find,
                                  .open = open_statistics,
                                  .paint = paint,
                                  .provenance = provenance,
                                  .close = close_painter};
