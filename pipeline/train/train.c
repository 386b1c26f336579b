/* The training stage: reads the store and writes checkpoints.
 *
 * The state after a step depends on the state before it, the study and the step's number alone, so
 * that a training resumes from its newest checkpoint. During training the stage also computes the
 * validation loss of the EMA parameters on held-out slices, writes preview images and the loss
 * curve, and checks that all ranks hold bitwise equal parameters.
 */
#include "pipeline/train/preview.h"
#include "pipeline/common/history.h"
#include "pipeline/train/noising.h"
#include "pipeline/train/sigma_data.h"
#include "pipeline/common/precision.h"
#include "pipeline/common/pseudo_store.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/stage.h"
#include "pipeline/trainer/trainer.h"

#include "io/activity.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOG_EVERY = 10, CHECK_EVERY = 50 }; /* optimiser steps */

typedef struct training {
    const stage_context *stage;
    store *store;
    store *pseudo; /* labels of the unlabelled volumes; NULL: none */
    split split;
    slices *train, *validation;
    slices *unlabelled; /* NULL: there are none */
    noising noising;
    double sigma_data; /* of process edm; 0: another process */
    trainer *trainer;
    validator *validator;
    checkpoint_array extra[NOISING_ARRAYS];
    history history;
    char checkpoints[PATH_SIZE], history_path[PATH_SIZE];
    char fingerprint[SHA256_HEX];
    /* Sums over the steps since the last "train" event. */
    double loss_sum;
    int64_t loss_count;     /* steps in loss_sum: those that were not skipped */
    trainer_report seconds; /* only its times are used */
    int64_t step_count;
    /* Where this process began. */
    double start_seconds;
    int64_t start_step;
} training;

/* Adds the slices of unlabelled patients, if there are any; their true labels are never read.
 * Local.
 */
static status open_unlabelled(training *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    const bool pseudo = s->train.pseudo_labels == SWITCH_ON;
    slice_source source = {.from = t->store,
                           .runs = t->split.runs[SPLIT_UNLABELLED],
                           .run_count = t->split.run_count[SPLIT_UNLABELLED]};
    if (source.run_count == 0 || s->train.unlabelled == 0) goto done;
    if (pseudo) TRY(pseudo_store_open(t->stage, t->store, &t->pseudo));
    TRY(slices_open_unlabelled(s, &source, t->pseudo, &t->unlabelled));
    TRY(noising_add_unlabelled(&t->noising, t->unlabelled, pseudo));
done:
    return st;
}

/* Opens the store, the split and the samples; computes fingerprint and paths. Local. */
static status open_data(training *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    char path[PATH_SIZE];
    TRY(stage_path(t->stage, "store", path));
    TRY(store_open(path, &t->store));
    TRY(fingerprint_of_training(s, store_manifest(t->store)->seal, t->fingerprint));
    TRY(stage_path(t->stage, "checkpoints", t->checkpoints));
    TRY(path_join(t->history_path, t->checkpoints, "history.json"));
    TRY(split_create(t->store, s, &t->split));
    slice_source train = {t->store, t->split.runs[SPLIT_TRAIN], t->split.run_count[SPLIT_TRAIN]};
    slice_source validation = {t->store, t->split.runs[SPLIT_VALIDATION],
                               t->split.run_count[SPLIT_VALIDATION]};
    TRY(slices_open(s, &train, 1, &t->train));
    TRY(slices_open(s, &validation, 1, &t->validation));
    TRY(noising_open(s, store_labels(t->store), t->train, t->validation, &t->noising));
    TRY(noising_add_teacher(&t->noising, t->stage, store_labels(t->store)));
    TRY(open_unlabelled(t));
done:
    return st;
}

/* Measures what process edm needs of the data. Collective. */
static status measure_data(training *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    if (s->diffusion.process != PROCESS_EDM) goto done;
    TRY(sigma_data_measure(t->stage->comm, t->train, s->data.size, &t->sigma_data));
    TRY(comm_agree(t->stage->comm, noising_set_sigma_data(&t->noising, t->sigma_data)));
done:
    return st;
}

