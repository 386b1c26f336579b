/* The order of the stages, for `ctaug run`. Each stage detects by itself that its output is
 * current. Generators are trained and sampled once for each labelled set of the study; the gate
 * judges those of its first set. At the end, the run fails if the gate blocks the synthetic data.
 */
#include "pipeline/cells/cells.h"
#include "pipeline/common/release.h"

#include <stddef.h>

status referee_sets_stage(const stage_context *s) { return cells_each(s, referee_stage); }

status train_sets_stage(const stage_context *s) { return cells_each(s, train_stage); }

status gan_sets_stage(const stage_context *s) { return cells_each(s, gan_stage); }

status generate_sets_stage(const stage_context *s) { return cells_each(s, generate_stage); }

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
    } order[] = {
        {"ingest", ingest_stage},   {"referee", referee_sets_stage},   {"train", train_sets_stage},
        {"gan", gan_sets_stage},    {"generate", generate_sets_stage}, {"evaluate", evaluate_stage},
        {"gate", gate_first_stage}, {"report", report_stage},
    };
    enum { STAGES = sizeof order / sizeof *order };
    status st = ST_OK;
    stage_context chained = *s;
    chained.chained = true;
    const bool with_gan = s->study->generate.painters >> PAINTER_GAN & 1;
    const int all = STAGES - !with_gan;
    for (int i = 0, number = 1; i < STAGES; i++) {
        if (order[i].stage == gan_stage && !with_gan) continue;
        log_info(s->log, "-- %s (%d of %d)", order[i].name, number++, all);
        TRY(order[i].stage(&chained));
    }
    TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? check_release(s) : ST_OK));
done:
    return st;
}
