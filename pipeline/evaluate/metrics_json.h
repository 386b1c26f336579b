/* What an evaluation found, and how it is told: every number of metrics.json. */
#ifndef CTAUG_PIPELINE_EVALUATE_METRICS_JSON_H
#define CTAUG_PIPELINE_EVALUATE_METRICS_JSON_H

#include "model/metric/dice.h"
#include "pipeline/data/split.h"
#include "pipeline/stage.h"

enum { ARM_REAL, ARM_BOTH, ARMS };

typedef struct metrics {
    char fingerprint[SHA256_HEX];
    double fid, fid_floor;
    int64_t n_real, n_synthetic, n_floor, feature_dim;
    char encoder_hash[SHA256_HEX];
    int64_t parameters; /* of a segmenter */
    int64_t patients;   /* held-out ones */
    int64_t seeds;
    const label_set *labels; /* the store's */
    double *dice;            /* [ARMS][seeds][labels]: mean over these; NAN: no patient has it */
    int64_t *dice_patients;  /* [labels]: held-out patients whose truth has the structure */
} metrics;

/* Room for the Dice values. Local. */
status metrics_alloc(metrics *e, const label_set *labels, int64_t seeds);
void metrics_free(metrics *e);

/* Means of the counts[e->patients] of one segmenter over the patients whose truth has the
 * structure: the same patients for every segmenter, e->dice_patients of them. */
void metrics_take_dice(metrics *e, int arm, int64_t seed, const dice_counts *counts);

/* Mean over seeds. */
double metrics_dice(const metrics *e, int arm, int label);
int64_t metrics_dice_patients(const metrics *e, int label);

/* What else metrics.json tells. */
typedef struct metrics_context {
    const stage_context *stage;
    const store *real, *synthetic;
    const split *split;
    int64_t checkpoint_step; /* that the synthetic store was sampled at */
} metrics_context;

/* The text of metrics.json (free()). Local. */
status metrics_json(const metrics *e, const metrics_context *about, char **text);

#endif
