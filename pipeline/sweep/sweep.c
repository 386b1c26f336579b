/* Runs the arms of a sweep and publishes their comparison. */
#include "pipeline/sweep/sweep.h"

#include "pipeline/common/precision.h"
#include "pipeline/common/work_queue.h"
#include "pipeline/sweep/arm_failure.h"
#include "pipeline/sweep/outputs.h"
#include "pipeline/sweep/share.h"

#include <inttypes.h>

/* The stages of one arm. Collective on the ranks of the group. */
static status run_stages_of(const stage_context *arm) {
    status st = ST_OK;
    if (arm->study->model.space == SPACE_LATENT) TRY(autoencode_whole_stage(arm));
    TRY(referee_sets_stage(arm));
    if (arm->study->model.text == SWITCH_ON) TRY(text_sets_stage(arm));
    TRY(train_sets_stage(arm));
    if (arm->study->distil.kind != DISTIL_OFF) TRY(distil_sets_stage(arm));
    if (arm->study->generate.painters >> PAINTER_GAN & 1) TRY(gan_sets_stage(arm));
    TRY(generate_sets_stage(arm));
    TRY(evaluate_stage(arm));
done:
    return st;
}

/* Makes the arm's run directory with what others have for it. Local. */
static status prepare_arm(const stage_context *sweep, const sweep_groups *g, const sweep_arm *a,
                          int64_t i) {
    status st = ST_OK;
    TRY(share_store(sweep, a));
    TRY(share_models(sweep, g, i));
done:
    return st;
}

/* Runs arm i, unless it is known to fail. Collective on the ranks of the group. */
static status run_arm(const stage_context *group, const sweep_groups *g, int64_t i) {
    status st = ST_OK;
    const bool first = comm_rank(group->comm) == 0;
    sweep_arm a;
    char title[STUDY_TEXT];
    TRY(comm_agree(group->comm, sweep_arm_open(group, i, &a)));
    sweep_title(&a.point, title, sizeof title);
    log_info(group->log, "-- arm %s, %" PRId64 " of %" PRId64 ": %s, seed %" PRId64, a.name, i + 1,
             g->arms, title, a.study.seed);
    st = comm_agree(group->comm, first ? arm_failure_read(&a, g->store) : ST_OK);
    if (st != ST_OK) {
        log_info(group->log, "sweep: %s has failed before and is left out; %s/failed.json says so",
                 a.name, a.study.out);
        return ST_OK;
    }
    TRY(precision_choose(group->comm, a.study.train.precision, group->engine, &a.stage.precision));
    TRY(comm_agree(group->comm, first ? prepare_arm(group, g, &a, i) : ST_OK));
    st = comm_agree(group->comm, run_stages_of(&a.stage));
    if (!arm_failure_is_own(st)) goto done;
    log_warning(group->log, "arm %s is left out: %s", a.name, status_message());
    st = comm_agree(group->comm, first ? arm_failure_write(&a, g->store, st) : ST_OK);
done:
    return st;
}

/* Runs the arms of a group of arms, in their order. Collective on the ranks of the group. */
static status run_group(const stage_context *group, const sweep_groups *g, int64_t which) {
    status st = ST_OK;
    for (int64_t i = 0; i < g->arms; i++) {
        bool stop = false;
        if (g->group[i] != which) continue;
        TRY(run_arm(group, g, i));
        TRY(stage_should_stop(group, &stop));
        if (stop) TRY(status_fail(ST_STOPPED, "stopped between two arms; run again"));
    }
done:
    return st;
}

/* Runs all groups of arms that this launch handles. Collective. */
static status run_arms(const stage_context *stage, const sweep_groups *g) {
    status st = ST_OK;
    work_queue queue = {0};
    const int64_t first = stage->tasks > 0 ? stage->task : 0,
                  step = stage->tasks > 0 ? stage->tasks : 1;
    const int64_t mine = g->groups > first ? (g->groups - first + step - 1) / step : 0;
    int64_t i = 0;
    if (mine == 0) return ST_OK;
    TRY(work_queue_open(stage, mine, &queue));
    const stage_context group = work_queue_stage(&queue);
    for (;;) {
        TRY(work_queue_next(&queue, &i));
        if (i < 0) break;
        TRY(run_group(&group, g, first + i * step));
    }
done:
    return work_queue_close(&queue, st);
}

status sweep_stage(const stage_context *s) {
    status st = ST_OK;
    sweep_groups groups = {0};
    stage_context chained = *s;
    int64_t points, seeds;
    chained.chained = true;
    TRY(comm_agree(s->comm, sweep_size(s->study, &points, &seeds)));
    log_info(s->log, "sweep: %" PRId64 " points with %" PRId64 " seeds", points, seeds);
    for (int64_t i = 0; i < points * seeds; i++) { /* every arm is checked before any is run */
        sweep_arm a;
        TRY(comm_agree(s->comm, sweep_arm_open(&chained, i, &a)));
    }
    if (s->tasks == 0) TRY(ingest_stage(&chained));
    TRY(comm_agree(s->comm, sweep_groups_make(&chained, &groups)));
    TRY(run_arms(&chained, &groups));
    if (s->tasks == 0)
        TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? outputs_publish(s, &groups) : ST_OK));
    else
        log_info(s->log, "next, when all tasks have ended: ctaug sweep %s/study.yaml",
                 s->study->out);
done:
    sweep_groups_free(&groups);
    return st;
}
