/* What a generator that copies nobody would make: slices that the same model paints on label maps
 * of held-out patients, whom it never saw.
 *
 * A synthetic slice is painted on the deformed label map of a training patient and resembles him
 * for this reason alone. A control slice resembles its held-out patient for the same reason; how
 * often it is as near to him as a copy would be is the rate that is expected without copying. The
 * maps are deformed by the warps of the synthetic volumes with the same numbers, and the prompts
 * (generate.prompts) are theirs.
 */
#ifndef CTAUG_PIPELINE_GATE_CONTROL_H
#define CTAUG_PIPELINE_GATE_CONTROL_H

#include "pipeline/common/denoiser.h"
#include "pipeline/gate/sets.h"

typedef struct control {
    int64_t n, volumes;
    int64_t *volume; /* [n]: 0..volumes-1, ascending */
    int64_t *source; /* [n]: patient of the label map */
    double *vector;  /* [n][EMBEDDING] */
} control;

/* Batches of slices for the progress line. Local. */
int64_t control_batches(const gate_sets *g);

/* Samples as many control volumes and slices as synthetic ones are measured, in batches of
 * generate.batch slices over the ranks, and embeds them. `base`: what the progress line shows
 * already. ST_STOPPED if a rank was asked to stop: nothing is kept. The caller calls
 * control_free(), also after a failure. Collective. */
status control_sample(const stage_context *stage, const gate_sets *g, denoiser *d, embedding *e,
                      int64_t base, control *out);
void control_free(control *c);

#endif