static sharding sharding_of(const study *s) {
    static const sharding of[] = {[SHARDING_AUTO] = SHARDED_IN_NODE,
                                  [SHARDING_ON] = SHARDED_YES,
                                  [SHARDING_OFF] = SHARDED_NO};
    return of[s->train.optimizer_sharding];
}

/* Opens the trainer and the validator, and logs what the user should know of them. Collective. */
static status open_trainer(training *t) {
    status st = ST_OK;
    const comm *c = t->stage->comm;
    const study *s = t->stage->study;
    tensor_type precision = t->stage->precision;
    trainer_settings set = {.steps = s->train.steps,
                            .batch = s->train.batch,
                            .micro_batch = s->train.micro_batch,
                            .lr = s->train.lr,
                            .warmup = s->train.warmup,
                            .weight_decay = s->train.weight_decay,
                            .clip = s->train.clip,
                            .keep_ema = true,
                            .ema = s->train.ema,
                            .sigma_data = t->sigma_data,
                            .seed = (uint64_t)s->seed,
                            .precision = precision,
                            .recompute = s->train.recompute == RECOMPUTE_BLOCKS,
                            .sharded = sharding_of(s),
                            .bf16_wire = s->train.gradient_wire == WIRE_BF16,
                            .reproducible = s->train.reproducible == SWITCH_ON,
                            .extra = t->extra,
                            .extra_count = noising_state(&t->noising, t->extra)};
    set.sample_losses = set.extra_count > 0;
    TRY(trainer_create(c, &set, t->noising.graph, t->noising.loss, t->stage->engine, &t->trainer));
    TRY(comm_agree(c, validator_open(&t->noising, t->stage, &t->validator)));
    if (trainer_lacks_shared_memory(t->trainer))
        log_warning(t->stage->log,
                    "the ranks of a node cannot share memory (is each in a container of its own?): "
                    "gradients are sent as messages, which is slower");
    if (s->train.reproducible == SWITCH_ON)
        log_info(
            t->stage->log,
            "train: reproducible with %d threads per rank: the same bits on 1, 2, 4, 8, ... ranks "
            "of %d threads each",
            omp_get_max_threads(), omp_get_max_threads());
    if (s->train.precision == PRECISION_AUTO)
        log_info(t->stage->log, "train: precision %s%s",
                 named_table_name(&compute_types, precision),
                 precision == TYPE_F32 ? ": a processor or the engine has no bf16 arithmetic" : "");
done:
    return st;
}

/* Collective, since trainer_destroy() is. */
static void close_training(training *t) {
    validator_close(t->validator);
    trainer_destroy(t->trainer);
    noising_close(&t->noising);
    slices_close(t->train);
    slices_close(t->validation);
    slices_close(t->unlabelled);
    store_close(t->pseudo);
    split_free(&t->split);
    store_close(t->store);
    history_free(&t->history);
}

/* "<out>/checkpoints.earlier-<n>". Local. */
static void earlier_path(const training *t, int n, char path[PATH_SIZE + 32]) {
    snprintf(path, PATH_SIZE + 32, "%s.earlier-%d", t->checkpoints, n);
}

static status move_directory(const char *from, const char *to) {
    if (rename(from, to) == 0) return ST_OK;
    return status_fail(ST_STORAGE, "%s: cannot be moved to %s: %s", from, to, strerror(errno));
}

/* Makes <out>/checkpoints the directory of this training's checkpoints. Checkpoints of another
 * study or store are moved to <out>/checkpoints.earlier-<n>, and moved back when that study is run
 * again. Local; called on rank 0. */
