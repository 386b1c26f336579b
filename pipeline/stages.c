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
        {"ingest", ingest_stage},     {"train", train_stage},       {"gan", gan_stage},
        {"generate", generate_stage}, {"evaluate", evaluate_stage}, {"report", report_stage},
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
done:
    return st;
}
