/* The numbers that a slice is described by to a network (model.numbers: on): pixel spacing, noise,
 * class of the kernel (0 soft, 1 sharp), part of the body (1 for its part, 0 for the others), and
 * the size of each structure. A number that is not known is NAN, and so is one that is dropped.
 *
 * Spacing and noise are those of its caption (pipeline/data/slice_caption.h). The size of a
 * structure is the diameter of a disc of its area in the slice, mm; unknown if it is not there.
 */
#ifndef CTAUG_PIPELINE_DATA_SLICE_NUMBERS_H
#define CTAUG_PIPELINE_DATA_SLICE_NUMBERS_H

#include "pipeline/data/slice_caption.h"

/* Places of the numbers; label k >= 1 has NUMBER_SIZES + k - 1. */
enum {
    NUMBER_SPACING,
    NUMBER_NOISE,
    NUMBER_KERNEL,
    NUMBER_BODY, /* BODY_PARTS - 1 of them, from BODY_HEAD */
    NUMBER_SIZES = NUMBER_BODY + BODY_PARTS - 1,
    NUMBERS_MAX = NUMBER_SIZES + LABELS_MAX
};

/* Grows whenever a network is given other numbers: part of fingerprints. */
#define NUMBERS_FORM "2"

/* How many there are for these labels. Local. */
int64_t slice_numbers_count(int64_t labels);

/* value[slice_numbers_count()]; c: of the same study and labels. Local. */
status slice_numbers_measure(captioner *c, const study *s, int64_t labels,
                             const slice_sample *slice, double *value);

/* Drops each number with this probability, those of the body together. All are drawn in any case.
 * Local. */
void slice_numbers_drop(double *value, int64_t count, double share, rng_stream *r);

/* What the network is given, to[2 * count]: for each number its logarithm, scaled to the order of
 * 1 (not that of a class), and 1; 0 and 0 for one that is not known. Local. */
void slice_numbers_write(const double *value, int64_t count, float *to);

#endif
