/* The order of the stages, for `ctaug run`. Each stage detects by itself that its output is
 * current. At the end, the run fails if the gate blocks its synthetic data.
 */
#include "pipeline/common/release.h"
#include "pipeline/stage.h"

#include <stddef.h>

/* Local. */
static status check_release(const stage_context *s) {
    status st = ST_OK;
    char path[PATH_SIZE];
    store *synthetic = NULL;
    release found;
    TRY(stage_path(s, "synthetic", path));
    TRY(store_open(path, &synthetic));
    TRY(stage_path(s, "gate", path));
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
        {"ingest", ingest_stage},     {"train", train_stage}, {"generate", generate_stage},
        {"evaluate", evaluate_stage}, {"gate", gate_stage},   {"report", report_stage},
    };
    enum { STAGES = sizeof order / sizeof *order };
    status st = ST_OK;
    stage_context chained = *s;
    chained.chained = true;
    for (int i = 0; i < STAGES; i++) {
        log_info(s->log, "-- %s (%d of %d)", order[i].name, i + 1, (int)STAGES);
        TRY(order[i].stage(&chained));
    }
    TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? check_release(s) : ST_OK));
done:
    return st;
}
