/* From the slices of one Series Instance UID to volumes, or to the reasons why there is none.
 * Private to io/series*.c. */
#ifndef CTAUG_IO_SERIES_BUILD_H
#define CTAUG_IO_SERIES_BUILD_H

#include "io/series.h"
#include "io/stack.h"

/* The last number of a plane is that of slices beyond it: they are no volume. */
enum { PLANES_MAX = 64 };

/* Sorts n slices of one series, numbers their planes and sets their heights: patient by patient
 * slices come first, by plane and height, then other pictures. Local. */
void build_arrange(placed *at, int64_t n);

/* Whether two slices of one plane lie at the same place. Local. */
bool build_same_place(const placed *a, const placed *b);

/* Appends the volumes of n arranged slices of one series to `out`, which has room for them, and
 * records to out->faults. Slices at the same place must have their `content`. Local. */
status build_series(const series_policy *policy, placed *at, int64_t n, series_list *out);

/* Frees what a series owns. Local. */
void build_free(series *s);

#endif
