/* The contrast phase of a slice by the HU of its structures: that class of the labelled training
 * slices whose means are nearer. */
#ifndef CTAUG_PIPELINE_EVALUATE_PHASE_H
#define CTAUG_PIPELINE_EVALUATE_PHASE_H

#include "model/text/grammar.h"
#include "pipeline/data/batch.h"

enum { PHASES = 2 /* native, contrast agent */ };

/* Of the mean grey value of a structure in a slice, over at most 256 evenly spaced slices. */
typedef struct phases {
    double mean[PHASES][LABELS_MAX]; /* NAN: no slice of the class has the structure */
    double deviation[LABELS_MAX];    /* within the classes */
    bool known;                      /* there are slices of both */
} phases;

/* Measures them on the training slices of a split. Local. */
status phases_measure(const study *s, store *real, const split *sp, phases *out);

/* The phase of an image [pixels] in [-1, 1] with these labels; unknown if the classes are not
 * known, or none of its structures is in slices of both. Local. */
caption_contrast phases_tell(const phases *p, const float *image, const uint8_t *labels,
                             int64_t pixels);

#endif
