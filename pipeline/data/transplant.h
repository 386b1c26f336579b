/* Mixtures of label maps: a structure of another labelled training patient takes the place of the
 * same structure (generate.mixture).
 *
 * The donor's map is deformed like that of the volume. Slices are aligned by their relative
 * position, pixels by the boxes that hold all structures of the slice's volume. Structures that lie
 * inside the chosen one, such as lesions, come with it. The structure is put only where the map has
 * background or the structure itself; if that would cut off more than a tenth of it, the map stays
 * as it is. Everything is drawn from (seed, RNG_TRANSPLANT, volume).
 */
#ifndef CTAUG_PIPELINE_DATA_TRANSPLANT_H
#define CTAUG_PIPELINE_DATA_TRANSPLANT_H

#include "pipeline/data/deform.h"
#include "pipeline/data/label_limits.h"

typedef struct transplant {
    int label;     /* 0: nothing was transplanted */
    int64_t donor; /* volume of the real store */
} transplant;

/* Whether synthetic volume v is a mixture follows from (seed, v), donor and structure from `draw`
 * (0..14) as well. d: the plan of the volume, labels: its deformed map. Local. */
status transplant_structure(const study *s, store *real, const split *sp,
                            const label_limits *limits, int64_t v, int draw, const deformed *d,
                            uint8_t *labels, transplant *out);

#endif
