/* What an evaluation found, and how it is told: every number of metrics.json. */
#ifndef CTAUG_PIPELINE_EVALUATE_METRICS_JSON_H
#define CTAUG_PIPELINE_EVALUATE_METRICS_JSON_H

#include "model/metric/dice.h"
#include "pipeline/data/split.h"
#include "pipeline/stage.h"

enum { ARM_REAL, ARM_BOTH, ARMS };

typedef struct evidence {
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
} evidence;

/* Room for the Dice values. Local. */
status evidence_alloc(evidence *e, const label_set *labels, int64_t seeds);
void evidence_free(evidence *e);

/* Means of the counts[e->patients] of one segmenter over the patients whose truth has the
 * structure: the same patients for every segmenter, e->dice_patients of them. */
void evidence_take_dice(evidence *e, int arm, int64_t seed, const dice_counts *counts);

/* Mean over seeds. */
double evidence_dice(const evidence *e, int arm, int label);
int64_t evidence_dice_patients(const evidence *e, int label);

/* What else metrics.json tells. */
typedef struct evidence_context {
    const stage_context *stage;
    const store *real, *synthetic;
    const split *split;
    int64_t checkpoint_step; /* that the synthetic store was sampled at */
} evidence_context;

/* The text of metrics.json (free()). Local. */
status evidence_json(const evidence *e, const evidence_context *about, char **text);

#endif
