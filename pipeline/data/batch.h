/* Slices as the networks take them: windowed, resampled to the working size, augmented.
 *
 * A sample is named by its global index: which slice it is follows from the order of its epoch (a
 * Philox shuffle keyed by seed and epoch), its augmentation from (seed, index). Nothing depends on
 * ranks. Slices already resampled are cached up to 256 MiB a set; beyond that they are read again.
 */
#ifndef CTAUG_PIPELINE_DATA_BATCH_H
#define CTAUG_PIPELINE_DATA_BATCH_H

#include "pipeline/data/split.h"

typedef struct slices slices;

/* One slice at the working size. */
typedef struct slice_sample {
    float *image;          /* size*size, [-1, 1] */
    uint8_t *labels;       /* size*size */
    float position;        /* 0 first slice of its volume .. 1 last */
    int contrast;          /* class */
    int64_t volume, slice; /* in the store it comes from */
} slice_sample;

/* The slices of some runs of some stores: sources are joined in order (real, then synthetic).
 * Stores and runs stay the caller's and must outlive it. Local. */
typedef struct slice_source {
    store *from;
    const split_run *runs;
    int64_t run_count;
} slice_source;

status slices_open(const study *st, const slice_source *sources, int64_t n, slices **out);
void slices_close(slices *s);
int64_t slices_count(const slices *s);

/* Slice k (0..count-1) as it is, into the caller's buffers sample->image and sample->labels. Local.
 */
status slices_get(slices *s, int64_t k, slice_sample *sample);

/* Training sample with global index `index` (0, 1, 2, ... over all epochs): shuffled and augmented
 * after study.data. Local. */
status slices_draw(slices *s, uint64_t seed, int64_t index, slice_sample *sample);

/* Every slice of a store, as runs (free()). Local. */
status slices_all_runs(const store *s, split_run **runs, int64_t *count);

#endif
