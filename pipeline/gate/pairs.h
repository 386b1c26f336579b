/* The picture of the closest pairs. */
#ifndef CTAUG_PIPELINE_GATE_PAIRS_H
#define CTAUG_PIPELINE_GATE_PAIRS_H

#include "pipeline/gate/copying.h"

/* Writes a PNG with a row for each pair, nearest first: the synthetic slice, the training slice,
 * and their difference (grey: none; black and white: half the HU window or more). Local. */
status pairs_write(const gate_sets *g, const copying *c, const char *path);

#endif
