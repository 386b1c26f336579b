/* The order of the stages, for `ctaug run`. Each stage detects by itself that its output is
 * current.
 */
#include "pipeline/stage.h"

#include <stddef.h>

status run_stages(const stage_context *s) {
    static const struct {
        const char *name;
        status (*stage)(const stage_context *);
    } order[] = {
        {"ingest", ingest_stage},     {"referee", referee_stage},   {"train", train_stage},
        {"generate", generate_stage}, {"evaluate", evaluate_stage}, {"report", report_stage},
    };
    enum { STAGES = sizeof order / sizeof *order };
    status st = ST_OK;
    stage_context chained = *s;
    chained.chained = true;
    for (int i = 0; i < STAGES; i++) {
        log_info(s->log, "-- %s (%d of %d)", order[i].name, i + 1, (int)STAGES);
        TRY(order[i].stage(&chained));
    }
done:
    return st;
}
