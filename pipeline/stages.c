/* The order of the stages, for `ctaug run`. Each stage detects by itself that its output is
 * current. Generators are trained and sampled once for each labelled set of the study; the gate
 * judges those of its first set. At the end, the run fails if the gate blocks the synthetic data.
 */
#include "pipeline/cells/cells.h"
#include "pipeline/common/costs.h"
#include "pipeline/common/release.h"

#include <stddef.h>

static status referee_cell(const stage_context *s) {
    return costs_run(s, "referee", referee_stage);
}
status referee_sets_stage(const stage_context *s) { return cells_each(s, referee_cell); }

static status text_cell(const stage_context *s) { return costs_run(s, "text", text_stage); }
status text_sets_stage(const stage_context *s) { return cells_each(s, text_cell); }

static status train_cell(const stage_context *s) { return costs_run(s, "train", train_stage); }
status train_sets_stage(const stage_context *s) { return cells_each(s, train_cell); }

static status distil_cell(const stage_context *s) { return costs_run(s, "distil", distil_stage); }
status distil_sets_stage(const stage_context *s) { return cells_each(s, distil_cell); }

static status gan_cell(const stage_context *s) { return costs_run(s, "gan", gan_stage); }
status gan_sets_stage(const stage_context *s) { return cells_each(s, gan_cell); }

static status generate_cell(const stage_context *s) {
    return costs_run(s, "generate", generate_stage);
}
status generate_sets_stage(const stage_context *s) { return cells_each(s, generate_cell); }

status autoencode_whole_stage(const stage_context *s) {
    return costs_run(s, "autoencode", autoencode_stage);
}

status gate_first_stage(const stage_context *s) {
    cell c;
    status st = comm_agree(s->comm, cell_open(s, cells_first(s->study), &c));
    return st == ST_OK ? gate_stage(&c.stage) : st;
}

/* Local. */
static status check_release(const stage_context *s) {
    status st = ST_OK;
    char path[PATH_SIZE];
    store *synthetic = NULL;
    release found;
    cell c;
    TRY(cell_open(s, cells_first(s->study), &c));
    TRY(stage_path(&c.stage, "synthetic", path));
    TRY(store_open(path, &synthetic));
    TRY(stage_path(&c.stage, "gate", path));
    TRY(release_read(path, store_manifest(synthetic)->seal, s->study->gate.release, &found));
    TRY(release_check(&found));
done:
    store_close(synthetic);
    return st;
}

status run_stages(const stage_context *s) {
    static const struct {
        const char *name;
        status (*stage)(const stage_context *);
        bool of_sets; /* makes something for each labelled set: what a task runs */
    } order[] = {
        {"ingest", ingest_stage, false},       {"autoencode", autoencode_whole_stage, false},
        {"referee", referee_sets_stage, true}, {"text", text_sets_stage, true},
        {"train", train_sets_stage, true},     {"distil", distil_sets_stage, true},
        {"gan", gan_sets_stage, true},         {"generate", generate_sets_stage, true},
        {"evaluate", evaluate_stage, true},    {"gate", gate_first_stage, false},
        {"report", report_stage, false},
    };
    enum { STAGES = sizeof order / sizeof *order };
    status st = ST_OK;
    stage_context chained = *s;
    chained.chained = true;
    const bool distilled = s->study->distil.kind != DISTIL_OFF;
    const bool latent = s->study->model.space == SPACE_LATENT;
    const bool text = s->study->model.text == SWITCH_ON;
    const bool with_gan = s->study->generate.painters >> PAINTER_GAN & 1;
    for (int i = 0; i < STAGES; i++) {
        if (order[i].stage == gan_sets_stage && !with_gan) continue;
        if (order[i].stage == distil_sets_stage && !distilled) continue;
        if (order[i].stage == autoencode_whole_stage && !latent) continue;
        if (order[i].stage == text_sets_stage && !text) continue;
        if (s->tasks > 0 && !order[i].of_sets) continue;
        log_info(s->log, "-- %s", order[i].name);
        TRY(order[i].stage(&chained));
    }
    if (s->tasks > 0)
        log_info(s->log, "next, when all tasks have ended: ctaug run %s/study.yaml", s->study->out);
    else
        TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? check_release(s) : ST_OK));
done:
    return st;
}
