/* The split of a store into slices for training, validation and test.
 *
 * The split is by patient: patients are sorted by a Philox draw keyed by (seed, patient) and cut by
 * the shares of data.split, at least one each for training and test, and one for validation if
 * there are at least three (with two, validation shares the test patient). A store with one patient
 * is divided into contiguous blocks of slices, several for each part so that every part covers the
 * whole anatomy (pipeline/data/split.c); the report states that this is no patient-level evidence.
 * The split follows from the store, the seed and data.split alone.
 */
#ifndef CTAUG_PIPELINE_DATA_SPLIT_H
#define CTAUG_PIPELINE_DATA_SPLIT_H

#include "io/store.h"
#include "pipeline/study/study.h"

typedef enum split_part { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST, SPLIT_PARTS } split_part;

/* A run of slices [first, first + count) of volume `volume`. */
typedef struct split_run {
    int64_t volume, first, count;
} split_run;

typedef struct split {
    split_run *runs[SPLIT_PARTS]; /* sorted by volume and slice */
    int64_t run_count[SPLIT_PARTS];
    int64_t slices[SPLIT_PARTS];
    int64_t patients[SPLIT_PARTS];
    bool by_blocks; /* one patient, split by blocks of slices */
} split;

/* The part of a volume id before its last "-" identifies the patient (io/series.h). ST_INPUT if the
 * store has fewer slices than parts. The caller calls split_free(). Local. */
status split_create(const store *s, const study *st, split *out);
void split_free(split *sp);

/* Whether two volume ids belong to the same patient. Local. */
bool split_same_patient(const char *id, const char *other);

#endif
