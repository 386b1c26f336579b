/* The chain of fingerprints: store, training, synthetic store, metrics and gate. Each includes the
 * one before. */
#include "pipeline/common/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* train.micro_batch is inert and therefore in no section. With train.reproducible it decides the
 * order of additions and thus the last bits, so it is added here. */
status fingerprint_of_training(const study *s, const char *store, char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data", "model", "diffusion", "train"};
    char upstream[SHA256_HEX + 64];
    snprintf(upstream, sizeof upstream, "%s", store);
    if (s->train.reproducible == SWITCH_ON)
        snprintf(upstream, sizeof upstream, "%s micro_batch %" PRId64, store, s->train.micro_batch);
    return study_fingerprint(s, sections, sizeof sections / sizeof *sections, upstream, hex);
}

status fingerprint_of_synthetic(const study *s, const char *training, const char *checkpoint,
                                char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "generate"};
    char upstream[2 * SHA256_HEX];
    snprintf(upstream, sizeof upstream, "%s %s", training, checkpoint);
    return study_fingerprint(s, sections, 2, upstream, hex);
}

status fingerprint_of_metrics(const study *s, const char *real, const char *synthetic,
                              char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data", "evaluate"};
    char upstream[2 * SHA256_HEX];
    snprintf(upstream, sizeof upstream, "%s %s", real, synthetic);
    return study_fingerprint(s, sections, sizeof sections / sizeof *sections, upstream, hex);
}

/* The synthetic store's own fingerprint covers the training and its settings. */
status fingerprint_of_gate(const study *s, const char *real, const char *synthetic,
                           char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data", "gate"};
    char upstream[2 * SHA256_HEX];
    snprintf(upstream, sizeof upstream, "%s %s", real, synthetic);
    return study_fingerprint(s, sections, sizeof sections / sizeof *sections, upstream, hex);
}

status fingerprint_check_synthetic(const study *s, const store *real, const store *synthetic,
                                   int64_t *checkpoint_step) {
    status st = ST_OK;
    char training[SHA256_HEX], expected[SHA256_HEX];
    const json_t *from = json_object_get(store_manifest(synthetic)->detail, "provenance");
    const char *checkpoint = json_string_value(json_object_get(from, "checkpoint"));
    *checkpoint_step = json_integer_value(json_object_get(from, "checkpoint_step"));
    TRY(fingerprint_of_training(s, store_manifest(real)->seal, training));
    TRY(fingerprint_of_synthetic(s, training, checkpoint ? checkpoint : "", expected));
    if (strcmp(expected, store_manifest(synthetic)->fingerprint) != 0)
        st = status_fail(ST_INPUT,
                         "%s/synthetic was generated from another store or study: run ctaug "
                         "train and ctaug generate first",
                         s->out);
done:
    return st;
}
