/* Whether synthetic slices copy slices of training patients: is the nearest training slice much
 * nearer than the nearest slice of patients whom the generator never saw?
 *
 * The distance to the nearest slice of each patient is given. A ratio is the distance to the
 * nearest of some training patients divided by that to the nearest of equally many held-out
 * patients, so that neither side is favoured by its size; both are drawn several times. Slices of
 * one volume use the same draws. The patient whose label map a synthetic slice has is in every
 * draw: his image is what a copy would show.
 *
 * Under the null hypothesis, training and held-out patients may be exchanged. `swapped` gives the
 * ratio with exchanged sides, for slices that belong to the other side.
 */
#ifndef CTAUG_MODEL_METRIC_COPIES_H
#define CTAUG_MODEL_METRIC_COPIES_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct copy_sides {
    int64_t members, others; /* patients: training, held-out */
    int64_t drawn;           /* patients of each side in a draw */
    int64_t draws;
    uint64_t seed;
} copy_sides;

/* One slice. Patients are numbered from 0: members, then others. */
typedef struct copy_query {
    const double *nearest; /* [members + others]: distance to the nearest slice of a patient */
    uint64_t volume;       /* what the draws depend on */
    int64_t source;        /* patient who is in every draw of his side; -1: none */
    int64_t itself;        /* patient who is in no draw: the slice is his; -1: none */
} copy_query;

/* ratio[draws]: nearest member / nearest other (swapped: the inverse). ST_INPUT if a side has fewer
 * than `drawn` patients besides `itself`. Local. */
status copy_ratios(const copy_sides *s, const copy_query *q, bool swapped, double *ratio);

/* The bound below which at most the share `rate` (0..1) of the n > 0 ratios lies; sorts them.
 * Local. */
double copy_bound(double *ratio, int64_t n, double rate);

/* The share of the n > 0 ratios below the bound. Local. */
double copy_share(const double *ratio, int64_t n, double bound);

#endif
