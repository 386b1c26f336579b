/* Preview images of a training: real and sampled slices side by side, and the loss curve. */
#ifndef CTAUG_PIPELINE_TRAIN_PREVIEW_H
#define CTAUG_PIPELINE_TRAIN_PREVIEW_H

#include "pipeline/data/batch.h"
#include "pipeline/common/history.h"
#include "pipeline/stage.h"

/* Writes <out>/previews/step-<step>.png and <out>/previews/loss.png. The columns of the former are
 * evenly spaced slices of `held`; row 1 shows them plain, row 2 with their labels, and row 3 shows
 * slices sampled for these labels with the parameters `ema`. Local; called on rank 0. */
status preview_write(const stage_context *stage, const label_set *labels, slices *held,
                     const float *ema, double sigma_data, int64_t step, const history *h);

#endif
