/* The label maps of all synthetic volumes of a study, or of the held-out ones
 * (pipeline/common/held_out.h), which all painters paint. They are made once, divided over the
 * ranks, and kept in files until all painters are done. */
#ifndef CTAUG_PIPELINE_GENERATE_MAPS_H
#define CTAUG_PIPELINE_GENERATE_MAPS_H

#include "pipeline/data/label_map.h"
#include "pipeline/stage.h"

typedef struct maps maps;

/* Makes the maps, or takes those of an earlier run that was stopped. maps_close() frees *out, also
 * after a failure. Collective. */
status maps_open(const stage_context *stage, const map_stores *from, const split *sp, bool held_out,
                 maps **out);
void maps_close(maps *m);

/* The plan of synthetic volume v. Local. */
const deformed *maps_plan(const maps *m, int64_t v);

/* Its labels[slices][size][size], valid until the next call. Local. */
status maps_labels(maps *m, int64_t v, const uint8_t **labels);

/* Its entry in the provenance of a store. New reference; NULL: out of memory. Local. */
json_t *maps_json(const maps *m, int64_t v);

/* Removes the files of the maps of this study, if there are any. Local. */
status maps_remove(const stage_context *stage, const store *real, bool held_out);

#endif
