/* Trains the embedding by which the gate compares slices (model/net/embednet.h), and embeds slices.
 *
 * It learns to recognise a slice in spite of small warps and of changes of intensity, blur and
 * noise as a sampler makes them. It is trained on training and held-out
 * patients alike, without being told who is which: exchanging the two would change nothing.
 */
#ifndef CTAUG_PIPELINE_GATE_EMBEDDING_H
#define CTAUG_PIPELINE_GATE_EMBEDDING_H

#include "model/net/embednet.h"
#include "pipeline/data/batch.h"
#include "pipeline/stage.h"
#include "pipeline/trainer/trainer.h"

/* The slices that are told apart: one run for each, sorted by volume and slice. */
typedef struct exemplars {
    slices *slices;
    const split_run *runs;
    int64_t count;
} exemplars;

typedef struct embedding {
    const stage_context *stage;
    embednet_config config;
    graph *graph;
    embednet_nodes nodes;
    trainer *trainer;
    plan *plan; /* inference on the trainer's parameters */
    int64_t batch;
    slice_sample sample; /* buffer for one slice */
    float *blurred;      /* scratch [size * size] */
} embedding;

/* Builds the network for `classes` exemplars. The caller calls embedding_close(), also after a
 * failure. Both Collective. */
status embedding_open(const stage_context *stage, int64_t classes, embedding *out);
void embedding_close(embedding *e);

/* Makes gate.steps optimiser steps; resumes from the newest checkpoint in `directory` with this
 * fingerprint and saves checkpoints there. ST_STOPPED after a checkpoint if a rank was asked to
 * stop. Collective. */
status embedding_train(embedding *e, const exemplars *from, const char *directory,
                       const char *fingerprint);

/* vector[count][EMBEDDING], each of length 1, of count <= e->batch images [size * size] in [-1, 1].
 * Local. */
status embedding_images(embedding *e, const float *images, const uint8_t *labels, int64_t count,
                        double *vector);

/* The same for n slices of `from`: those with the numbers which[n], or (NULL) the first n. The
 * ranks divide the work, and all get the vectors. Collective. */
status embedding_slices(embedding *e, slices *from, const int64_t *which, int64_t n,
                        double *vector);

#endif
