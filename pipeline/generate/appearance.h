/* The appearance of a volume: the grey value of each structure, which all its slices have in
 * common.
 *
 * A synthetic volume gets a mixture of the appearances of two training volumes of its class, its
 * source and one that is drawn, so that grey values of different structures go together as they do
 * in patients. Volumes with pseudo-labels are training volumes like the others. Grey values
 * (common/grey_histogram.h) are HU mapped to [-1, 1] by the window, and clamped.
 */
#ifndef CTAUG_PIPELINE_GENERATE_APPEARANCE_H
#define CTAUG_PIPELINE_GENERATE_APPEARANCE_H

#include "pipeline/generate/painter.h"

typedef struct appearances {
    int labels;
    int64_t count;   /* training volumes with labels or pseudo-labels */
    int64_t *volume; /* [count]: of the real store */
    int *contrast;   /* [count] */
    double *grey;    /* [count][labels]; NaN where a volume lacks the structure */
} appearances;

/* Measures all these volumes at the working size. The caller calls appearances_free(),
 * also after a failure. Local. */
status appearances_measure(const painter_inputs *in, appearances *out);
void appearances_free(appearances *a);

/* The grey values grey[labels] of synthetic volume v, made from volume `source` of the real store,
 * whose class is `contrast`; NaN: unknown, and for background. For a source that was not measured,
 * a held-out one, both volumes are drawn; if none is of its class, from all. Drawn from (seed,
 * RNG_APPEARANCE, v). Local. */
void appearances_draw(const appearances *a, uint64_t seed, uint64_t v, int64_t source, int contrast,
                      float *grey);

#endif
