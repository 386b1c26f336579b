/* Makes the studies of the labelled sets, and runs stages on them. */
#include "pipeline/cells/cells.h"

#include "pipeline/common/work_queue.h"

#include <inttypes.h>
#include <stdio.h>

int64_t cells_count(const study *s) {
    return s->evaluate.labelled.count > 0 ? s->evaluate.labelled.count * s->evaluate.sets : 1;
}

status cell_open(const stage_context *stage, int64_t i, cell *out) {
    status st = ST_OK;
    char name[64];
    const study *s = stage->study;
    *out = (cell){.study = *s, .stage = *stage};
    out->stage.study = &out->study;
    if (s->evaluate.labelled.count == 0) return ST_OK;
    out->labelled = s->evaluate.labelled.at[s->evaluate.labelled.count - 1 - i / s->evaluate.sets];
    out->draw = i % s->evaluate.sets;
    snprintf(out->name, sizeof out->name, "n%" PRId64 "-s%" PRId64, out->labelled, out->draw);
    snprintf(name, sizeof name, "sets/%s", out->name);
    TRY(stage_path(stage, name, out->study.out));
    out->study.data.labelled = out->labelled;
    out->study.data.labelled_set = out->draw;
    out->study.evaluate.labelled.count = 0;
    out->stage.archive = s->out;
    out->stage.chained = true;
done:
    return st;
}

/* Runs the stage for one cell. Collective on the ranks of the group. */
static status run_cell(const stage_context *group, int64_t i,
                       status (*run)(const stage_context *)) {
    status st = ST_OK;
    cell c;
    const int64_t n = cells_count(group->study);
    TRY(comm_agree(group->comm, cell_open(group, i, &c)));
    log_info(group->log, "-- %s: set %" PRId64 " of %" PRId64, c.name, i + 1, n);
    TRY(comm_agree(group->comm, comm_rank(group->comm) == 0 ? file_make_dirs(c.study.out) : ST_OK));
    TRY(run(&c.stage));
done:
    return st;
}

status cells_each(const stage_context *stage, status (*run)(const stage_context *)) {
    status st = ST_OK;
    work_queue queue = {0};
    int64_t i = 0;
    if (stage->study->evaluate.labelled.count == 0) return run(stage);
    TRY(work_queue_open(stage, cells_count(stage->study), &queue));
    const stage_context group = work_queue_stage(&queue);
    for (;;) {
        TRY(work_queue_next(&queue, &i));
        if (i < 0) break;
        TRY(run_cell(&group, i, run));
    }
done:
    return work_queue_close(&queue, st);
}
