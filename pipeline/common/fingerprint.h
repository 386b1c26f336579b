/* Fingerprints: one SHA-256 over everything that determines the output of a stage, that is, keys of
 * the study and the content of the stage's inputs (the seals of their manifests, io/manifest.h). A
 * stage compares it with the fingerprint of the published output; a later stage finds its input by
 * it. (The fingerprint of ingest covers the archive: pipeline/ingest/ingest.c.)
 */
#ifndef CTAUG_PIPELINE_COMMON_FINGERPRINT_H
#define CTAUG_PIPELINE_COMMON_FINGERPRINT_H

#include "pipeline/stage.h"

/* Fingerprint of a training on the store with the seal `store`. Local. */
status fingerprint_of_training(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of the synthetic store sampled from a checkpoint of a training with this fingerprint;
 * checkpoint: its seal. Local. */
status fingerprint_of_synthetic(const study *s, const char *training, const char *checkpoint,
                                char hex[SHA256_HEX]);

/* Fingerprint of the metrics of the stores with these seals. Local. */
status fingerprint_of_metrics(const study *s, const char *real, const char *synthetic,
                              char hex[SHA256_HEX]);

/* Fingerprint of the gate's findings on the stores with these seals. Local. */
status fingerprint_of_gate(const study *s, const char *real, const char *synthetic,
                           char hex[SHA256_HEX]);

/* ST_INPUT unless the synthetic store was generated for this study from this real store. Sets
 * *checkpoint_step to the step of the sampled checkpoint. Local. */
status fingerprint_check_synthetic(const study *s, const store *real, const store *synthetic,
                                   int64_t *checkpoint_step);

#endif
