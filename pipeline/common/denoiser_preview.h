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

/* Writes <out>/previews/<prefix>step-<step>.png (common/preview_sheet.h) and
 * <out>/previews/<prefix>loss.png. The slices are sampled with the parameters `ema` as
 * study.generate says, and with fewer columns, or one column and fewer steps, where that would cost
 * more than 5 % of the work of train.preview_every steps (of all steps, if they are fewer).
 * Collective. */
status denoiser_preview_write(const stage_context *stage, const denoiser_preview *p,
                              const float *ema, int64_t step, const history *h);

#endif
