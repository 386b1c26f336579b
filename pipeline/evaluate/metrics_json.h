/* The results of an evaluation, and metrics.json, the file that publishes them. */
#ifndef CTAUG_PIPELINE_EVALUATE_METRICS_JSON_H
#define CTAUG_PIPELINE_EVALUATE_METRICS_JSON_H

#include "pipeline/study/evaluation_arms.h"
#include "pipeline/data/split.h"
#include "pipeline/evaluate/distances.h"
#include "pipeline/evaluate/likelihood.h"
#include "pipeline/evaluate/obedience.h"
#include "pipeline/evaluate/statistics.h"
#include "pipeline/stage.h"

typedef struct metrics {
    char fingerprint[SHA256_HEX];
    const distances *fid; /* of the study that stands for all: distances_first() */
    int64_t parameters;   /* of a segmenter */
    int64_t patients;     /* held-out ones */
    int64_t seeds;
    const label_set *labels; /* the store's */
    int64_t *dice_patients;  /* [labels]: held-out patients whose truth has the structure */
    double *dice; /* [ARMS][seeds][labels]: mean over these patients; NAN if there are none */
} metrics;

/* Allocates the Dice values; the labels must outlive e. The caller frees with metrics_free(), also
 * after a failure. Local. */
status metrics_alloc(metrics *e, const label_set *labels, int64_t seeds);
void metrics_free(metrics *e);

/* Sets the Dice values of one segmenter from its result in the plain test set: the mean of each
 * structure over the e->dice_patients patients whose truth has it, which are the same for every
 * segmenter. Local. */
void metrics_set_dice(metrics *e, int arm, int64_t seed, const result *r);

/* Mean of a structure's Dice over the seeds; NAN if it was not measured. Local. */
double metrics_dice(const metrics *e, int arm, int label);
/* Number of patients that this mean is over. Local. */
int64_t metrics_dice_patients(const metrics *e, int label);

/* What metrics.json describes besides the results. */
typedef struct metrics_context {
    const stage_context *stage, *first; /* of the study; of its first cell, the one described */
    const all_results *all;
    const distances *distances;    /* of all pieces */
    const likelihood *likelihoods; /* of all cells, if they are measured */
    const obedience *obediences;   /* the same */
    const json_t *fidelity;        /* of the first cell; NULL: not measured */
    const store *real, *synthetic;
    const split *split;
    int64_t checkpoint_step; /* of the checkpoint that the synthetic store was sampled with */
} metrics_context;

/* *text = the text of metrics.json, which the caller frees with free(). Local. */
status metrics_json(const metrics *e, const metrics_context *about, char **text);

#endif
