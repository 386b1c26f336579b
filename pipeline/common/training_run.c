/* The loop of a training. Decisions are made from the step and from what the ranks have
 * agreed on (trainer_report), so that all of them make the same Collective calls. */
#include "pipeline/common/training_run.h"

#include "io/activity.h"
#include "pipeline/common/precision.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LOG_EVERY = 10, CHECK_EVERY = 50, EVENT = 64 }; /* optimiser steps; bytes of a name */
#define HISTORY "history.json"

static void event_name(const training_run *r, const char *what, char name[EVENT]) {
    snprintf(name, EVENT, "%s%s", r->prefix, what);
}

static sharding sharding_of(const study *s) {
    static const sharding of[] = {[SHARDING_AUTO] = SHARDED_IN_NODE,
                                  [SHARDING_ON] = SHARDED_YES,
                                  [SHARDING_OFF] = SHARDED_NO};
    return of[s->train.optimizer_sharding];
}

trainer_settings training_run_settings(const stage_context *stage) {
    const study *s = stage->study;
    return (trainer_settings){.batch = s->train.batch,
                              .micro_batch = s->train.micro_batch,
                              .clip = s->train.clip,
                              .keep_ema = true,
                              .seed = (uint64_t)s->seed,
                              .precision = stage->precision,
                              .recompute = s->train.recompute == RECOMPUTE_BLOCKS,
                              .sharded = sharding_of(s),
                              .bf16_wire = s->train.gradient_wire == WIRE_BF16,
                              .reproducible = s->train.reproducible == SWITCH_ON};
}

/* The loss curve up to the restored step. A damaged one is set aside: it is a picture of the
 * training, not a part of it. Local; called on rank 0. */
static status read_history(training_run *r) {
    status st = ST_OK;
    char path[PATH_SIZE], aside[PATH_SIZE + 32];
    const double step = (double)trainer_step_count(r->trainer);
    TRY(path_join(path, r->checkpoints, HISTORY));
    st = history_read(path, step, &r->history);
    history_open_at(&r->history, step, &r->loss_sum, &r->loss_count);
    if (st != ST_INTEGRITY) goto done;
    snprintf(aside, sizeof aside, "%s.damaged", path);
    log_warning(r->stage->log, "%s: the curve begins again, the old one is kept as %s",
                status_message(), aside);
    TRY(file_publish(path, aside));
done:
    return st;
}

/* Says that the training goes on in another precision than the study asks for. Local. */
static void warn_precision(const training_run *r) {
    log_warning(r->stage->log,
                "the checkpoint was not trained in %s, which train.precision: %s "
                "selects on these processors: the training continues in %s",
                named_table_name(&compute_types, r->stage->precision),
                named_table_name(&precision_kinds, r->stage->study->train.precision),
                named_table_name(&compute_types, r->stage->precision));
}

status training_run_restore(training_run *r, const checkpoint_choice *found) {
    const comm *c = r->stage->comm;
    status st = ST_OK;
    if (found->step >= 0) TRY(trainer_restore(r->trainer, r->checkpoints, found->step));
    if (trainer_changed_precision(r->trainer)) warn_precision(r);
    TRY(comm_agree(c, comm_rank(c) == 0 ? read_history(r) : ST_OK));
done:
    return st;
}

void training_run_free(training_run *r) { history_free(&r->history); }

/* Writes the curve, with the losses since its last point: a resumed run makes the next one of all.
 * Local; called on rank 0. */
static status write_history(training_run *r) {
    status st = ST_OK;
    char path[PATH_SIZE];
    const double step = (double)trainer_step_count(r->trainer);
    TRY(path_join(path, r->checkpoints, HISTORY));
    if (r->loss_count > 0) {
        TRY(history_add(&r->history.open_sum, step, r->loss_sum));
        TRY(history_add(&r->history.open_count, step, (double)r->loss_count));
    }
    TRY(history_write(&r->history, path));
done:
    return st;
}

/* Writes a checkpoint. Collective. */
static status save(training_run *r) {
    status st = ST_OK;
    char name[EVENT];
    TRY(trainer_check_equal(r->trainer));
    /* The curve is written first: if the checkpoint then fails, a resumed run drops the points
     * behind the checkpoint it resumes from. */
    if (comm_rank(r->stage->comm) == 0) st = write_history(r);
    TRY(comm_agree(r->stage->comm, st));
    if (r->save) TRY(r->save(r->context));
    TRY(trainer_save(r->trainer, r->checkpoints, r->fingerprint, (int)r->stage->study->train.keep));
    event_name(r, "checkpoint", name);
    log_event(r->stage->log, name,
              json_pack("{s:I}", "step", (json_int_t)trainer_step_count(r->trainer)));
done:
    return st;
}

