/* What stays real of a slice into which structures were inserted. */
#ifndef CTAUG_PIPELINE_GENERATE_SURROUNDINGS_H
#define CTAUG_PIPELINE_GENERATE_SURROUNDINGS_H

#include <stdbool.h>
#include <stdint.h>

/* Fills keep[size][size], the part of each pixel that stays real: 0 where `labels` are not those of
 * the slice itself, `source`, and up to 1 pixel around; 1 from 4 pixels on; linear in the distance
 * between. Returns whether any label differs. Local. */
bool surroundings_keep(const uint8_t *source, const uint8_t *labels, int64_t size, float *keep);

#endif
