/* Comparing slices and series by what they show, whatever their UIDs. Private to io/series*.c. */
#ifndef CTAUG_IO_SERIES_CONTENT_H
#define CTAUG_IO_SERIES_CONTENT_H

#include "io/series.h"
#include "io/stack.h"

/* Sets the `content` of the slices that share a place with another one of their series. `slices`
 * are sorted by series and arranged (io/series_build.h). What cannot be decoded is a fault of its
 * series. The ranks share the decoding. Collective. */
status content_of_shared_places(const comm *c, placed *slices, int64_t n, fault_list *faults);

/* Takes series of one patient that have the same geometry and the same HU once: the first stays,
 * with the segmentations of all of them. Collective. */
status content_drop_copies(const comm *c, series_list *list);

#endif
