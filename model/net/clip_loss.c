/* The two directions of the loss, each the classification of the rank's rows of one side among all
 * rows of the other. */
#include "model/net/clip_loss.h"

#include "io/alloc.h"

#include <math.h>

/* The vectors of one side. */
typedef struct side {
    double *unit;     /* [pairs][width]: of length 1, or 0 */
    double *length;   /* [pairs] */
    double *gradient; /* [pairs][width]: by `unit` */
} side;

typedef struct work {
    const clip_batch *b;
    double scale;
    side image, text;
    double *g;          /* [rows][pairs]: gradient by the products s u . v */
    double *row_losses; /* [rows] */
    double *row_slopes; /* [rows]: gradients by log_scale */
} work;

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += a[k] * b[k];
    return sum;
}

/* Takes the vectors of a side. */
static status take(const clip_batch *b, const float *vectors, side *out) {
    status st;
    const int64_t w = b->width;
    TRY(array_alloc(&out->unit, b->pairs * w, sizeof *out->unit, "embeddings"));
    TRY(array_alloc(&out->gradient, b->pairs * w, sizeof *out->gradient, "embeddings"));
    TRY(array_alloc(&out->length, b->pairs, sizeof *out->length, "embeddings"));
    for (int64_t i = 0; i < b->pairs; i++) {
        double *u = out->unit + i * w;
        for (int64_t k = 0; k < w; k++) u[k] = (double)vectors[i * w + k];
        out->length[i] = sqrt(dot(u, u, w));
        for (int64_t k = 0; k < w && out->length[i] > 0; k++) u[k] /= out->length[i];
    }
done:
    return st;
}

static void drop(side *s) {
    free(s->unit);
    free(s->gradient);
    free(s->length);
}

/* Loss and gradient g of one row, that is, of pair first + r. */
static void classify(work *w, const side *from, const side *to, int64_t r) {
    const clip_batch *b = w->b;
    const int64_t own = b->first + r;
    const double share = 0.5 / (double)b->pairs;
    const double *u = from->unit + own * b->width;
    double *g = w->g + r * b->pairs, max = -INFINITY, sum = 0, slope = 0;
    for (int64_t j = 0; j < b->pairs; j++) {
        g[j] = w->scale * dot(u, to->unit + j * b->width, b->width);
        max = fmax(max, g[j]);
    }
    for (int64_t j = 0; j < b->pairs; j++) sum += exp(g[j] - max);
    w->row_losses[r] = share * (max + log(sum) - g[own]);
    for (int64_t j = 0; j < b->pairs; j++) {
        const double product = g[j];
        g[j] = share * (exp(product - max) / sum - (double)(j == own));
        slope += g[j] * product;
    }
    w->row_slopes[r] = slope;
}

/* The terms of the rank's rows of `from` among all rows of `to`. */
static void add_direction(work *w, side *from, side *to, clip_sums *out) {
    const clip_batch *b = w->b;
    const int64_t width = b->width;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < b->rows; r++) {
        double *gradient = from->gradient + (b->first + r) * width;
        classify(w, from, to, r);
        for (int64_t j = 0; j < b->pairs; j++)
            for (int64_t k = 0; k < width; k++)
                gradient[k] += w->scale * w->g[r * b->pairs + j] * to->unit[j * width + k];
    }
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < b->pairs; j++)
        for (int64_t r = 0; r < b->rows; r++)
            for (int64_t k = 0; k < width; k++)
                to->gradient[j * width + k] +=
                    w->scale * w->g[r * b->pairs + j] * from->unit[(b->first + r) * width + k];
    for (int64_t r = 0; r < b->rows; r++) {
        out->loss += w->row_losses[r];
        out->log_scale += w->row_slopes[r];
    }
}

/* Of u = x / |x|: dx = (du - u (u . du)) / |x|. */
static void send(const clip_batch *b, const side *s, float *out) {
    for (int64_t i = 0; i < b->pairs; i++) {
        const double *u = s->unit + i * b->width, *du = s->gradient + i * b->width;
        const double along = dot(u, du, b->width);
        for (int64_t k = 0; k < b->width; k++)
            out[i * b->width + k] =
                s->length[i] > 0 ? (float)((du[k] - u[k] * along) / s->length[i]) : 0;
    }
}

double clip_limit(double log_scale) { return fmin(log_scale, log(CLIP_SCALE_MAX)); }

status clip_loss(const clip_batch *b, clip_sums *out) {
    status st;
    work w = {.b = b, .scale = exp(clip_limit(b->log_scale))};
    TRY(take(b, b->image, &w.image));
    TRY(take(b, b->text, &w.text));
    TRY(array_alloc(&w.g, b->rows * b->pairs, sizeof *w.g, "similarities"));
    TRY(array_alloc(&w.row_losses, b->rows, sizeof *w.row_losses, "losses"));
    TRY(array_alloc(&w.row_slopes, b->rows, sizeof *w.row_slopes, "losses"));
    out->loss = out->log_scale = 0;
    add_direction(&w, &w.image, &w.text, out);
    add_direction(&w, &w.text, &w.image, out);
    if (b->log_scale > clip_limit(b->log_scale)) out->log_scale = 0;
    send(b, &w.image, out->image);
    send(b, &w.text, out->text);
done:
    drop(&w.image);
    drop(&w.text);
    free(w.g);
    free(w.row_losses);
    free(w.row_slopes);
    return st;
}
