/* The conditions of a synthetic volume: the label maps of one training patient, deformed.
 *
 * Volume v takes training volume v mod n and a warp drawn from (seed, RNG_DEFORM, v). Labels are
 * warped at their own resolution and then resampled, so that thin structures keep their shape.
 */
#ifndef CTAUG_PIPELINE_DATA_DEFORM_H
#define CTAUG_PIPELINE_DATA_DEFORM_H

#include "model/warp.h"
#include "pipeline/data/batch.h"

#include <jansson.h>

typedef struct deformed {
    store_entry entry; /* id, geometry at the working size, class */
    int64_t source;    /* volume of the real store */
    int64_t *slices;   /* entry.space.shape[0] training slices of the source; owned */
    warp warp;
} deformed;

/* Plans synthetic volume v. Local; deformed_free(). */
status deformed_plan(const study *s, const store *real, const split *sp, int64_t v, deformed *out);
void deformed_free(deformed *d);

/* Condition k of the volume: labels (size*size, the caller's buffer in out->labels), position,
 * class. Local. */
status deformed_condition(const study *s, store *real, const deformed *d, int64_t k,
                          slice_sample *out);

/* What is kept of it in the store's provenance. New reference. */
json_t *deformed_json(const deformed *d, const store *real);

#endif