static status choose_checkpoints(const training *t, const checkpoint_choice *found) {
    status st = ST_OK;
    char path[PATH_SIZE + 32];
    int n = 1;
    if (found->step >= 0) goto done;
    if (found->others) {
        for (earlier_path(t, n, path); file_exists(path);) earlier_path(t, ++n, path);
        TRY(move_directory(t->checkpoints, path));
        log_warning(t->stage->log,
                    "the study or the store has changed since %s was written: moved to %s",
                    t->checkpoints, path);
    }
    n = 1;
    for (earlier_path(t, n, path); file_exists(path); earlier_path(t, ++n, path)) {
        checkpoint_choice earlier;
        if (checkpoint_find(path, t->fingerprint, NULL, NULL, &earlier) != ST_OK ||
            earlier.step < 0)
            continue;
        TRY(move_directory(path, t->checkpoints));
        log_info(t->stage->log, "train: %s belongs to this study: moved back", path);
        break;
    }
    TRY(file_make_dirs(t->checkpoints));
done:
    return st;
}

/* The loss curve up to the restored step. A damaged one is set aside: it is a picture of the
 * training, not a part of it. Local; called on rank 0. */
static status read_history(training *t) {
    char aside[PATH_SIZE + 32];
    const double step = (double)trainer_step_count(t->trainer);
    status st = history_read(t->history_path, step, &t->history);
    history_open_at(&t->history, step, &t->loss_sum, &t->loss_count);
    if (st != ST_INTEGRITY) return st;
    snprintf(aside, sizeof aside, "%s.damaged", t->history_path);
    log_warning(t->stage->log, "%s: the curve begins again, the old one is kept as %s",
                status_message(), aside);
    return move_directory(t->history_path, aside);
}

/* Restores the newest checkpoint of this training and its loss curve, if there is one. Collective.
 */
static status restore(training *t) {
    const comm *c = t->stage->comm;
    status st = ST_OK;
    checkpoint_choice found;
    TRY(trainer_find(c, t->checkpoints, t->fingerprint, t->stage->log, &found));
    if (found.step < 0) {
        TRY(comm_agree(c, comm_rank(c) == 0 ? choose_checkpoints(t, &found) : ST_OK));
        TRY(trainer_find(c, t->checkpoints, t->fingerprint, t->stage->log, &found));
    }
    if (found.step >= 0) {
        TRY(trainer_restore(t->trainer, t->checkpoints, found.step));
        TRY(comm_agree(c, noising_restored(&t->noising)));
    }
    if (trainer_changed_precision(t->trainer))
        log_warning(t->stage->log,
                    "the checkpoint was not trained in %s, which train.precision: %s "
                    "selects on these processors: the training continues in %s",
                    named_table_name(&compute_types, t->stage->precision),
                    named_table_name(&precision_kinds, t->stage->study->train.precision),
                    named_table_name(&compute_types, t->stage->precision));
    if (comm_rank(c) == 0) st = read_history(t);
    TRY(comm_agree(c, st));
done:
    return st;
}

/* Writes the curve, with the losses since its last point: a resumed run makes the next one of all.
 * Local; called on rank 0. */
static status write_history(training *t) {
    status st = ST_OK;
    const double step = (double)trainer_step_count(t->trainer);
    if (t->loss_count > 0) {
        TRY(history_add(&t->history.open_sum, step, t->loss_sum));
        TRY(history_add(&t->history.open_count, step, (double)t->loss_count));
    }
    TRY(history_write(&t->history, t->history_path));
done:
    return st;
}

/* Writes a checkpoint. Collective. */
static status save(training *t) {
    status st = ST_OK;
    TRY(trainer_check_equal(t->trainer));
    /* The curve is written first: if the checkpoint then fails, a resumed run drops the points
     * behind the checkpoint it resumes from. */
    if (comm_rank(t->stage->comm) == 0) st = write_history(t);
    TRY(comm_agree(t->stage->comm, st));
    TRY(trainer_save(t->trainer, t->checkpoints, t->fingerprint, (int)t->stage->study->train.keep));
    log_event(t->stage->log, "checkpoint",
              json_pack("{s:I}", "step", (json_int_t)trainer_step_count(t->trainer)));
done:
    return st;
}

