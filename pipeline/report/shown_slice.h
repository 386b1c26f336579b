/* A slice of a store as the page shows it: preprocessed as for the networks, at most
 * SHOWN_SIDE_MAX pixels wide. */
#ifndef CTAUG_PIPELINE_REPORT_SHOWN_SLICE_H
#define CTAUG_PIPELINE_REPORT_SHOWN_SLICE_H

#include "io/image.h"
#include "io/store.h"
#include "pipeline/study/study.h"

enum { SHOWN_SIDE_MAX = 256 };

typedef struct shown_slice {
    int64_t side; /* pixels */
    double window[2];
    float *resampled; /* HU */
    int16_t *hu;      /* side*side */
    uint8_t *labels;  /* side*side */
} shown_slice;

/* A window of radiology: [level - width/2, level + width/2] HU. */
typedef struct named_window {
    const char *name;
    double width, level;
} named_window;

enum { SHOWN_WINDOWS = 3 };
/* Soft tissue, lung, bone. */
extern const named_window shown_windows[SHOWN_WINDOWS];

/* The caller calls shown_slice_close(), also after a failure. Local. */
status shown_slice_open(const study *s, shown_slice *out);
void shown_slice_close(shown_slice *s);

/* Reads and resamples slice z of a volume. Local. */
status shown_slice_read(shown_slice *out, store *from, int64_t volume, int64_t z);

/* Replaces its labels by those of slice z of another volume. Local. */
status shown_slice_read_labels(shown_slice *out, store *from, int64_t volume, int64_t z);

/* The slice as a picture in a window [low, high]; tinted: with the colours of its labels.
 * image_free() frees it. Local. */
status shown_slice_picture(const shown_slice *s, const double window[2], bool tinted, image *out);

#endif
