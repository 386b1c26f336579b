/* Operations on the stage context that several stages need: stop requests, the test whether an
 * output is current, and paths in the run directory. */
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

void stage_log_next(const stage_context *s, const char *verb) {
    if (s->chained) return;
    log_info(s->log, "next: ctaug %s %s/study.yaml", verb, s->study->out);
}

status stage_path(const stage_context *s, const char *name, char out[PATH_SIZE]) {
    return path_join(out, s->study->out, name);
}
