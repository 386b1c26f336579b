/* Pairs of noise and of what the trained flow makes of it, drawn once and kept for reflow.
 *
 * They are a set of files (pipeline/common/file_set.h) in <out>/pairs/<16 digits of the
 * fingerprint>. A file holds, for its part of the pairs, "noise" and "sample" [n][size][size] and
 * "straightness" [n], f32. Pair k has the slice, the noise and the dropped conditions of the k-th
 * training sample after the training; the pairs behind them are of evenly spaced validation slices.
 * Nothing depends on the ranks, which share the files. */
#ifndef CTAUG_PIPELINE_DISTIL_PAIRS_H
#define CTAUG_PIPELINE_DISTIL_PAIRS_H

#include "pipeline/common/file_set.h"
#include "pipeline/data/mixture.h"
#include "pipeline/distil/task.h"

enum { PAIRS_HELD = 32 }; /* validation pairs at most */

typedef struct pairs {
    const distil_inputs *in;
    int64_t count, held; /* of training, of validation, which follow them */
    int64_t first;       /* number of the training sample of pair 0 */
    mixture mixture;
    int64_t part; /* pairs in a file */
    int64_t size; /* of a slice */
    file_set set;
    int64_t open; /* the file whose arrays are below; -1: none */
    float *noise, *sample, *straightness;
} pairs;

/* What a pair was drawn for; the buffers of `slice` are the caller's. */
typedef struct pair_source {
    slice_sample slice;
    bool conditional; /* false: all conditions are dropped */
} pair_source;

/* Local. The caller calls pairs_close(), also after a failure. */
status pairs_open(const distil_inputs *in, pairs *out);
void pairs_close(pairs *p);

/* Draws the pairs with the teacher unless they are published, by the midpoint rule in
 * distil.pair_steps steps and without guidance or clamping. ST_STOPPED after a file if a rank was
 * asked to stop: finished files are kept. Collective. */
status pairs_make(pairs *p);

/* The same for pairs that were published and are damaged now; others are left alone. Collective. */
status pairs_mend(pairs *p);

/* Slice and conditions of pair k; its noise [size*size]. Local. */
status pairs_source(const pairs *p, int64_t k, pair_source *out);
void pairs_noise(const pairs *p, int64_t k, float *noise);

/* Noise and sample of pair k of the published ones, [size*size], valid until the next call.
 * ST_INTEGRITY if its file is damaged. Local. */
status pairs_get(pairs *p, int64_t k, const float **noise, const float **sample);

#endif
