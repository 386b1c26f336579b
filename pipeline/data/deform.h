/* The conditions of a synthetic volume: the deformed label maps of one training volume.
 *
 * Synthetic volume v uses labelled training volume v mod n, where n is their number, and a warp
 * drawn from (seed, RNG_DEFORM, v, draw). With train.pseudo_labels, and if there are unlabelled
 * training volumes, every second synthetic volume comes from one of those: an even v uses labelled
 * volume v / 2 mod n, an odd v the pseudo-labels of unlabelled volume v / 2 mod their number, whose
 * own labels are never read. Labels are warped at their own resolution and resampled afterwards, so
 * that thin structures keep their shape.
 */
#ifndef CTAUG_PIPELINE_DATA_DEFORM_H
#define CTAUG_PIPELINE_DATA_DEFORM_H

#include "model/warp.h"
#include "pipeline/data/batch.h"

#include <jansson.h>

/* Where label maps come from. */
typedef struct map_stores {
    store *real;
    store *pseudo; /* pipeline/common/pseudo_store.h; NULL: there are no pseudo-labels */
} map_stores;

typedef struct deformed {
    store_entry entry; /* id, geometry at the working size, class */
    int64_t source;    /* volume of the real store */
    int64_t *slices;   /* the entry.space.shape[0] slices of the source; owned */
    warp warp;
    bool pseudo; /* its labels are those of volume pseudo_volume of map_stores.pseudo */
    int64_t pseudo_volume;
} deformed;

/* The geometry of `slices` working slices: they cover the field of view of `from`, extended to a
 * square with the same centre. Local. */
geometry working_geometry(const geometry *from, int64_t size, int64_t slices);

/* The number of volumes with slices in a part of the split. Local. */
int64_t deformed_sources(const split *sp, split_part part);

/* Whether every second synthetic volume comes from pseudo-labels. Local. */
bool deformed_uses_pseudo(const study *s, const split *sp);

/* Plans synthetic volume v with the warp of draw 0. The caller calls deformed_free(), also after a
 * failure. Local. */
status deformed_plan(const study *s, const store *real, const split *sp, int64_t v, deformed *out);

/* Plans the volume n mod deformed_sources() of a part, not deformed and without an id. Those of
 * SPLIT_UNLABELLED have pseudo-labels. The caller calls deformed_free(), also after a failure.
 * Local. */
status deformed_plan_part(const study *s, const store *real, const split *sp, split_part part,
                          int64_t n, deformed *out);

/* Replaces the warp of synthetic volume v by that of another draw (0, 1, ...). Local. */
void deformed_draw(const study *s, int64_t v, int draw, deformed *d);

void deformed_free(deformed *d);

/* Condition k (0..entry.space.shape[0]-1) of the volume: position, class, spacing, and into the
 * caller's buffers [size*size], unless they are NULL: out->labels, and out->image, the source slice
 * with the same deformation. Local. */
status deformed_condition(const study *s, const map_stores *from, const deformed *d, int64_t k,
                          slice_sample *out);

/* The labels of all conditions: labels[entry.space.shape[0]][size][size]. Local. */
status deformed_labels(const study *s, const map_stores *from, const deformed *d, uint8_t *labels);

/* The record of the volume for the provenance of the synthetic store. New reference; NULL: out of
 * memory. Local. */
json_t *deformed_json(const deformed *d, const store *real);

#endif
