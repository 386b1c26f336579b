/* Which checkpoints the denoiser of a study samples with: those of the stage `distil`, or without
 * it those of `train`. */
#ifndef CTAUG_PIPELINE_COMMON_DENOISER_SOURCE_H
#define CTAUG_PIPELINE_COMMON_DENOISER_SOURCE_H

#include "pipeline/stage.h"

typedef struct denoiser_source {
    char folder[PATH_SIZE];
    char fingerprint[SHA256_HEX]; /* of the training that wrote them */
    int64_t steps;                /* at its end */
    const char *verb;             /* its stage */
} denoiser_source;

/* store: seal of the run's store. Local. */
status denoiser_source_of(const stage_context *s, const char *store, denoiser_source *out);

enum { DISTIL_FOLDER = 64 };

/* The folder in the run directory with the checkpoints of a distillation with this fingerprint:
 * "distil/" and its first 16 digits. Those of other settings keep theirs. Local. */
void distil_folder(const char *fingerprint, char out[DISTIL_FOLDER]);

#endif
