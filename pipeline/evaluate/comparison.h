/* One cell of the evaluation (pipeline/cells/cells.h): the slices of its arms, and the training and
 * scoring of a segmenter. */
#ifndef CTAUG_PIPELINE_EVALUATE_COMPARISON_H
#define CTAUG_PIPELINE_EVALUATE_COMPARISON_H

#include "pipeline/cells/cells.h"
#include "pipeline/data/batch.h"
#include "pipeline/evaluate/fidelity.h"
#include "pipeline/evaluate/results.h"
#include "pipeline/evaluate/shifted_set.h"
#include "pipeline/data/mixture.h"

typedef struct comparison {
    cell cell;
    store *real, *stores[SOURCES]; /* stores: of the sources that are synthetic; NULL: not used */
    int64_t checkpoint_step;       /* of the checkpoint that out/synthetic was sampled with */
    json_t *fidelity;              /* the referee's record of out/synthetic; NULL: none */
    char fidelity_seal[SHA256_HEX];
    split split;
    int64_t *patient_of; /* by volume of the real store: number of the test patient; -1: none */
    int64_t patients;    /* for testing */
    shifted_set shifted;
    char parts[PATH_SIZE]; /* directory of the results and of the segmenters' checkpoints */
    /* Opened by comparison_open_slices(). */
    split_run *runs[SOURCES]; /* owned: of the sources that are stores */
    slices *labelled, *validation, *test, *source[SOURCES];
    slices *test_shifted; /* of evaluate.shifted; NULL: simulated */
} comparison;

/* Opens the stores of cell i that the study's arms need, and its split. ST_INPUT if a store is
 * missing or was not made for this study. The caller calls comparison_close(), also after a
 * failure; *out must not be moved. Local. */
status comparison_open(const stage_context *stage, int64_t i, comparison *out);
void comparison_close(comparison *c);

/* Opens the slices, unless they are open. ST_INPUT if a set has fewer than the two slices that FID
 * needs. Local. */
status comparison_open_slices(comparison *c);

/* Fingerprint of the training of a segmenter: the cell, its stores, the keys of segmenters, the arm
 * and the seed; not the list of arms or the number of seeds. Local. */
status comparison_fingerprint(const comparison *c, evaluation_arm arm, int64_t seed,
                              char hex[SHA256_HEX]);

/* An empty result for this cell's patients and structures. Local. */
status comparison_result_alloc(const comparison *c, result *out);

/* Reads the result of an arm and a seed into r, which has been allocated. ST_INPUT or ST_INTEGRITY
 * if the training has to be made (again). Local. */
status comparison_result_read(const comparison *c, evaluation_arm arm, int64_t seed, result *r);

/* Reads the parameters of the first segmenter that was trained on real slices alone, which are kept
 * in a study without a referee. Statuses as above. Local. */
status comparison_read_kept(const comparison *c, float *values, int64_t count);

/* Trains the segmenter of an arm and a seed, scores it and writes its result; resumes from its
 * checkpoint. base: steps of the progress line before this training. Collective on the ranks of
 * the cell's stage. */
status comparison_run(comparison *c, evaluation_arm arm, int64_t seed, int64_t base);

/* The mixture of an arm for a study. Local. */
mixture comparison_mixture(const study *s, evaluation_arm arm);

#endif
