/* The split of a store into slices for training, validation and test, and of the training patients
 * into labelled and unlabelled ones.
 *
 * The split is by patient: patients are sorted by a Philox draw keyed by (seed, patient) and cut by
 * the shares of data.split, at least one each for training and test, and one for validation if
 * there are at least three (with two, validation shares the test patient). A store with one patient
 * is divided into contiguous blocks of slices, several for each part so that every part covers the
 * whole anatomy (pipeline/data/split.c); the report states that this is no patient-level evidence.
 *
 * data.labelled hides the labels of all training patients but that many, in an order drawn from
 * (seed, data.labelled_set, patient): the sets of 2, 4, 8, ... patients of one draw are nested.
 * Volumes without labels (store_entry.unlabelled) count for none of this: those of training
 * patients and of patients without any labelled volume are unlabelled training slices; those of
 * validation and test patients are left out, since they have no truth. In a store with one labelled
 * patient, whose slices are divided, the patient's own volumes without labels are left out. The
 * split follows from the store, the seed, data.split and these two keys alone.
 */
#ifndef CTAUG_PIPELINE_DATA_SPLIT_H
#define CTAUG_PIPELINE_DATA_SPLIT_H

#include "io/store.h"
#include "pipeline/study/study.h"

typedef enum split_part {
    SPLIT_TRAIN, /* with labels */
    SPLIT_VALIDATION,
    SPLIT_TEST,
    SPLIT_UNLABELLED, /* whole volumes of training patients whose labels must not be used or do not
                         exist; may be empty */
    SPLIT_PARTS
} split_part;

/* A run of slices [first, first + count) of volume `volume`. */
typedef struct split_run {
    int64_t volume, first, count;
} split_run;

typedef struct split {
    split_run *runs[SPLIT_PARTS]; /* sorted by volume and slice */
    int64_t run_count[SPLIT_PARTS];
    int64_t slices[SPLIT_PARTS];
    int64_t patients[SPLIT_PARTS]; /* a training patient may have labelled and other volumes, and
                                      then counts in both parts */
    bool by_blocks;                /* one patient, split by blocks of slices */
} split;

/* The part of a volume id before its last "-" identifies the patient (io/series.h). ST_INPUT if the
 * store has too few labelled slices for the three shares of data.split, or fewer training patients
 * than data.labelled. The caller calls split_free(). Local. */
status split_create(const store *s, const study *st, split *out);
void split_free(split *sp);

/* ST_INTEGRITY if a patient has slices on two sides: training (with or without labels), validation
 * and test; unless there are too few patients to keep them apart. split_create() asks. Local. */
status split_check(const store *s, const split *sp);

/* ST_INTEGRITY if a synthetic volume was painted on a label map of a validation or test patient of
 * `s`. Not for stores that are painted on such maps on purpose. Local. */
status split_check_sources(const store *s, const split *sp, const store *synthetic);

/* Whether two volume ids belong to the same patient. Local. */
bool split_same_patient(const char *id, const char *other);

#endif
