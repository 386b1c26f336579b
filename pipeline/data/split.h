/* Which slices are for training, validation and test.
 *
 * Patients are split whole: sorted by a Philox draw keyed by (seed, patient), then cut by shares,
 * at least one each for training and test, one for validation from three patients on (below that,
 * validation shares the test patients). A store with one patient is cut into contiguous blocks of
 * slices, several for each part so that every part sees the whole anatomy (pipeline/data/split.c),
 * which the report calls by its name: no patient-level evidence. Follows from the store and the
 * seed alone.
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
    split_run *runs[SPLIT_PARTS];
    int64_t run_count[SPLIT_PARTS];
    int64_t slices[SPLIT_PARTS];
    int64_t patients[SPLIT_PARTS];
    bool by_blocks; /* one patient: contiguous blocks of slices */
} split;

/* Patients are told apart by the part of the volume id before its last "-" (io/series.h). ST_INPUT
 * if the store has fewer slices than parts. Local. */
status split_create(const store *s, const study *st, split *out);
void split_free(split *sp);

/* Whether two volume ids belong to one patient. */
bool split_same_patient(const char *id, const char *other);

#endif
