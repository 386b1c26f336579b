/* What the output of each stage follows from, as one SHA-256: keys of the study and the fingerprint
 * of what the stage reads. A stage compares it with that of what is published; a later stage looks
 * for its input by it. (Ingest's is made of the archive: pipeline/ingest/ingest.c.)
 */
#ifndef CTAUG_PIPELINE_COMMON_FINGERPRINT_H
#define CTAUG_PIPELINE_COMMON_FINGERPRINT_H

#include "pipeline/stage.h"

/* Of a training on the store with this fingerprint. Local. */
status fingerprint_of_training(const study *s, const char *store, char hex[SHA256_HEX]);

/* Of the synthetic store that the training's checkpoint at `step` makes. Local. */
status fingerprint_of_synthetic(const study *s, const char *training, int64_t step,
                                char hex[SHA256_HEX]);

/* Of the metrics of a synthetic store. Local. */
status fingerprint_of_metrics(const study *s, const char *synthetic, char hex[SHA256_HEX]);

/* ST_INPUT unless the synthetic store was generated for this study from this real store. Gives the
 * step of the checkpoint that was sampled. Local. */
status fingerprint_check_synthetic(const study *s, const store *real, const store *synthetic,
                                   int64_t *checkpoint_step);

#endif
