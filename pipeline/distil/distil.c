/* The stage `distil`: trains the denoiser on, so that it samples in few steps. It begins with the
 * EMA of the last checkpoint of the training and writes checkpoints of its own; `generate` and what
 * follows then use these.
 *
 * What is trained says a kind of distillation (pipeline/distil/task.h). The state after a step
 * depends on the state before it, the study and the step's number alone, so that the stage resumes
 * from its newest checkpoint. */
#include "pipeline/distil/task.h"

#include "pipeline/common/denoiser_preview.h"
#include "pipeline/common/denoiser_source.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/training_run.h"

#include <inttypes.h>
#include <string.h>

typedef struct distillation {
    const stage_context *stage;
    training_data data;
    distil_inputs in;
    distil_task task;
    training_run run; /* owns the trainer */
} distillation;

/* Opens the data; computes fingerprint and paths. Local. */
static status open_data(distillation *d) {
    status st = ST_OK;
    denoiser_source source;
    TRY(training_data_open(d->stage, &d->data));
    TRY(denoiser_source_of(d->stage, store_manifest(d->data.store)->seal, &source));
    memcpy(d->run.checkpoints, source.folder, sizeof source.folder);
    memcpy(d->run.fingerprint, source.fingerprint, sizeof source.fingerprint);
done:
    return st;
}

/* Finds the last checkpoint of the finished training. Collective. */
static status find_teacher(distillation *d) {
    status st = ST_OK;
    const stage_context *s = d->stage;
    char training[SHA256_HEX];
    checkpoint_choice found;
    st = fingerprint_of_training(s->study, store_manifest(d->data.store)->seal, training);
    if (st == ST_OK) st = stage_path(s, "checkpoints", d->in.teacher);
    TRY(comm_agree(s->comm, st));
    TRY(trainer_find(s->comm, d->in.teacher, training, s->log, &found));
    if (found.step < s->study->train.steps)
        TRY(status_fail(ST_INPUT,
                        "%s holds no finished training of this study: run ctaug train first",
                        d->in.teacher));
    d->in.teacher_step = found.step;
    memcpy(d->in.teacher_seal, found.seal, sizeof found.seal);
    if (s->study->diffusion.process == PROCESS_EDM)
        TRY(comm_agree(s->comm,
                       trainer_load_sigma_data(d->in.teacher, found.step, &d->in.sigma_data)));
done:
    return st;
}

/* Collective. */
static status open_trainer(distillation *d) {
    const stage_context *stage = d->stage;
    const study *s = stage->study;
    trainer_settings set = training_run_settings(stage);
    set.steps = s->distil.steps;
    set.lr = s->distil.lr;
    set.rectified = true;
    set.ema = s->distil.ema;
    set.sigma_data = d->in.sigma_data;
    set.read = d->task.read == NODE_NONE ? NULL : &d->task.read;
    return trainer_create(stage->comm, &set, d->task.graph, d->task.loss, stage->engine,
                          &d->run.trainer);
}

/* Reads the EMA of the teacher, for trainer_begin(). Local. */
static status read_teacher(void *context, params *p) {
    const distil_inputs *in = context;
    return trainer_load_ema(in->teacher, in->teacher_step, p);
}

/* Restores the newest checkpoint of this distillation, or takes the teacher's. Collective. */
static status restore(distillation *d) {
    status st = ST_OK;
    const comm *c = d->stage->comm;
    checkpoint_choice found;
    TRY(comm_agree(c, comm_rank(c) == 0 ? file_make_dirs(d->run.checkpoints) : ST_OK));
    TRY(trainer_find(c, d->run.checkpoints, d->run.fingerprint, d->stage->log, &found));
    if (found.step < 0) TRY(trainer_begin(d->run.trainer, read_teacher, &d->in));
    TRY(training_run_restore(&d->run, &found));
done:
    return st;
}

/* What the run calls. */
static status validate(void *context, const float *ema, double *loss) {
    const distillation *d = context;
    return d->task.validate(d->task.self, ema, loss);
}

static status preview(void *context, const float *ema, const history *h) {
    const distillation *d = context;
    const denoiser_preview shown = {.prefix = "distil-",
                                    .labels = store_labels(d->data.store),
                                    .held = d->data.validation,
                                    .sigma_data = d->in.sigma_data};
    return denoiser_preview_write(d->stage, &shown, ema, trainer_step_count(d->run.trainer), h);
}

/* Collective, since trainer_destroy() is. */
static void close_distillation(distillation *d) {
    trainer_destroy(d->run.trainer);
    distil_task_close(&d->task);
    training_run_free(&d->run);
    training_data_close(&d->data);
}

/* Makes what is left of the steps. Collective. */
static status distil(distillation *d) {
    status st = ST_OK;
    const stage_context *stage = d->stage;
    const study *s = stage->study;
    const int64_t step = trainer_step_count(d->run.trainer);
    stage_works(stage);
    log_info(stage->log,
             "distil: %s from the checkpoint of step %" PRId64 " in %s; %d ranks, batch %" PRId64,
             named_table_name(&distil_kinds, (int)s->distil.kind), d->in.teacher_step,
             d->in.teacher, comm_size(stage->comm), s->train.batch);
    if (step > 0) log_info(stage->log, "distil: resuming from step %" PRId64, step);
    if (d->task.prepare) TRY(d->task.prepare(d->task.self));
    TRY(training_run_steps(&d->run, &d->task.feed));
    log_info(stage->log, "distil: checkpoints in %s, previews in %s/previews", d->run.checkpoints,
             s->out);
done:
    return st;
}

status distil_stage(const stage_context *stage) {
    status st = ST_OK;
    const study *s = stage->study;
    distillation d = {.stage = stage,
                      .task = {.loss = NODE_NONE, .read = NODE_NONE},
                      .run = {.stage = stage,
                              .name = "distil",
                              .prefix = "distil ",
                              .batch = s->train.batch,
                              .steps = s->distil.steps,
                              .context = &d,
                              .validate = validate,
                              .preview = preview}};
    if (s->distil.kind == DISTIL_OFF) {
        log_info(stage->log, "distil: distil.kind is off: nothing to do");
        return ST_OK;
    }
    d.in = (distil_inputs){.stage = stage, .data = &d.data};
    TRY(comm_agree(stage->comm, open_data(&d)));
    TRY(find_teacher(&d));
    TRY(comm_agree(stage->comm, distil_task_open(&d.in, &d.task)));
    TRY(open_trainer(&d));
    TRY(restore(&d));
    if (trainer_step_count(d.run.trainer) >= s->distil.steps)
        log_info(stage->log, "distil: %s is current (step %" PRId64 ")", d.run.checkpoints,
                 s->distil.steps);
    else
        TRY(distil(&d));
    if (d.task.finish)
        TRY(d.task.finish(d.task.self, d.run.checkpoints, d.run.fingerprint,
                          trainer_ema(d.run.trainer)));
    stage_log_next(stage, "generate");
done:
    close_distillation(&d);
    return st;
}
