/* The conditions of a synthetic volume: the deformed label maps of one training volume.
 *
 * Synthetic volume v uses training volume v mod n, where n is the number of training volumes, and a
 * warp drawn from (seed, RNG_DEFORM, v, draw). Labels are warped at their own resolution and
 * resampled afterwards, so that thin structures keep their shape.
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

/* The number of training volumes with labels. Local. */
int64_t deformed_sources(const split *sp);

/* Plans synthetic volume v with the warp of draw 0. The caller calls deformed_free(), also after a
 * failure. Local. */
status deformed_plan(const study *s, const store *real, const split *sp, int64_t v, deformed *out);

/* Replaces the warp of synthetic volume v by that of another draw (0, 1, ...). Local. */
void deformed_draw(const study *s, int64_t v, int draw, deformed *d);

void deformed_free(deformed *d);

/* Condition k (0..entry.space.shape[0]-1) of the volume: position, class, and into the
 * caller's buffers [size*size], unless they are NULL: out->labels, and out->image, the source slice
 * with the same deformation. Local. */
status deformed_condition(const study *s, store *real, const deformed *d, int64_t k,
                          slice_sample *out);

/* The labels of all conditions: labels[entry.space.shape[0]][size][size]. Local. */
status deformed_labels(const study *s, store *real, const deformed *d, uint8_t *labels);

/* The record of the volume for the provenance of the synthetic store. New reference; NULL: out of
 * memory. Local. */
json_t *deformed_json(const deformed *d, const store *real);

#endif