/* Adds the validation loss of the EMA parameters to the curve and the event log. Collective. */
static status validate(training_run *r) {
    status st = ST_OK;
    char name[EVENT];
    double loss = 0;
    const float *ema = trainer_ema(r->trainer);
    TRY(r->validate(r->context, ema, &loss));
    event_name(r, "validate", name);
    log_event(r->stage->log, name,
              json_pack("{s:I, s:o}", "step", (json_int_t)trainer_step_count(r->trainer), "loss",
                        log_number(loss)));
    TRY(comm_agree(r->stage->comm, history_add(&r->history.validation,
                                               (double)trainer_step_count(r->trainer), loss)));
done:
    return st;
}

/* Adds a step to the running sums. Every LOG_EVERY steps their means go to the curve, the event log
 * and the progress line. Collective. */
static status log_step(training_run *r, const trainer_report *report) {
    int64_t step = trainer_step_count(r->trainer);
    r->seconds.data += report->data;
    r->seconds.exposed += report->exposed;
    r->seconds.update += report->update;
    r->seconds.total += report->total;
    r->step_count++;
    if (!report->skipped) {
        r->loss_sum += report->loss;
        r->loss_count++;
    } else if (comm_rank(r->stage->comm) == 0)
        log_warning(r->stage->log,
                    "step %" PRId64 " skipped: loss %g, gradient norm %g, loss scale %g", step,
                    report->loss, report->gradient_norm, report->scale);
    if (step % LOG_EVERY != 0 && step != r->steps) return ST_OK;
    double loss = r->loss_count > 0 ? r->loss_sum / (double)r->loss_count : (double)NAN;
    double rate = (double)((step - r->start_step) * r->batch) / (log_seconds() - r->start_seconds);
    char note[96];
    snprintf(note, sizeof note, "loss %.4f  %.1f slices/s", loss, rate);
    log_progress_set(r->stage->log, step, note);
    log_event(r->stage->log, r->name,
              json_pack("{s:I, s:o, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "step",
                        (json_int_t)step, "loss", log_number(loss), "gradient_norm",
                        log_number(report->gradient_norm), "lr", report->lr, "slices_per_s", rate,
                        "loss_scale", report->scale, "data_s",
                        r->seconds.data / (double)r->step_count, "exposed_s",
                        r->seconds.exposed / (double)r->step_count, "update_s",
                        r->seconds.update / (double)r->step_count, "step_s",
                        r->seconds.total / (double)r->step_count));
    r->loss_sum = 0;
    r->loss_count = 0;
    r->seconds = (trainer_report){0};
    r->step_count = 0;
    return comm_agree(r->stage->comm, history_add(&r->history.train, (double)step, loss));
}

/* Whether the current step is the last one or a multiple of `every`. Local. */
static bool due(const training_run *r, int64_t every) {
    int64_t step = trainer_step_count(r->trainer);
    return step % every == 0 || step == r->steps;
}

/* Makes the remaining steps. Collective. */
static status make_steps(training_run *r, const trainer_feed *feed) {
    status st = ST_OK;
    const study *s = r->stage->study;
    while (trainer_step_count(r->trainer) < r->steps) {
        trainer_report report;
        if (r->begin) r->begin(r->context, trainer_ema(r->trainer));
        if (r->before) TRY(r->before(r->context));
        TRY(trainer_step(r->trainer, feed, *r->stage->stop_requested != 0, &report));
        if (!report.skipped && r->learn) r->learn(r->context);
        const int64_t step = trainer_step_count(r->trainer);
        activity_step(step);
        TRY(log_step(r, &report));
        if (step % CHECK_EVERY == 0) TRY(trainer_check_equal(r->trainer));
        if (due(r, s->train.validate_every)) TRY(validate(r));
        if (due(r, s->train.checkpoint_every) || report.stop) TRY(save(r));
        if (r->preview && due(r, s->train.preview_every))
            TRY(r->preview(r->context, trainer_ema(r->trainer), &r->history));
        if (report.stop && step < r->steps)
            TRY(status_fail(ST_STOPPED,
                            "stopped after the checkpoint of step %" PRId64 "; run again to resume",
                            step));
    }
done:
    return st;
}

status training_run_steps(training_run *r, const trainer_feed *feed) {
    r->start_seconds = log_seconds();
    r->start_step = trainer_step_count(r->trainer);
    log_progress_begin(r->stage->log, r->name, r->steps);
    log_progress_set(r->stage->log, r->start_step, "");
    status st = make_steps(r, feed);
    log_progress_end(r->stage->log);
    return st;
}
