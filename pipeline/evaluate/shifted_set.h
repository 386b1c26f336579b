/* The shifted test set of evaluate.shifted: the test patients as another scanner showed them, from
 * the store of another run. Without the key the shifted set is simulated from the plain one
 * (pipeline/data/shift.h). */
#ifndef CTAUG_PIPELINE_EVALUATE_SHIFTED_SET_H
#define CTAUG_PIPELINE_EVALUATE_SHIFTED_SET_H

#include "pipeline/data/split.h"

typedef struct shifted_set {
    store *from;         /* NULL: the key is not set */
    split_run *runs;     /* the labelled volumes of test patients */
    int64_t run_count;   /* at least 1 */
    int64_t patients;    /* test patients that it has */
    int64_t *patient_of; /* by volume of `from`: number of the test patient; -1: none */
} shifted_set;

/* Opens the store <evaluate.shifted>/store if the key is set, and finds the test patients of `real`
 * in it by their pseudonyms; patient_of: by volume of `real`, -1: no test patient. Volumes of all
 * other patients are left alone. ST_INPUT if `sp` is no split of patients, if the store has other
 * labels, or if it holds none of the patients. The caller calls shifted_set_close(), also after a
 * failure. Local. */
status shifted_set_open(const study *s, const store *real, const split *sp,
                        const int64_t *patient_of, shifted_set *out);
void shifted_set_close(shifted_set *set);

/* How metrics.json and the report describe the shifted set of a study; static storage. Local. */
const char *shifted_set_description(const study *s);

#endif
