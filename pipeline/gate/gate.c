/* The gate stage: looks whether the synthetic store gives away training patients, and publishes
 * what it finds as gate.json with a picture of the closest pairs.
 *
 * Copies: synthetic slices that are much nearer to a training slice than to any held-out one
 * (pipeline/gate/copying.h). They decide whether the data pass. Membership: how well the denoising
 * loss tells training patients from held-out ones (pipeline/gate/membership.h). That is a property
 * of the model, which does not leave the run directory, and is only reported.
 *
 * The finding itself is no failure. gate.release says what follows from it at the end of `ctaug
 * run` and in `ctaug export` (pipeline/common/release.h).
 */
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/release.h"
#include "pipeline/common/sampled_denoiser.h"
#include "pipeline/gate/control.h"
#include "pipeline/gate/gate_json.h"
#include "pipeline/gate/pairs.h"
#include "pipeline/stage.h"

#include "io/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct gate {
    const stage_context *stage;
    store *real, *synthetic;
    gate_sets sets;
    embedding embedding;
    denoiser *denoiser;
    gate_findings findings;
    char fingerprint[SHA256_HEX];
    char parts[PATH_SIZE]; /* checkpoints of the embedding */
    char output[PATH_SIZE];
} gate;

/* Opens the stores; computes fingerprint and paths. Local. */
static status open_stores(gate *g) {
    status st = ST_OK;
    char path[PATH_SIZE];
    int64_t step;
    TRY(stage_path(g->stage, "store", path));
    TRY(store_open(path, &g->real));
    TRY(stage_path(g->stage, "synthetic", path));
    TRY(store_open(path, &g->synthetic));
    TRY(fingerprint_check_synthetic(g->stage->study, g->real, g->synthetic, &step));
    TRY(fingerprint_of_gate(g->stage->study, store_manifest(g->real)->seal,
                            store_manifest(g->synthetic)->seal, g->fingerprint));
    TRY(stage_path(g->stage, "gate", g->output));
    snprintf(path, sizeof path, "gate.parts-%.16s", g->fingerprint);
    TRY(stage_path(g->stage, path, g->parts));
done:
    return st;
}

/* Collective. */
static status measure(gate *g) {
    status st = ST_OK;
    const stage_context *s = g->stage;
    const int64_t steps = s->study->gate.steps, batches = control_batches(&g->sets);
    log_progress_begin(s->log, "gate", steps + batches + membership_batches(&g->sets));
    TRY(sampled_denoiser_open(s, g->real, g->synthetic, s->study->generate.batch, &g->denoiser));
    TRY(embedding_open(s, g->sets.exemplars.count, &g->embedding));
    TRY(comm_agree(s->comm, file_make_dirs(g->parts)));
    TRY(embedding_train(&g->embedding, &g->sets.exemplars, g->parts, g->fingerprint));
    TRY(copying_measure(s, &g->sets, g->denoiser, &g->embedding, steps, &g->findings.copies));
    TRY(membership_measure(s, &g->sets, g->denoiser, s->study->generate.batch, steps + batches,
                           &g->findings.membership));
done:
    log_progress_end(s->log);
    return st;
}

/* Writes gate.json and the manifest over it and the picture, if there is one. Local. */
static status publish_json(const gate *g, const json_t *all, bool picture) {
    status st = ST_OK;
    manifest m = {.kind = "gate"};
    char path[PATH_SIZE];
    char *text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (!text) TRY(status_memory("gate.json", 0));
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", g->fingerprint);
    TRY(manifest_remove(g->output));
    TRY(path_join(path, g->output, "gate.json"));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(manifest_add_file(&m, g->output, "gate.json"));
    if (picture) TRY(manifest_add_file(&m, g->output, "pairs.png"));
    TRY(manifest_write(&m, g->output));
done:
    manifest_free(&m);
    free(text);
    return st;
}

/* Local; called on rank 0. */
static status publish(const gate *g) {
    status st = ST_OK;
    char path[PATH_SIZE];
    const bool picture = !g->sets.reason[0];
    json_t *all = gate_json(g->stage->study, &g->sets, &g->findings);
    if (!all) TRY(status_memory("gate.json", 0));
    TRY(file_make_dirs(g->output));
    TRY(path_join(path, g->output, "pairs.png"));
    if (picture) TRY(pairs_write(&g->sets, &g->findings.copies, path));
    TRY(publish_json(g, all, picture));
    TRY(file_remove_tree(g->parts));
done:
    json_decref(all);
    return st;
}

/* gate.release changes no finding, but gate.json tells export and report what it is: it is written
 * again if it has changed. Local; called on rank 0. */
static status update_release(const gate *g) {
    status st = ST_OK;
    char path[PATH_SIZE], picture[PATH_SIZE];
    json_error_t fault;
    json_t *all = NULL;
    const char *now = named_table_name(&release_kinds, (int)g->stage->study->gate.release);
    TRY(path_join(path, g->output, "gate.json"));
    TRY(path_join(picture, g->output, "pairs.png"));
    all = json_load_file(path, 0, &fault);
    if (!all) TRY(status_fail(ST_INTEGRITY, "%s: %s", path, fault.text));
    const char *was = json_string_value(json_object_get(all, "release"));
    if (was && strcmp(was, now) == 0) goto done;
    json_object_set_new(all, "release", json_string(now));
    TRY(publish_json(g, all, file_exists(picture)));
done:
    json_decref(all);
    return st;
}

/* Logs the finding and an event. Local; called on rank 0. */
static status log_finding(const gate *g) {
    status st = ST_OK;
    release found;
    TRY(release_read(g->output, store_manifest(g->synthetic)->seal, g->stage->study->gate.release,
                     &found));
    if (found.passed)
        log_info(g->stage->log, "gate: passed: %s", found.finding);
    else
        log_warning(g->stage->log, "gate: %s: %s",
                    g->sets.reason[0] ? "not measured" : "NOT passed", found.finding);
    log_event(g->stage->log, "gate", json_pack("{s:b}", "passed", (int)found.passed));
    log_info(g->stage->log, "gate: %s/gate.json", g->output);
done:
    return st;
}

static void close_gate(gate *g) {
    gate_sets_close(&g->sets);
    denoiser_close(g->denoiser);
    store_close(g->real);
    store_close(g->synthetic);
}

status gate_stage(const stage_context *stage) {
    status st = ST_OK;
    gate g = {.stage = stage};
    bool current = false;
    TRY(comm_agree(stage->comm, open_stores(&g)));
    TRY(stage_is_current(stage, g.output, "gate", g.fingerprint, &current));
    if (current) {
        log_info(stage->log, "gate: %s is current", g.output);
        if (comm_rank(stage->comm) == 0) st = update_release(&g);
        TRY(comm_agree(stage->comm, st));
    } else {
        TRY(comm_agree(stage->comm, gate_sets_open(stage->study, g.real, g.synthetic, &g.sets)));
        if (!g.sets.reason[0]) TRY(measure(&g));
        TRY(comm_agree(stage->comm, comm_rank(stage->comm) == 0 ? publish(&g) : ST_OK));
    }
    TRY(comm_agree(stage->comm, comm_rank(stage->comm) == 0 ? log_finding(&g) : ST_OK));
    stage_log_next(stage, "report");
done:
    embedding_close(&g.embedding);
    close_gate(&g);
    return st;
}
