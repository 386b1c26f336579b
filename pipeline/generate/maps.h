/* The label maps of all volumes of a kind (pipeline/common/volume_kind.h), which all painters
 * paint: deformed ones, or the user's own masks (pipeline/generate/own_maps.h). They are made once,
 * divided over the ranks, and kept in files until all painters are done. */
#ifndef CTAUG_PIPELINE_GENERATE_MAPS_H
#define CTAUG_PIPELINE_GENERATE_MAPS_H

#include "pipeline/common/volume_kind.h"
#include "pipeline/data/label_map.h"
#include "pipeline/generate/own_masks.h"
#include "pipeline/stage.h"

typedef struct maps maps;

/* What the maps follow from. */
typedef struct maps_origin {
    map_stores stores;
    const split *split; /* of the real store */
    volume_kind kind;
    own_masks *own; /* NULL: maps of patients */
} maps_origin;

/* Makes the maps, or takes those of an earlier run that was stopped. What `from` points to must
 * outlive *out. maps_close() frees *out, also after a failure. Collective. */
status maps_open(const stage_context *stage, const maps_origin *from, maps **out);
void maps_close(maps *m);

/* The number of volumes; in-painted ones into which nothing could be put are left out. Local. */
int64_t maps_count(const maps *m);

/* Id, geometry and class of synthetic volume v. Local. */
const store_entry *maps_entry(const maps *m, int64_t v);

/* Slice k of volume v as deformed_condition() gives it: its labels are those of the source, without
 * what was inserted. Of the user's own masks `out` must have no buffer for labels. Local. */
status maps_condition(maps *m, int64_t v, int64_t k, slice_sample *out);

/* Its labels[slices][size][size], valid until the next call. Local. */
status maps_labels(maps *m, int64_t v, const uint8_t **labels);

/* Its entry in the provenance of a store. *out: new reference, also after a failure. Local. */
status maps_describe(const maps *m, int64_t v, json_t **out);

/* Removes the files of the maps of this origin, if there are any. Local. */
status maps_remove(const stage_context *stage, const maps_origin *from);

#endif
