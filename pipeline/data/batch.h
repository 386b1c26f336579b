/* Slices for the networks: resampled to the working size, windowed, and augmented for training.
 *
 * A training sample is identified by its global index: its slice follows from the order of its
 * epoch (a Philox shuffle keyed by seed and epoch), its augmentation from (seed, index). Nothing
 * depends on the ranks. Up to 256 MiB of resampled slices are cached for each set; the others are
 * read each time.
 */
#ifndef CTAUG_PIPELINE_DATA_BATCH_H
#define CTAUG_PIPELINE_DATA_BATCH_H

#include "pipeline/data/split.h"

/* A set of slices with its cache. */
typedef struct slices slices;

/* One slice at the working size. Its buffers belong to the caller. */
typedef struct slice_sample {
    float *image;          /* size*size, [-1, 1]; or see slices_map_hu(), slices_replace() */
    uint8_t *labels;       /* size*size */
    bool latent;           /* see slices_replace(); false without it */
    float position;        /* in its volume: 0 the first slice, 1 the last */
    int contrast;          /* class: 0 native, 1 contrast */
    scan_traits traits;    /* of its volume */
    float spacing;         /* of the working pixels, mm: geometric mean of both axes */
    const char *caption;   /* what a network with text is given; NULL: what the slice shows
                              (pipeline/data/slice_caption.h). Not set by slices_get() etc. */
    int64_t volume, slice; /* in its store */
} slice_sample;

/* Runs of slices of one store. */
typedef struct slice_source {
    store *from;
    const split_run *runs;
    int64_t run_count;
} slice_source;

/* Opens the slices of n > 0 sources, concatenated in order (real, then synthetic). Stores and runs
 * remain the caller's and must outlive *out. ST_INPUT if the stores have different labels or there
 * are no slices. Local. */
status slices_open(const study *st, const slice_source *sources, int64_t n, slices **out);
void slices_close(slices *s);

/* Opens the slices of one source whose labels are never read: `labels` gives them, a store with a
 * volume of the same id and shape for each run; NULL: all labels are 0. ST_INPUT if it lacks one or
 * names other labels. It must outlive *out. Local. */
status slices_open_unlabelled(const study *st, const slice_source *source, store *labels,
                              slices **out);
int64_t slices_count(const slices *s);

/* From now on images are HU by model/hu_map.h, without the window. Local. */
void slices_map_hu(slices *s);

/* From now on slices_get() and slices_draw() take image and labels of slice k from here; with
 * `latent` they are a latent and the codes of the conditions (pipeline/common/latents.h). copy: 0
 * for slices_get(), and for slices_draw() the number of the epoch. Local. */
typedef struct slice_replacement {
    bool latent;
    status (*read)(void *context, int64_t k, int64_t copy, slice_sample *sample);
    void *context;
} slice_replacement;
void slices_replace(slices *s, const slice_replacement *with);

/* Slice k (0..count-1) without augmentation, into the caller's buffers sample->image and
 * sample->labels. Local. */
status slices_get(slices *s, int64_t k, slice_sample *sample);

/* The same slice as in the shifted test set (pipeline/data/shift.h); its noise is drawn from (seed,
 * k). Local. */
status slices_get_shifted(slices *s, uint64_t seed, int64_t k, slice_sample *sample);

/* Training sample with global index `index` (0, 1, 2, ... over all epochs), shuffled and augmented
 * with the settings of study.data, into the caller's buffers. Local. */
status slices_draw(slices *s, uint64_t seed, int64_t index, slice_sample *sample);

/* Slice k augmented as the training sample with this index. Local. */
status slices_augment(slices *s, uint64_t seed, int64_t index, int64_t k, slice_sample *sample);

/* slice_sample.spacing of a volume's slices resampled to size x size. Local. */
float slice_spacing(const geometry *g, int64_t size);

/* All slices of a store as runs: one for each volume. The caller frees *runs with free(). Local. */
status slices_all_runs(const store *s, split_run **runs, int64_t *count);

#endif
