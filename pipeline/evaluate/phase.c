/* Means and deviations of grey values by class, and the nearest class. */
#include "pipeline/evaluate/phase.h"

#include "io/alloc.h"

#include <math.h>
#include <string.h>

enum { SLICES_MAX = 256 };

/* The mean grey value of each structure of a slice; NAN: it is not there. */
static void means_of(const float *image, const uint8_t *labels, int64_t pixels,
                     double mean[LABELS_MAX]) {
    int64_t count[LABELS_MAX] = {0};
    for (int k = 0; k < LABELS_MAX; k++) mean[k] = 0;
    for (int64_t i = 0; i < pixels; i++) {
        mean[labels[i]] += (double)image[i];
        count[labels[i]]++;
    }
    for (int k = 0; k < LABELS_MAX; k++)
        mean[k] = count[k] > 0 ? mean[k] / (double)count[k] : (double)NAN;
}

/* Sums over slices of one class. */
typedef struct class_sums {
    double sum[LABELS_MAX], square[LABELS_MAX];
    int64_t count[LABELS_MAX], slices;
} class_sums;

static status add_slices(const study *s, slices *from, class_sums sums[PHASES]) {
    status st = ST_OK;
    const int64_t pixels = s->data.size * s->data.size, all = slices_count(from);
    const int64_t n = all < SLICES_MAX ? all : SLICES_MAX;
    slice_sample slice = {0};
    double mean[LABELS_MAX];
    TRY(array_alloc(&slice.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&slice.labels, pixels, 1, "a label map"));
    for (int64_t i = 0; i < n; i++) {
        TRY(slices_get(from, i * all / n, &slice));
        class_sums *of = &sums[slice.contrast ? 1 : 0];
        of->slices++;
        means_of(slice.image, slice.labels, pixels, mean);
        for (int k = 1; k < LABELS_MAX; k++) {
            if (isnan(mean[k])) continue;
            of->sum[k] += mean[k];
            of->square[k] += mean[k] * mean[k];
            of->count[k]++;
        }
    }
done:
    free(slice.image);
    free(slice.labels);
    return st;
}

status phases_measure(const study *s, store *real, const split *sp, phases *out) {
    status st = ST_OK;
    class_sums *sums = NULL;
    slices *from = NULL;
    const slice_source source = {real, sp->runs[SPLIT_TRAIN], sp->run_count[SPLIT_TRAIN]};
    memset(out, 0, sizeof *out);
    TRY(array_alloc(&sums, PHASES, sizeof *sums, "grey values"));
    TRY(slices_open(s, &source, 1, &from));
    TRY(add_slices(s, from, sums));
    out->known = sums[0].slices > 0 && sums[1].slices > 0;
    for (int k = 0; k < LABELS_MAX; k++) {
        double within = 0;
        int64_t count = 0;
        for (int c = 0; c < PHASES; c++) {
            const int64_t n = sums[c].count[k];
            out->mean[c][k] = n > 0 ? sums[c].sum[k] / (double)n : (double)NAN;
            if (n > 0) within += sums[c].square[k] - sums[c].sum[k] * out->mean[c][k];
            count += n;
        }
        /* A hundredth of the window, so that structures of one slice do not decide alone. */
        out->deviation[k] = count > 0 ? sqrt(fmax(within, 0) / (double)count) + 0.02 : 1;
    }
done:
    slices_close(from);
    free(sums);
    return st;
}

caption_contrast phases_tell(const phases *p, const float *image, const uint8_t *labels,
                             int64_t pixels) {
    double mean[LABELS_MAX], distance[PHASES] = {0};
    bool told = false;
    if (!p->known) return CONTRAST_UNKNOWN;
    means_of(image, labels, pixels, mean);
    for (int k = 1; k < LABELS_MAX; k++) {
        if (isnan(mean[k]) || isnan(p->mean[0][k]) || isnan(p->mean[1][k])) continue;
        for (int c = 0; c < PHASES; c++) {
            const double z = (mean[k] - p->mean[c][k]) / p->deviation[k];
            distance[c] += z * z;
        }
        told = true;
    }
    if (!told) return CONTRAST_UNKNOWN;
    return distance[1] < distance[0] ? CONTRAST_AGENT : CONTRAST_NATIVE;
}
