/* The names of a store's label values. */
#ifndef CTAUG_PIPELINE_INGEST_LABEL_NAMES_H
#define CTAUG_PIPELINE_INGEST_LABEL_NAMES_H

#include "io/series.h"

/* A label set of the background alone. Local. */
label_set label_background(void);

/* *index = index of `name` in the set; a new name is appended. ST_INPUT if the set is full. Local.
 */
status label_add(label_set *set, const char *name, int *index);

/* *out: the segment labels of all SEG files of the list, sorted by name, so that a label's value
 * depends on the names alone and not on the order of the patients. A SEG whose labels cannot be
 * read is a fault of the list, and leaves its series without labels. ST_INPUT if there are too many
 * names. Collective. */
status labels_of_segs(const comm *c, series_list *list, label_set *out);

#endif
