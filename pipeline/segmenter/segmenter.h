/* Segmenters: trained on a set of slices, then run for label maps, their Dice, and for features
 * (FID). Those of the evaluation and the referee (pipeline/segmenter/referee.h) share this network.
 */
#ifndef CTAUG_PIPELINE_SEGMENTER_SEGMENTER_H
#define CTAUG_PIPELINE_SEGMENTER_SEGMENTER_H

#include "model/metric/dice.h"
#include "model/net/segnet.h"
#include "pipeline/data/batch.h"
#include "pipeline/data/mixture.h"
#include "pipeline/stage.h"
#include "pipeline/trainer/trainer.h"

typedef struct segmenter {
    const stage_context *stage;
    segnet_config config;
    graph *graph;
    segnet_nodes nodes;
    trainer *trainer;    /* NULL: for inference alone */
    params *params;      /* those of the trainer, or its own */
    plan *plan;          /* inference on params */
    int64_t batch;       /* slices the plan processes at once */
    slice_sample sample; /* buffer for one slice */
} segmenter;

/* Builds a network for data.size and the store's labels, with parameters initialised from `seed`.
 * The caller calls segmenter_close(), also after a failure. Both Collective. */
status segmenter_open(const stage_context *stage, const label_set *labels, uint64_t seed,
                      segmenter *out);
void segmenter_close(segmenter *s);

/* The same network for inference alone, without a trainer. Its parameters are 0: the caller fills
 * out->params->value and calls segmenter_params_changed(). The caller calls segmenter_close(), also
 * after a failure, which is Local too for such a network. Local. */
status segmenter_open_inference(const stage_context *stage, const label_set *labels,
                                segmenter *out);

/* Must be called after every change of the parameters outside segmenter_train(). Local. */
void segmenter_params_changed(segmenter *s);

/* The slices that a segmenter is trained on, and how its batches mix them. */
typedef struct training_slices {
    slices *real, *synthetic; /* synthetic may be NULL if the mixture takes none */
    mixture mixture;
} training_slices;

/* Makes optimiser steps on `train` until `until` of evaluate.steps are made; a segmenter without
 * steps first resumes from the newest checkpoint in `directory` with this fingerprint, and saves
 * checkpoints there. base: steps of the evaluation's
 * progress line that earlier segmenters have made. ST_STOPPED after a checkpoint if a rank was
 * asked to stop. Collective. */
status segmenter_train(segmenter *s, const training_slices *train, uint64_t seed,
                       const char *directory, const char *fingerprint, int64_t base, int64_t until);

/* A slice for segmenter_predict(): slices_get() or the like. */
typedef status (*slice_getter)(void *context, int64_t k, slice_sample *sample);

/* Segments the slices first..first+count-1 that `get` returns: their label maps into predicted and,
 * if truth is not NULL, those that came with the slices into truth (both [count][size][size]).
 * Local. */
status segmenter_predict(segmenter *s, slice_getter get, void *context, int64_t first,
                         int64_t count, uint8_t *truth, uint8_t *predicted);

/* Segments the slices first, first + step, ... of `from` and compares the label maps with theirs;
 * adds to counts[patient_of[volume]]. Local. */
status segmenter_dice(segmenter *s, slices *from, int64_t first, int64_t step,
                      const int64_t *patient_of, dice_counts *counts);

/* Segments `count` slices, images [count][size][size] with values in [-1, 1], into label maps
 * [count][size][size]. confidence [count][size][size], if not NULL: the softmax probability of the
 * label, in (0, 1]. Local. */
status segmenter_labels(segmenter *s, const float *images, int64_t count, uint8_t *labels,
                        float *confidence);

/* The features of `count` slices, images [count][size][size] with values in [-1, 1], into features
 * [count][segnet_feature_dim()]. Local. */
status segmenter_features(segmenter *s, const float *images, int64_t count, float *features);

/* SHA-256 of the parameters. Local. */
status segmenter_hash(segmenter *s, char hex[SHA256_HEX]);

#endif
