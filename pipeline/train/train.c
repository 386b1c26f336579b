/* The training stage: reads the store and writes checkpoints.
 *
 * The state after a step depends on the state before it, the study and the step's number alone, so
 * that a training resumes from its newest checkpoint. During training the stage also computes the
 * validation loss of the EMA parameters on held-out slices, writes preview images and the loss
 * curve, and checks that all ranks hold bitwise equal parameters (pipeline/common/training_run.h).
 */
#include "pipeline/common/denoiser_preview.h"
#include "pipeline/common/weights_file.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/latents.h"
#include "pipeline/common/text_model.h"
#include "pipeline/common/precision.h"
#include "pipeline/common/training_data.h"
#include "pipeline/common/training_run.h"
#include "pipeline/train/noising.h"
#include "pipeline/train/sigma_data.h"

#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

typedef struct training {
    const stage_context *stage;
    training_data data;
    latents *latents; /* that take the place of slices; NULL: pixels */
    slices *shown;    /* of the validation patients, for pictures; NULL: those of data */
    noising noising;
    double sigma_data; /* of process edm; 0: another process */
    training_run run;  /* owns the trainer */
    validator *validator;
    checkpoint_array extra[NOISING_ARRAYS];
} training;

/* Opens the data and the samples; computes fingerprint and paths. Local. */
static status open_data(training *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    training_data *d = &t->data;
    TRY(training_data_open(t->stage, d));
    if (s->model.space == SPACE_LATENT) {
        const slice_source shown = {d->store, d->split.runs[SPLIT_VALIDATION],
                                    d->split.run_count[SPLIT_VALIDATION]};
        TRY(latents_open(t->stage, d, &t->latents));
        TRY(slices_open(s, &shown, 1, &t->shown));
    }
    TRY(fingerprint_of_training(s, store_manifest(d->store)->seal, t->run.fingerprint));
    TRY(stage_path(t->stage, "checkpoints", t->run.checkpoints));
    TRY(noising_open(s, store_labels(d->store), d->train, d->validation, &t->noising));
    TRY(noising_add_words(&t->noising, t->stage, d->store));
    TRY(noising_add_teacher(&t->noising, t->stage, store_labels(d->store)));
    if (d->unlabelled) TRY(noising_add_unlabelled(&t->noising, d->unlabelled, d->pseudo != NULL));
done:
    return st;
}

/* Makes the latents, if the model is one of them, and measures what process edm needs of the data.
 * Collective. */
static status prepare_data(training *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    if (t->latents) {
        TRY(latents_make(t->latents));
        latents_use(t->latents);
    }
    TRY(noising_weigh_labels(&t->noising, t->stage->comm, store_labels(t->data.store)->count));
    if (s->diffusion.process != PROCESS_EDM) goto done;
    TRY(sigma_data_measure(t->stage->comm, t->data.train, s->data.size, t->noising.values,
                           &t->sigma_data));
    TRY(comm_agree(t->stage->comm, noising_set_sigma_data(&t->noising, t->sigma_data)));
done:
    return st;
}

/* Opens the trainer and the validator, and logs what the user should know of them. Collective. */
static status open_trainer(training *t) {
    status st = ST_OK;
    const comm *c = t->stage->comm;
    const study *s = t->stage->study;
    tensor_type precision = t->stage->precision;
    trainer_settings set = training_run_settings(t->stage);
    set.steps = s->train.steps;
    set.lr = s->train.lr;
    set.warmup = s->train.warmup;
    set.weight_decay = s->train.weight_decay;
    set.ema = s->train.ema;
    set.sigma_data = t->sigma_data;
    set.extra = t->extra;
    set.extra_count = noising_state(&t->noising, t->extra);
    set.sample_losses = set.extra_count > 0;
    TRY(trainer_create(c, &set, t->noising.graph, t->noising.loss, t->stage->engine,
                       &t->run.trainer));
    TRY(comm_agree(c, validator_open(&t->noising, t->stage, &t->validator)));
    if (trainer_lacks_shared_memory(t->run.trainer))
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
    trainer_destroy(t->run.trainer);
    noising_close(&t->noising);
    latents_close(t->latents);
    slices_close(t->shown);
    training_run_free(&t->run);
    training_data_close(&t->data);
}

