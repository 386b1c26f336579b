/* The order of the stages, for `ctaug run`. Each stage detects by itself that its output is
 * current. Generators are trained and sampled once for each labelled set of the study.
 */
#include "pipeline/cells/cells.h"

#include <stddef.h>

status referee_sets_stage(const stage_context *s) { return cells_each(s, referee_stage); }

status train_sets_stage(const stage_context *s) { return cells_each(s, train_stage); }

status gan_sets_stage(const stage_context *s) { return cells_each(s, gan_stage); }

status generate_sets_stage(const stage_context *s) { return cells_each(s, generate_stage); }

status run_stages(const stage_context *s) {
    static const struct {
        const char *name;
        status (*stage)(const stage_context *);
    } order[] = {
        {"ingest", ingest_stage}, {"referee", referee_sets_stage},   {"train", train_sets_stage},
        {"gan", gan_sets_stage},  {"generate", generate_sets_stage}, {"evaluate", evaluate_stage},
        {"report", report_stage},
    };
    enum { STAGES = sizeof order / sizeof *order };
    status st = ST_OK;
    stage_context chained = *s;
    chained.chained = true;
    const bool with_gan = s->study->generate.painters >> PAINTER_GAN & 1;
    const int all = STAGES - !with_gan;
    for (int i = 0, number = 1; i < STAGES; i++) {
        if (order[i].stage == gan_sets_stage && !with_gan) continue;
        log_info(s->log, "-- %s (%d of %d)", order[i].name, number++, all);
        TRY(order[i].stage(&chained));
    }
done:
    return st;
}
