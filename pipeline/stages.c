/* `ctaug run`: the order of the stages. Each finds for itself what is done and unchanged. */
#include "pipeline/stage.h"

#include <stddef.h>

status run_stages(const stage_context *s) {
    static const struct {
        const char *name;
        status (*go)(const stage_context *);
    } order[] = {
        {"ingest", ingest_stage},     {"train", train_stage},   {"generate", generate_stage},
        {"evaluate", evaluate_stage}, {"report", report_stage},
    };
    enum { STAGES = sizeof order / sizeof *order };
    status st = ST_OK;
    stage_context each = *s;
    each.chained = true;
    for (int i = 0; i < STAGES; i++) {
        log_info(s->log, "-- %s (%d of %d)", order[i].name, i + 1, (int)STAGES);
        TRY(order[i].go(&each));
    }
done:
    return st;
}
