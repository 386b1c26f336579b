/* Preview images of an autoencoder's training. */
#ifndef CTAUG_PIPELINE_AUTOENCODE_PREVIEW_H
#define CTAUG_PIPELINE_AUTOENCODE_PREVIEW_H

#include "pipeline/autoencode/coder.h"
#include "pipeline/common/history.h"

/* Writes <out>/previews/autoencoder-step-<step>.png: evenly spaced slices of `held` in columns; row
 * 1 shows them in data.window, row 2 their reconstructions, and row 3 the difference of the two,
 * grey for none, over -200..200 HU. Also <out>/previews/autoencoder-loss.png. Local; called on rank
 * 0. */
status preview_write(const stage_context *stage, coder *c, slices *held, int64_t step,
                     const history *h);

#endif
