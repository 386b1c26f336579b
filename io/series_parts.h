/* Several passes in one series: phases, repeated acquisitions, a second pass half a step further.
 * Each becomes a volume of its own if each is whole. */
#ifndef CTAUG_IO_SERIES_PARTS_H
#define CTAUG_IO_SERIES_PARTS_H

#include "io/stack.h"

/* Numbers the passes of n slices of one plane, sorted by height, in slices[i].pass: 0 ... *passes -
 * 1; one pass if nothing parts them into whole ones. *by is the name of the attribute that does,
 * valid forever, or NULL.
 *
 * Passes lie in one another: they share places, or alternate. Blocks that follow each other are one
 * volume. Local. */
status parts_find(placed *slices, int64_t n, int64_t *passes, const char **by);

/* Numbers the runs of one even step in slices[i].pass, 0 ... *runs - 1; -1 for a slice that belongs
 * to none. Local. */
status parts_at_gaps(placed *slices, int64_t n, int64_t *runs);

#endif
