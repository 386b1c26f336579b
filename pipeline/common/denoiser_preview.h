/* Preview images of a denoiser's training: real and sampled slices side by side, and the loss
 * curve. */
#ifndef CTAUG_PIPELINE_COMMON_DENOISER_PREVIEW_H
#define CTAUG_PIPELINE_COMMON_DENOISER_PREVIEW_H

#include "pipeline/data/batch.h"
#include "pipeline/common/history.h"
#include "pipeline/stage.h"

/* What a training shows. */
typedef struct denoiser_preview {
    const char *prefix; /* of the names of its files: "" or "distil-" */
    const label_set *labels;
    slices *held;
    double sigma_data; /* for process edm */
} denoiser_preview;

/* Writes <out>/previews/<prefix>step-<step>.png and <out>/previews/<prefix>loss.png. The columns of
 * the former are evenly spaced slices of `held`; row 1 shows them plain, row 2 with their labels,
 * and row 3 shows slices sampled for these labels with the parameters `ema`. Local; called on rank
 * 0. */
status denoiser_preview_write(const stage_context *stage, const denoiser_preview *p,
                              const float *ema, int64_t step, const history *h);

#endif