/* "<out>/checkpoints.earlier-<n>". Local. */
static void earlier_path(const training *t, int n, char path[PATH_SIZE + 32]) {
    snprintf(path, PATH_SIZE + 32, "%s.earlier-%d", t->run.checkpoints, n);
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
        TRY(move_directory(t->run.checkpoints, path));
        log_warning(t->stage->log,
                    "the study or the store has changed since %s was written: moved to %s",
                    t->run.checkpoints, path);
    }
    n = 1;
    for (earlier_path(t, n, path); file_exists(path); earlier_path(t, ++n, path)) {
        checkpoint_choice earlier;
        if (checkpoint_find(path, t->run.fingerprint, NULL, NULL, &earlier) != ST_OK ||
            earlier.step < 0)
            continue;
        TRY(move_directory(path, t->run.checkpoints));
        log_info(t->stage->log, "train: %s belongs to this study: moved back", path);
        break;
    }
    TRY(file_make_dirs(t->run.checkpoints));
done:
    return st;
}

/* Reads the parameters of train.start, for trainer_begin(). Local. */
static status read_start(void *context, params *p) {
    const training *t = context;
    const char *path = t->stage->study->train.start;
    log_info(t->stage->log, "train: begins with the parameters in %s", path);
    return weights_read(path, p);
}

/* Restores the newest checkpoint of this training and its loss curve, if there is one. Collective.
 */
static status restore(training *t) {
    const comm *c = t->stage->comm;
    status st = ST_OK;
    training_run *r = &t->run;
    checkpoint_choice found;
    TRY(trainer_find(c, r->checkpoints, r->fingerprint, t->stage->log, &found));
    if (found.step < 0) {
        TRY(comm_agree(c, comm_rank(c) == 0 ? choose_checkpoints(t, &found) : ST_OK));
        TRY(trainer_find(c, r->checkpoints, r->fingerprint, t->stage->log, &found));
    }
    if (found.step < 0 && t->stage->study->train.start[0])
        TRY(trainer_begin(r->trainer, read_start, t));
    TRY(training_run_restore(r, &found));
    if (found.step >= 0) TRY(comm_agree(c, noising_restored(&t->noising)));
done:
    return st;
}

/* Says that the training is finished, and what comes next. Local. */
static void log_finished(const training *t) {
    const study *s = t->stage->study;
    log_info(t->stage->log, "train: %s is current (step %" PRId64 ")", t->run.checkpoints,
             s->train.steps);
    stage_log_next(t->stage, s->distil.kind == DISTIL_OFF ? "generate" : "distil");
}

/* Agrees that the checkpoints there were trained with the present autoencoder and text encoder, as
 * far as the study has them, or notes these before the first one. Collective. */
static status check_upstream(const training *t, bool first) {
    const stage_context *stage = t->stage;
    const study *s = stage->study;
    const published_network *const networks[] = {
        s->model.space == SPACE_LATENT ? &codec_published : NULL,
        s->model.text == SWITCH_ON ? &text_published : NULL};
    status st = ST_OK;
    for (int i = 0; i < 2 && st == ST_OK && comm_rank(stage->comm) == 0; i++)
        if (networks[i])
            st = first ? published_mark(stage, networks[i], t->run.checkpoints)
                       : published_check(stage, networks[i], t->run.checkpoints);
    return comm_agree(stage->comm, st);
}

/* Whether the last checkpoint of this training is in its place, so that no data are needed.
 * Collective. */
static status is_finished(const training *t, bool *finished) {
    checkpoint_choice found;
    const training_run *r = &t->run;
    status st = trainer_find(t->stage->comm, r->checkpoints, r->fingerprint, t->stage->log, &found);
    *finished = st == ST_OK && found.step >= r->steps;
    return st;
}

/* What the run calls. */
static void begin(void *context, const float *ema) {
    noising_set_teacher(&((training *)context)->noising, ema);
}

