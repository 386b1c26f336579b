/* The course of a training: losses by step, kept beside the checkpoints so that a resumed run goes
 * on with its curve and the report can draw it. */
#ifndef CTAUG_PIPELINE_COMMON_HISTORY_H
#define CTAUG_PIPELINE_COMMON_HISTORY_H

#include "io/image.h"
#include "io/status.h"

#include <stdint.h>

typedef struct history_curve {
    double *step, *value;
    int64_t count, room;
} history_curve;

typedef struct history {
    history_curve train;      /* mean loss of the steps since the last point */
    history_curve validation; /* of the EMA parameters */
} history;

void history_free(history *h);
status history_add(history_curve *curve, double step, double value);

/* Reads `path`, leaving out points behind `step`; a missing file is an empty history. Local. */
status history_read(const char *path, double step, history *out);
/* Publishes as JSON: {"train": {"step": [...], "loss": [...]}, "validation": {...}}. Local. */
status history_write(const history *h, const char *path);

/* Both curves over step, loss on a logarithmic axis; owned by the caller (image_free()). Local. */
status history_draw(const history *h, int64_t height, int64_t width, image *out);

#endif
