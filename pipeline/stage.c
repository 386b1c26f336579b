/* Operations on the stage context that several stages need: stop requests, the test whether an
 * output is current, and paths in the run directory. */
#include "pipeline/stage.h"

#include "io/manifest.h"

#include <string.h>

void stage_works(const stage_context *s) {
    if (s->worked) *s->worked = true;
}

status stage_should_stop(const stage_context *s, bool *stop) {
    status st = ST_OK;
    double asked = s->stop_requested && *s->stop_requested ? 1 : 0;
    TRY(comm_max_f64(s->comm, &asked, 1));
    *stop = asked > 0;
done:
    return st;
}

/* The files of the output if its manifest is right. Local; called on rank 0. */
static status read_current(const stage_context *s, const char *directory, const char *kind,
                           const char *fingerprint, manifest *m) {
    status st;
    *m = (manifest){0};
    TRY(manifest_refuse_newer(directory));
    st = manifest_read(directory, kind, m);
    if (st == ST_INTEGRITY) log_warning(s->log, "%s: it is made again", status_message());
    if (st == ST_OK && strcmp(m->fingerprint, fingerprint) != 0) st = ST_INPUT;
    if (st != ST_OK) manifest_free(m);
    if (st != ST_INTERNAL) st = ST_OK; /* nothing current is no failure */
done:
    return st;
}

/* Whether this rank's share of the files has the right hashes. Local. */
static bool check_share(const stage_context *s, const char *directory, const manifest *m) {
    bool good = true;
    for (int64_t i = comm_rank(s->comm); i < m->count; i += comm_size(s->comm))
        if (manifest_check_file(m, directory, i) != ST_OK) {
            log_warning(s->log, "%s: it is made again", status_message());
            good = false;
        }
    return good;
}

status stage_is_current(const stage_context *s, const char *directory, const char *kind,
                        const char *fingerprint, bool *current) {
    status st = ST_OK;
    manifest m = {0};
    void *files = NULL;
    int64_t bytes = 0, damaged = 0;
    *current = false;
    if (comm_rank(s->comm) == 0) st = read_current(s, directory, kind, fingerprint, &m);
    TRY(comm_agree(s->comm, st));
    files = m.files;
    bytes = m.count * (int64_t)sizeof *m.files;
    TRY(comm_broadcast_block(s->comm, &files, &bytes, 0));
    m.files = files;
    m.count = bytes / (int64_t)sizeof *m.files;
    if (m.count == 0) goto done;
    damaged = !check_share(s, directory, &m);
    TRY(comm_sum_i64(s->comm, &damaged, 1));
    *current = damaged == 0;
done:
    manifest_free(&m);
    return st;
}

status stage_needs_pixels(const stage_context *s, const char *name) {
    if (s->study->model.space == SPACE_PIXEL) return ST_OK;
    return status_fail(ST_USAGE, "%s: model.space is latent, and this stage knows pixels alone",
                       name);
}

void stage_log_next(const stage_context *s, const char *verb) {
    if (s->chained) return;
    log_info(s->log, "next: ctaug %s %s/study.yaml", verb, s->study->out);
}

void stage_log_training(const stage_context *s, bool referee) {
    const bool text = s->study->model.text == SWITCH_ON;
    const char *next = text ? "text" : "train";
    stage_log_next(s, referee && study_needs_referee(s->study) ? "referee" : next);
}

status stage_path(const stage_context *s, const char *name, char out[PATH_SIZE]) {
    const bool shared =
        s->archive && (strcmp(name, "store") == 0 || strcmp(name, "autoencoder") == 0);
    return path_join(out, shared ? s->archive : s->study->out, name);
}
