/* The slices that the trainings of the denoiser take. */
#ifndef CTAUG_PIPELINE_COMMON_TRAINING_DATA_H
#define CTAUG_PIPELINE_COMMON_TRAINING_DATA_H

#include "pipeline/data/batch.h"
#include "pipeline/stage.h"

typedef struct training_data {
    store *store;
    store *pseudo; /* labels of the unlabelled volumes; NULL: none */
    split split;
    slices *train, *validation;
    slices *unlabelled; /* NULL: there are none */
} training_data;

/* Opens the store of the run, its split and its slices; with train.unlabelled also those of
 * unlabelled patients, whose true labels are never read. The caller calls training_data_close(),
 * also after a failure. Local. */
status training_data_open(const stage_context *stage, training_data *out);
void training_data_close(training_data *d);

#endif
