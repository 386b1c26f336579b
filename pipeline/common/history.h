/* The loss curves of a training. They are saved beside the checkpoints, so that a resumed run
 * extends them and the report can draw them. */
#ifndef CTAUG_PIPELINE_COMMON_HISTORY_H
#define CTAUG_PIPELINE_COMMON_HISTORY_H

#include "io/image.h"
#include "io/status.h"

#include <stdint.h>

typedef struct history_curve {
    double *step, *value;
    int64_t count, capacity;
} history_curve;

typedef struct history {
    history_curve train;      /* mean training loss of the steps since the previous point */
    history_curve validation; /* validation loss of the EMA parameters */
    /* At checkpoints between two points of `train`: sum and number of the losses since the point.
     */
    history_curve open_sum, open_count;
} history;

void history_free(history *h);

/* Appends a point. Local. */
status history_add(history_curve *curve, double step, double value);

/* Reads `path` up to and including `step`. A missing file is an empty history; a damaged one is
 * ST_INTEGRITY. The caller calls history_free(). Local. */
status history_read(const char *path, double step, history *out);

/* The losses since the last point of `train`, if history_add() put them there for this step; else
 * 0. Local. */
void history_open_at(const history *h, double step, double *sum, int64_t *count);

/* Writes the file atomically as JSON: {"train": {"step": [...], "loss": [...]}, "validation":
 * {...}, "open_sum": {...}, "open_count": {...}, "seal": ...}; the open ones only if there are any.
 * Local. */
status history_write(const history *h, const char *path);

/* Plots both curves over the step, with a logarithmic loss axis. The caller calls image_free().
 * Local. */
status history_draw(const history *h, int64_t height, int64_t width, image *out);

#endif
