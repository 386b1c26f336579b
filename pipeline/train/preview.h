/* What a training looks like on the way: real and sampled slices side by side, and the loss curve.
 */
#ifndef CTAUG_PIPELINE_TRAIN_PREVIEW_H
#define CTAUG_PIPELINE_TRAIN_PREVIEW_H

#include "pipeline/data/batch.h"
#include "pipeline/common/history.h"
#include "pipeline/stage.h"

/* Writes <out>/previews/step-<step>.png (row 1: held-out slices, row 2: their label maps, row 3:
 * slices sampled for these labels with the parameters `ema`) and <out>/previews/loss.png. Local
 * (rank 0). */
status preview_write(const stage_context *stage, const label_set *labels, slices *held,
                     const float *ema, int64_t step, const history *h);

#endif
