/* Scores a segmenter on the test patients: every structure in 3-D, in the plain and in the shifted
 * test set. */
#ifndef CTAUG_PIPELINE_EVALUATE_SCORING_H
#define CTAUG_PIPELINE_EVALUATE_SCORING_H

#include "pipeline/data/split.h"
#include "pipeline/evaluate/results.h"
#include "pipeline/segmenter/segmenter.h"

/* Tolerance of the normalised surface Dice: surface voxels within it count as right. */
#define NSD_TOLERANCE_MM 3.0

/* The slices of a test set; all pointers are the caller's. */
typedef struct test_slices {
    store *from;
    const split_run *runs; /* of whole volumes, or blocks of slices of one patient */
    int64_t run_count;
    slices *slices;            /* of these runs, in their order */
    const int64_t *patient_of; /* by volume: number of the patient */
    bool simulated;            /* as another scanner would show them (pipeline/data/shift.h) */
} test_slices;

/* Fills r->value. Dice and volume error of a patient come from the voxels of all volumes together;
 * HD95 and NSD are means over the volumes. The runs are distributed over the ranks. `seed` draws
 * the noise of a simulated set. Collective. */
status score_segmenter(segmenter *s, const test_slices test[TESTS], uint64_t seed, result *r);

/* *dice = mean over structures of the Dice of at most 128 evenly spaced slices taken together, as a
 * curve of the training needs it; NAN if they hold no structure. Collective. */
status score_quickly(segmenter *s, slices *from, double *dice);

#endif
