/* The label map of a synthetic volume: the deformed map of a training volume, perhaps with a
 * structure of another one, with inserted structures, checked against the labelled training
 * volumes.
 *
 * A map that fails the check is drawn again, with the next step of the same random streams, up to
 * LABEL_MAP_DRAWS draws in all. If all fail, the volume gets the deformed map of the first draw
 * alone.
 */
#ifndef CTAUG_PIPELINE_DATA_LABEL_MAP_H
#define CTAUG_PIPELINE_DATA_LABEL_MAP_H

#include "pipeline/data/deform.h"
#include "pipeline/data/insert.h"
#include "pipeline/data/transplant.h"

enum { LABEL_MAP_DRAWS = 9 };

/* What became of a map. Only int64_t, so that ranks can add up records. */
typedef struct label_map_record {
    int64_t rejected;                                       /* draws; LABEL_MAP_DRAWS: all */
    int64_t fault[LABEL_MAP_DRAWS], label[LABEL_MAP_DRAWS]; /* why; of which structure */
    int64_t transplanted, donor; /* structure (0: none), volume of the real store */
    int64_t blobs[STUDY_LIST];   /* of each entry of generate.insert */
} label_map_record;

/* The number of the draw that the map is of, for deformed_draw(). Local. */
int label_map_draw(const label_map_record *r);

/* Makes the map of synthetic volume v: labels[slices][size][size], whose number of slices is that
 * of deformed_plan(). Local. */
status label_map_make(const study *s, const map_stores *from, const split *sp,
                      const label_limits *limits, int64_t v, uint8_t *labels,
                      label_map_record *out);

/* Makes the map of the labelled training volume of plan `d` as it is, with inserted structures,
 * drawn as those of volume v; label_map_blobs() of the record is 0 if no draw of any had room and
 * passed the check. Local. */
status label_map_inpaint(const study *s, const map_stores *from, const label_limits *limits,
                         const deformed *d, int64_t v, uint8_t *labels, label_map_record *out);

/* How many structures were inserted. Local. */
int64_t label_map_blobs(const label_map_record *r);

/* Adds the record to an object, the provenance of the volume. Local. */
status label_map_describe(const study *s, const store *real, const label_map_record *r, json_t *to);

#endif
