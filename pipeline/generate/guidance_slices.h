/* The validation slices on which ways to sample are compared (pipeline/generate/guidance.h). */
#ifndef CTAUG_PIPELINE_GENERATE_GUIDANCE_SLICES_H
#define CTAUG_PIPELINE_GENERATE_GUIDANCE_SLICES_H

#include "pipeline/data/texture.h"
#include "pipeline/generate/painter.h"

enum { GUIDANCE_SLICES = 32 /* at most */ };

typedef struct guidance_slices {
    int64_t count;            /* at most GUIDANCE_SLICES */
    float *images;            /* [count][size][size], [-1, 1]: the real slices */
    uint8_t *labels;          /* [count][size][size] */
    slice_sample *conditions; /* [count]: their images and labels point into these arrays */
    texture_sums *real;       /* [labels]: of the real slices */
    /* Units of work: slices of one volume, at most generate.batch. */
    int64_t units, largest; /* largest: slices of the largest one */
    int64_t *first;         /* [units + 1]: first slice of each unit, then count */
} guidance_slices;

/* Reads evenly spaced slices of SPLIT_VALIDATION. ST_INPUT if a validation patient is also a test
 * patient, there is none, or the slices have no structure. The caller calls guidance_slices_free(),
 * also after a failure. Local. */
status guidance_slices_read(const painter_inputs *in, guidance_slices *out);
void guidance_slices_free(guidance_slices *s);

/* Their ids: an array. New reference; NULL: out of memory. Local. */
json_t *guidance_slices_sources(const painter_inputs *in, const guidance_slices *s);

#endif
