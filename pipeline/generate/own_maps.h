/* The synthetic volumes that are painted on the user's own masks (generate.masks): volume v on mask
 * v mod n of n that can be used, at least one on each. The maps are made once, divided over the
 * ranks, and kept in files; maps.c, which owns the folder, gives them to the painters. */
#ifndef CTAUG_PIPELINE_GENERATE_OWN_MAPS_H
#define CTAUG_PIPELINE_GENERATE_OWN_MAPS_H

#include "pipeline/generate/own_map.h"

#include <jansson.h>

typedef struct own_maps own_maps;

/* Makes the maps in the directory `folder`, or takes those of an earlier run with this fingerprint
 * that was stopped. Masks that are at fault are left out, with a warning. masks: without these
 * faults, which are added; it and the path must outlive *out. ST_INPUT if no mask is left, or if
 * one is left out and --strict or ingest.strict is given; ST_STOPPED on request.
 * own_maps_close() frees *out, also after a failure. Collective. */
status own_maps_open(own_masks *masks, const map_stores *from, const split *sp, const char *folder,
                     const char *fingerprint, own_maps **out);
void own_maps_close(own_maps *m);

/* The number of volumes. Local. */
int64_t own_maps_count(const own_maps *m);

/* Id, geometry and class of volume v. Local. */
const store_entry *own_maps_entry(const own_maps *m, int64_t v);

/* Its labels[slices][size][size], valid until the next call. Local. */
status own_maps_labels(own_maps *m, int64_t v, const uint8_t **labels);

/* Slice k of volume v as deformed_condition() gives it; `out` must have no buffer for labels.
 * Local. */
status own_maps_condition(own_maps *m, int64_t v, int64_t k, slice_sample *out);

/* The record of the volume for the provenance of the store: the SHA-256 of its mask files, the
 * training volume that is most like it and its slices next to those of the mask, and whether the
 * tissue around the structures is taken from there or from the series of the mask. *out: new
 * reference, also after a failure. Local. */
status own_maps_describe(const own_maps *m, int64_t v, json_t **out);

#endif