static void learn(void *context) {
    training *t = context;
    const int64_t batch = t->stage->study->train.batch;
    noising_learn(&t->noising, (trainer_step_count(t->run.trainer) - 1) * batch,
                  trainer_sample_losses(t->run.trainer), batch);
}

static status validate(void *context, const float *ema, double *loss) {
    return validator_run(((training *)context)->validator, ema, loss);
}

static status preview(void *context, const float *ema, const history *h) {
    const training *t = context;
    const denoiser_preview shown = {.prefix = "",
                                    .labels = store_labels(t->data.store),
                                    .held = t->shown ? t->shown : t->data.validation,
                                    .sigma_data = t->sigma_data};
    return denoiser_preview_write(t->stage, &shown, ema, trainer_step_count(t->run.trainer), h);
}

/* Logs network, data and ranks. Local. */
static void log_plan(training *t) {
    const stage_context *stage = t->stage;
    const study *s = stage->study;
    const int64_t *slices = t->data.split.slices, *patients = t->data.split.patients;
    log_info(stage->log,
             "train: %s, %.2f M parameters, %.2f GFLOP per slice forward; %" PRId64
             " slices of %" PRId64 " patients, validation %" PRId64 " of %" PRId64
             "; %d ranks, batch %" PRId64,
             named_table_name(&unet_kinds, s->model.net),
             (double)trainer_params(t->run.trainer)->total / 1e6,
             (double)trainer_forward_flops(t->run.trainer) / 1e9, slices[SPLIT_TRAIN],
             patients[SPLIT_TRAIN], slices[SPLIT_VALIDATION], patients[SPLIT_VALIDATION],
             comm_size(stage->comm), s->train.batch);
    if (t->data.unlabelled)
        log_info(stage->log,
                 "train: %" PRId64 " of %" PRId64 " slices of a batch are of %" PRId64
                 " unlabelled patients (%" PRId64 " slices), %s",
                 t->noising.mixture.synthetic, s->train.batch, patients[SPLIT_UNLABELLED],
                 slices[SPLIT_UNLABELLED],
                 t->data.pseudo ? "with pseudo-labels" : "without conditions");
    if (t->sigma_data > 0)
        log_info(stage->log, "train: standard deviation of the training data %.4f", t->sigma_data);
    if (trainer_step_count(t->run.trainer) > 0)
        log_info(stage->log, "train: resuming from step %" PRId64,
                 trainer_step_count(t->run.trainer));
}

status train_stage(const stage_context *stage) {
    status st = ST_OK;
    const study *s = stage->study;
    bool finished = false;
    training t = {.stage = stage,
                  .run = {.stage = stage,
                          .name = "train",
                          .prefix = "",
                          .batch = s->train.batch,
                          .steps = s->train.steps,
                          .context = &t,
                          .learn = learn,
                          .validate = validate,
                          .preview = preview}};
    const trainer_feed feed = {
        .fill = noising_fill, .ahead = noising_announce, .context = &t.noising};
    TRY(comm_agree(stage->comm, open_data(&t)));
    if (t.noising.teacher) t.run.begin = begin;
    TRY(is_finished(&t, &finished));
    if (finished) {
        TRY(check_upstream(&t, false));
        if (t.latents) TRY(latents_mend(t.latents));
        log_finished(&t);
        goto done;
    }
    TRY(prepare_data(&t));
    TRY(open_trainer(&t));
    TRY(restore(&t));
    TRY(check_upstream(&t, trainer_step_count(t.run.trainer) == 0));
    if (trainer_step_count(t.run.trainer) >= s->train.steps) { /* moved back to its place */
        log_finished(&t);
        goto done;
    }
    stage_works(stage);
    log_plan(&t);
    TRY(training_run_steps(&t.run, &feed));
    log_info(stage->log, "train: checkpoints in %s, previews in %s/previews", t.run.checkpoints,
             s->out);
    stage_log_next(stage, s->distil.kind == DISTIL_OFF ? "generate" : "distil");
done:
    close_training(&t);
    return st;
}
