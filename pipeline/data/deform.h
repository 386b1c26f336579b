/* The conditions of a synthetic volume: the deformed label maps of one training volume.
 *
 * Synthetic volume v uses training volume v mod n, where n is the number of training volumes, and a
 * warp drawn from (seed, RNG_DEFORM, v). Labels are warped at their own resolution and resampled
 * afterwards, so that thin structures keep their shape.
 */
#ifndef CTAUG_PIPELINE_DATA_DEFORM_H
#define CTAUG_PIPELINE_DATA_DEFORM_H

#include "model/warp.h"
#include "pipeline/data/batch.h"

#include <jansson.h>

typedef struct deformed {
    store_entry entry; /* id, geometry at the working size, class */
    int64_t source;    /* volume of the real store */
    int64_t *slices;   /* the entry.space.shape[0] training slices of the source; owned */
    warp warp;
} deformed;

/* Plans synthetic volume v. The caller calls deformed_free(). Local. */
status deformed_plan(const study *s, const store *real, const split *sp, int64_t v, deformed *out);
void deformed_free(deformed *d);

/* Condition k (0..entry.space.shape[0]-1) of the volume: labels into the caller's buffer
 * out->labels [size*size], position and class; and, unless out->image is NULL, the source slice
 * with the same deformation into that buffer. Local. */
status deformed_condition(const study *s, store *real, const deformed *d, int64_t k,
                          slice_sample *out);

/* The record of the volume for the provenance of the synthetic store. New reference; NULL: out of
 * memory. Local. */
json_t *deformed_json(const deformed *d, const store *real);

#endif