/* Adds the validation loss of the EMA parameters to the curve and the event log. Collective. */
static status validate(training *t) {
    status st = ST_OK;
    double loss = 0;
    const float *ema = trainer_ema(t->trainer);
    TRY(validator_run(t->validator, ema, &loss));
    log_event(t->stage->log, "validate",
              json_pack("{s:I, s:o}", "step", (json_int_t)trainer_step_count(t->trainer), "loss",
                        log_number(loss)));
    TRY(comm_agree(t->stage->comm, history_add(&t->history.validation,
                                               (double)trainer_step_count(t->trainer), loss)));
done:
    return st;
}

/* Adds a step to the running sums. Every LOG_EVERY steps their means go to the curve, the event log
 * and the progress line. Collective. */
static status log_step(training *t, const trainer_report *r) {
    int64_t step = trainer_step_count(t->trainer);
    t->seconds.data += r->data;
    t->seconds.exposed += r->exposed;
    t->seconds.update += r->update;
    t->seconds.total += r->total;
    t->step_count++;
    if (!r->skipped) {
        t->loss_sum += r->loss;
        t->loss_count++;
    } else if (comm_rank(t->stage->comm) == 0)
        log_warning(t->stage->log,
                    "step %" PRId64 " skipped: loss %g, gradient norm %g, loss scale %g", step,
                    r->loss, r->gradient_norm, r->scale);
    if (step % LOG_EVERY != 0 && step != t->stage->study->train.steps) return ST_OK;
    double loss = t->loss_count > 0 ? t->loss_sum / (double)t->loss_count : (double)NAN;
    double rate = (double)((step - t->start_step) * t->stage->study->train.batch) /
                  (log_seconds() - t->start_seconds);
    char note[96];
    snprintf(note, sizeof note, "loss %.4f  %.1f slices/s", loss, rate);
    log_progress_set(t->stage->log, step, note);
    log_event(t->stage->log, "train",
              json_pack("{s:I, s:o, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "step",
                        (json_int_t)step, "loss", log_number(loss), "gradient_norm",
                        log_number(r->gradient_norm), "lr", r->lr, "slices_per_s", rate,
                        "loss_scale", r->scale, "data_s", t->seconds.data / (double)t->step_count,
                        "exposed_s", t->seconds.exposed / (double)t->step_count, "update_s",
                        t->seconds.update / (double)t->step_count, "step_s",
                        t->seconds.total / (double)t->step_count));
    t->loss_sum = 0;
    t->loss_count = 0;
    t->seconds = (trainer_report){0};
    t->step_count = 0;
    return comm_agree(t->stage->comm, history_add(&t->history.train, (double)step, loss));
}

/* Writes the preview images. Collective; rank 0 works. */
static status preview(training *t) {
    status st = ST_OK;
    const float *ema = trainer_ema(t->trainer);
    if (comm_rank(t->stage->comm) == 0)
        st = preview_write(t->stage, store_labels(t->store), t->validation, ema, t->sigma_data,
                           trainer_step_count(t->trainer), &t->history);
    return comm_agree(t->stage->comm, st);
}

/* Whether the current step is the last one or a multiple of `every`. Local. */
static bool due(const training *t, int64_t every) {
    int64_t step = trainer_step_count(t->trainer);
    return step % every == 0 || step == t->stage->study->train.steps;
}

/* Makes the remaining steps. ST_STOPPED after a checkpoint if a rank was asked to stop. Collective.
 */
