/* What all stages ask of their context. */
#include "pipeline/stage.h"

#include "io/manifest.h"

#include <string.h>

status stage_should_stop(const stage_context *s, bool *stop) {
    status st = ST_OK;
    double asked = s->stop_requested && *s->stop_requested ? 1 : 0;
    TRY(comm_max_f64(s->comm, &asked, 1));
    *stop = asked > 0;
done:
    return st;
}

status stage_is_current(const stage_context *s, const char *directory, const char *kind,
                        const char *fingerprint, bool *current) {
    *current = comm_rank(s->comm) == 0 && manifest_is_current(directory, kind, fingerprint);
    return comm_broadcast(s->comm, current, sizeof *current, 0);
}

void stage_tell_next(const stage_context *s, const char *verb) {
    if (s->chained) return;
    log_info(s->log, "next: ctaug %s %s/study.yaml", verb, s->study->out);
}

status stage_path(const stage_context *s, const char *name, char out[PATH_SIZE]) {
    return path_join(out, s->study->out, name);
}

status stage_check_synthetic(const stage_context *s, const store *real, const store *synthetic,
                             int64_t *checkpoint_step) {
    status st = ST_OK;
    char training[SHA256_HEX], expected[SHA256_HEX];
    const json_t *from = json_object_get(store_manifest(synthetic)->detail, "provenance");
    *checkpoint_step = json_integer_value(json_object_get(from, "checkpoint_step"));
    TRY(train_fingerprint(s->study, store_manifest(real)->fingerprint, training));
    TRY(generate_fingerprint(s->study, training, *checkpoint_step, expected));
    if (strcmp(expected, store_manifest(synthetic)->fingerprint) != 0)
        st = status_fail(ST_INPUT,
                         "%s/synthetic was generated from another store or study: run ctaug "
                         "train and ctaug generate first",
                         s->study->out);
done:
    return st;
}
