/* Preview pictures of a training: held-out slices, their labels, and slices that a network makes
 * for these labels. */
#ifndef CTAUG_PIPELINE_COMMON_PREVIEW_SHEET_H
#define CTAUG_PIPELINE_COMMON_PREVIEW_SHEET_H

#include "pipeline/data/batch.h"
#include "pipeline/stage.h"

enum { PREVIEW_SLICES = 6 };

/* Makes slices [-1, 1] for `count` conditions with the global sample indices `index`. Local. */
typedef status (*preview_sample)(void *context, const slice_sample *conditions,
                                 const uint64_t *index, int64_t count, float *out);

/* Writes the PNG `path`. Its columns are PREVIEW_SLICES evenly spaced slices of `held`; row 1 shows
 * them plain, row 2 with their labels, and row 3 what `sample` makes of their labels. Local. */
status preview_sheet_write(const stage_context *stage, slices *held, preview_sample sample,
                           void *context, const char *path);

#endif