static status run_steps(training *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    const trainer_feed feed = {
        .fill = noising_fill, .ahead = noising_announce, .context = &t->noising};
    t->start_seconds = log_seconds();
    t->start_step = trainer_step_count(t->trainer);
    while (trainer_step_count(t->trainer) < s->train.steps) {
        trainer_report report;
        if (t->noising.teacher) noising_set_teacher(&t->noising, trainer_ema(t->trainer));
        TRY(trainer_step(t->trainer, &feed, *t->stage->stop_requested != 0, &report));
        if (!report.skipped)
            noising_learn(&t->noising, (trainer_step_count(t->trainer) - 1) * s->train.batch,
                          trainer_sample_losses(t->trainer), s->train.batch);
        activity_step(trainer_step_count(t->trainer));
        TRY(log_step(t, &report));
        if (trainer_step_count(t->trainer) % CHECK_EVERY == 0) TRY(trainer_check_equal(t->trainer));
        if (due(t, s->train.validate_every)) TRY(validate(t));
        if (due(t, s->train.checkpoint_every) || report.stop) TRY(save(t));
        if (due(t, s->train.preview_every)) TRY(preview(t));
        if (report.stop && trainer_step_count(t->trainer) < s->train.steps) {
            st = status_fail(
                ST_STOPPED, "stopped after the checkpoint of step %" PRId64 "; run again to resume",
                trainer_step_count(t->trainer));
            goto done;
        }
    }
done:
    return st;
}

/* Logs network, data and ranks. Local. */
static void log_plan(training *t) {
    const stage_context *stage = t->stage;
    const study *s = stage->study;
    const int64_t *slices = t->split.slices, *patients = t->split.patients;
    log_info(stage->log,
             "train: %s, %.2f M parameters, %.2f GFLOP per slice forward; %" PRId64
             " slices of %" PRId64 " patients, validation %" PRId64 " of %" PRId64
             "; %d ranks, batch %" PRId64,
             named_table_name(&unet_kinds, s->model.net),
             (double)trainer_params(t->trainer)->total / 1e6,
             (double)trainer_forward_flops(t->trainer) / 1e9, slices[SPLIT_TRAIN],
             patients[SPLIT_TRAIN], slices[SPLIT_VALIDATION], patients[SPLIT_VALIDATION],
             comm_size(stage->comm), s->train.batch);
    if (t->unlabelled)
        log_info(stage->log,
                 "train: %" PRId64 " of %" PRId64 " slices of a batch are of %" PRId64
                 " unlabelled patients (%" PRId64 " slices), %s",
                 t->noising.mixture.synthetic, s->train.batch, patients[SPLIT_UNLABELLED],
                 slices[SPLIT_UNLABELLED], t->pseudo ? "with pseudo-labels" : "without conditions");
    if (t->sigma_data > 0)
        log_info(stage->log, "train: standard deviation of the training data %.4f", t->sigma_data);
    if (trainer_step_count(t->trainer) > 0)
        log_info(stage->log, "train: resuming from step %" PRId64, trainer_step_count(t->trainer));
}

status train_stage(const stage_context *stage) {
    status st = ST_OK;
    training t = {.stage = stage};
    const study *s = stage->study;
    TRY(comm_agree(stage->comm, open_data(&t)));
    TRY(measure_data(&t));
    TRY(open_trainer(&t));
    TRY(restore(&t));
    if (trainer_step_count(t.trainer) >= s->train.steps) {
        log_info(stage->log, "train: %s is current (step %" PRId64 ")", t.checkpoints,
                 s->train.steps);
        stage_log_next(stage, "generate");
        goto done;
    }
    stage_works(stage);
    log_plan(&t);
    log_progress_begin(stage->log, "train", s->train.steps);
    log_progress_set(stage->log, trainer_step_count(t.trainer), "");
    st = run_steps(&t);
    log_progress_end(stage->log);
    if (st == ST_OK) {
        log_info(stage->log, "train: checkpoints in %s, previews in %s/previews", t.checkpoints,
                 s->out);
        stage_log_next(stage, "generate");
    }
done:
    close_training(&t);
    return st;
}
