/* Segmenters for the evaluation: trained on a set of slices, asked for label maps and for features.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_SEGMENTER_H
#define CTAUG_PIPELINE_EVALUATE_SEGMENTER_H

#include "model/metric/dice.h"
#include "model/metric/fid.h"
#include "model/net/segnet.h"
#include "pipeline/data/batch.h"
#include "pipeline/stage.h"
#include "pipeline/trainer/trainer.h"

typedef struct segmenter {
    const stage_context *stage;
    segnet_config config;
    graph *graph;
    segnet_nodes nodes;
    trainer *trainer;
    plan *plan;    /* inference on the trainer's parameters */
    int64_t batch; /* slices it takes at once */
    slice_sample sample;
} segmenter;

/* The network after data.size and the store's labels; parameters from `seed`. Collective;
 * the caller agrees. */
status segmenter_open(const stage_context *stage, const label_set *labels, uint64_t seed,
                      segmenter *out);
void segmenter_close(segmenter *s);

/* evaluate.steps optimiser steps on `train`, resumed from and kept in `directory` under
 * `fingerprint`. base: how much of the evaluation's progress is done already (the progress line
 * goes on from there). ST_STOPPED after a checkpoint when asked to stop. Collective. */
status segmenter_train(segmenter *s, slices *train, uint64_t seed, const char *directory,
                       const char *fingerprint, int64_t base);

/* Label maps of the slices [first, first + step, ...] of `from`, compared with theirs: counts go to
 * counts[patient_of[volume]]. Local. */
status segmenter_dice(segmenter *s, slices *from, int64_t first, int64_t step,
                      const int64_t *patient_of, dice_counts *counts);

/* Features of `n` slices of `from`, spread evenly over it; this rank takes every comm_size()-th.
 * Local sums. */
status segmenter_features(segmenter *s, slices *from, int64_t n, moments *out);

/* SHA-256 of the parameters. Local. */
status segmenter_hash(segmenter *s, char hex[SHA256_HEX]);

#endif
