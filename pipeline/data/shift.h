/* The shifted test set: test slices as another scanner would show them. The field of view is
 * larger, the dose lower and the reconstruction kernel softer than in any training slice. */
#ifndef CTAUG_PIPELINE_DATA_SHIFT_H
#define CTAUG_PIPELINE_DATA_SHIFT_H

#include "model/warp.h"

/* How metrics.json and the report describe it; static storage. Local. */
const char *shift_description(void);

/* The field of view relative to the stored one, which pixels grow with; and as a warp. Local. */
double shift_field(void);
void shift_warp(warp *w);

/* Adds white noise (HU) drawn from `r` to a slice of side x side pixels, and filters it by the
 * softer kernel. The sum is clipped to the range of int16. ST_INTERNAL: out of memory. Local. */
status shift_scan(int16_t *hu, int64_t side, rng_stream *r);

#endif
