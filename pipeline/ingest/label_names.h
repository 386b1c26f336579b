/* The names of a store's label values. */
#ifndef CTAUG_PIPELINE_INGEST_LABEL_NAMES_H
#define CTAUG_PIPELINE_INGEST_LABEL_NAMES_H

#include "io/series.h"
#include "io/structures.h"

/* A label set of the background alone. Local. */
label_set label_background(void);

/* *index = index of `name` in the set; a new name is appended. ST_INPUT if the set is full. Local.
 */
status label_add(label_set *set, const char *name, int *index);

/* *out: names for the structures in all segmentations of the list, by the n rules of the study
 * (io/structures.h), so that a label's value does not depend on the order of the patients. A file
 * whose names cannot be read is a fault of the list, and leaves its series without labels; so are
 * those of a series whose names do not fit among STRUCTURES_MAX, series of few names coming first.
 * The caller calls structure_names_free(), also after a failure. Collective. */
status names_of_segs(const comm *c, series_list *list, const char *const *rules, int64_t n,
                     structure_names *out);

#endif
