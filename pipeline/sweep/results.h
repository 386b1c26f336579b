/* What the arms of a sweep have measured, and its summary over the seeds of each point. */
#ifndef CTAUG_PIPELINE_SWEEP_RESULTS_H
#define CTAUG_PIPELINE_SWEEP_RESULTS_H

#include "pipeline/sweep/arms.h"

/* Columns of the results. */
typedef enum sweep_column {
    COLUMN_FID,       /* of the domain network, against held-out real slices */
    COLUMN_FID_FLOOR, /* of real training slices */
    COLUMN_KID,
    COLUMN_FIDELITY, /* mean over structures: Dice on synthetic slices over that on real ones */
    COLUMN_DICE,     /* of segmenters trained on real and synthetic slices; mean over structures */
    COLUMN_DICE_REAL,
    COLUMN_BITS,        /* per pixel of held-out real slices (evaluate.bound_slices) */
    COLUMN_EVALUATIONS, /* of the network for a slice */
    COLUMN_SECONDS,     /* core seconds of sampling a slice */
    COLUMN_HOURS,       /* core hours of the arm, its training counted in full */
    COLUMNS
} sweep_column;

typedef struct sweep_column_kind {
    const char *name; /* in sweep.json and sweep.csv */
    int digits;
} sweep_column_kind;

extern const sweep_column_kind sweep_columns[COLUMNS];

/* A mean over seeds with its 95 % interval; NAN where not measured. */
typedef struct sweep_mean {
    double mean, low, high;
    int64_t n;
} sweep_mean;

typedef struct sweep_results {
    const stage_context *stage;
    int64_t points, seeds, arms;
    double (*value)[COLUMNS];    /* [arms] */
    status *failure;             /* [arms]: ST_OK, or why the arm ended; see arm_failure.h */
    sweep_mean (*mean)[COLUMNS]; /* [points] */
    sweep_mean *difference;      /* [points]: in the measure, from point 0, seed by seed */
    sweep_column measure;
    int64_t best; /* point with the best mean; -1: none was measured */
} sweep_results;

/* Reads the metrics of all arms; one that has none counts as failed. ST_INTEGRITY if they are
 * damaged.
 * The caller calls sweep_results_free(). Local. */
status sweep_results_read(const stage_context *stage, const sweep_groups *g, sweep_results *out);
void sweep_results_free(sweep_results *r);

/* Whether a column is the better the smaller it is. Local. */
bool sweep_smaller_is_better(sweep_column c);

#endif
