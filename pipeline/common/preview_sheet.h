/* Preview pictures of a training: held-out slices, their labels, and slices that a network makes
 * for these labels. */
#ifndef CTAUG_PIPELINE_COMMON_PREVIEW_SHEET_H
#define CTAUG_PIPELINE_COMMON_PREVIEW_SHEET_H

#include "pipeline/data/batch.h"
#include "pipeline/stage.h"

enum { PREVIEW_SLICES = 6 };

typedef struct preview_sheet {
    slices *held;
    int64_t columns; /* 1..PREVIEW_SLICES */
    /* Makes one slice [-1, 1] for a condition with a global sample index. Local. */
    status (*sample)(void *context, const slice_sample *condition, uint64_t index, float *out);
    void *context;
    int64_t step; /* of the progress line */
} preview_sheet;

/* Writes the PNG `path`. Its columns are evenly spaced slices of `held`; row 1 shows them plain,
 * row 2 with their labels, and row 3 what `sample` makes of their labels. Each rank makes every
 * comm_size()-th column; the progress line counts them. A failure `local` of a rank is agreed upon
 * before anything is made. Collective. */
status preview_sheet_write(const stage_context *stage, const preview_sheet *p, status local,
                           const char *path);

#endif
