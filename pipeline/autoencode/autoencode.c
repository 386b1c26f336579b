/* The stage `autoencode`: trains the autoencoder of a latent model on patches of the training
 * slices, labelled or not, and publishes it in <out>/autoencoder with a manifest of kind
 * "autoencoder" and the detail {"factor", "z", "base", "blocks", "steps"}.
 *
 * parameters.h5 holds f32 arrays (io/checkpoint.h): "parameters/<name>", the EMA of the training;
 * "scale" [z], 1 / standard deviation of each channel of the latents; "residual.*", the noise that
 * the network drops (residual.h). reconstruction.json has what the network makes of the validation
 * slices (reconstruction.h).
 *
 * Checkpoints are in <out>/autoencoder-training/<the first 16 digits of the fingerprint>. The stage
 * runs only if model.space is latent. The training loss of the curve is the sum of all losses, that
 * of the discriminator's score among them; the validation loss is the mean absolute difference in
 * the numbers of model/hu_map.h. No label counts in the training; those of validation slices
 * tell the errors of structures.
 */
#include "pipeline/autoencode/preview.h"
#include "pipeline/autoencode/reconstruction.h"
#include "pipeline/autoencode/residual.h"
#include "pipeline/autoencode/tandem.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/training_run.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECONSTRUCTION "reconstruction.json"

enum { VALIDATION_SLICES = 16 }; /* of a validation loss */

typedef struct autoencoding {
    const stage_context *stage;
    store *store;
    split split;
    split_run *runs; /* of all training slices */
    int64_t run_count, patients;
    slices *train, *validation;
    tandem *pair;
    training_run run; /* its trainer belongs to pair */
    coder *coder;
    char output[PATH_SIZE], discriminator[PATH_SIZE];
    float *scale; /* [z] */
    residual_noise noise;
    reconstruction result;
} autoencoding;

/* Opens the store and its split; computes fingerprint and paths. Local. */
static status open_store(autoencoding *a) {
    status st = ST_OK;
    char path[PATH_SIZE], name[64];
    TRY(stage_path(a->stage, "store", path));
    TRY(store_open(path, &a->store));
    TRY(fingerprint_of_autoencoder(a->stage->study, store_manifest(a->store)->seal,
                                   a->run.fingerprint));
    TRY(stage_path(a->stage, "autoencoder", a->output));
    snprintf(name, sizeof name, "autoencoder-training/%.16s", a->run.fingerprint);
    TRY(stage_path(a->stage, name, path));
    TRY(path_join(a->run.checkpoints, path, "autoencoder"));
    TRY(path_join(a->discriminator, path, "discriminator"));
    TRY(split_create(a->store, a->stage->study, &a->split));
done:
    return st;
}

static int by_volume(const void *a, const void *b) {
    const split_run *one = a, *two = b;
    if (one->volume != two->volume) return one->volume < two->volume ? -1 : 1;
    return (one->first > two->first) - (one->first < two->first);
}

/* Joins labelled and unlabelled runs in the order of the store, which does not depend on which
 * labels are used. Local. */
static status join_runs(autoencoding *a) {
    const split *sp = &a->split;
    const int64_t labelled = sp->run_count[SPLIT_TRAIN], other = sp->run_count[SPLIT_UNLABELLED];
    a->run_count = labelled + other;
    status st = array_alloc(&a->runs, a->run_count, sizeof *a->runs, "training slices");
    if (st != ST_OK) return st;
    memcpy(a->runs, sp->runs[SPLIT_TRAIN], (size_t)labelled * sizeof *a->runs);
    if (other > 0)
        memcpy(a->runs + labelled, sp->runs[SPLIT_UNLABELLED], (size_t)other * sizeof *a->runs);
    qsort(a->runs, (size_t)a->run_count, sizeof *a->runs, by_volume);
    for (int64_t i = 0; i < a->run_count; i++)
        a->patients += i == 0 || !split_same_patient(store_at(a->store, a->runs[i - 1].volume)->id,
                                                     store_at(a->store, a->runs[i].volume)->id);
    return ST_OK;
}

/* Opens the slices and the network for whole ones. Local. */
static status open_slices(autoencoding *a) {
    status st = ST_OK;
    const study *s = a->stage->study;
    TRY(join_runs(a));
    const slice_source train = {.from = a->store, .runs = a->runs, .run_count = a->run_count};
    const slice_source validation = {.from = a->store,
                                     .runs = a->split.runs[SPLIT_VALIDATION],
                                     .run_count = a->split.run_count[SPLIT_VALIDATION]};
    TRY(slices_open_unlabelled(s, &train, NULL, &a->train));
    TRY(slices_open(s, &validation, 1, &a->validation));
    slices_map_hu(a->train);
    slices_map_hu(a->validation);
    TRY(array_alloc(&a->scale, s->autoencode.z, sizeof *a->scale, "a scale"));
    TRY(coder_open(a->stage, &a->coder));
    TRY(file_make_dirs(a->run.checkpoints));
    TRY(file_make_dirs(a->discriminator));
done:
    return st;
}

/* Collective. */
static void close_autoencoding(autoencoding *a) {
    tandem_close(a->pair);
    coder_close(a->coder);
    training_run_free(&a->run);
    slices_close(a->train);
    slices_close(a->validation);
    split_free(&a->split);
    store_close(a->store);
    free(a->runs);
    free(a->scale);
}

/* What the run calls. */
static status before(void *context) { return tandem_before(((autoencoding *)context)->pair); }

static status save(void *context) {
    const autoencoding *a = context;
    return tandem_save(a->pair, a->discriminator, a->run.fingerprint);
}

static status validate(void *context, const float *ema, double *loss) {
    const autoencoding *a = context;
    const int64_t all = slices_count(a->validation);
    coder_set(a->coder, ema);
    return reconstruction_error(a->stage, a->coder, a->validation,
                                all < VALIDATION_SLICES ? all : VALIDATION_SLICES, loss);
}

static status preview(void *context, const float *ema, const history *h) {
    const autoencoding *a = context;
    coder_set(a->coder, ema);
    const comm *c = a->stage->comm;
    const int64_t step = trainer_step_count(a->run.trainer);
    return comm_agree(
        c, comm_rank(c) == 0 ? preview_write(a->stage, a->coder, a->validation, step, h) : ST_OK);
}

/* Local. */
static void log_plan(const autoencoding *a) {
    const study *s = a->stage->study;
    log_info(a->stage->log,
             "autoencode: %.2f M parameters, %.2f GFLOP per patch forward; %" PRId64
             " slices of %" PRId64 " patients, validation %" PRId64 " of %" PRId64
             "; %d ranks, batch %" PRId64 " of %" PRId64 " x %" PRId64 " pixels",
             (double)coder_params(a->coder)->total / 1e6,
             (double)trainer_forward_flops(a->run.trainer) / 1e9, slices_count(a->train),
             a->patients, a->split.slices[SPLIT_VALIDATION], a->split.patients[SPLIT_VALIDATION],
             comm_size(a->stage->comm), s->autoencode.batch, s->autoencode.patch,
             s->autoencode.patch);
    if (trainer_step_count(a->run.trainer) > 0)
        log_info(a->stage->log, "autoencode: resuming from step %" PRId64,
                 trainer_step_count(a->run.trainer));
}

/* Makes the remaining steps. Collective. */
static status train(autoencoding *a) {
    status st = ST_OK;
    checkpoint_choice found;
    TRY(tandem_open(a->stage, a->train, &a->pair));
    a->run.trainer = tandem_trainer(a->pair);
    TRY(tandem_restore(a->pair, a->run.checkpoints, a->discriminator, a->run.fingerprint, &found));
    TRY(training_run_restore(&a->run, &found));
    log_plan(a);
    TRY(training_run_steps(&a->run, tandem_feed(a->pair)));
    coder_set(a->coder, trainer_ema(a->run.trainer));
done:
    return st;
}

/* ST_STOPPED if a rank was asked to stop: the training is saved, what follows it is not.
 * Collective.
 */
static status check_stop(const autoencoding *a) {
    status st = ST_OK;
    bool stop = false;
    TRY(stage_should_stop(a->stage, &stop));
    if (stop)
        st = status_fail(ST_STOPPED, "stopped after the training of the autoencoder; run again to "
                                     "measure and publish it");
done:
    return st;
}

/* Writes parameters, scale and noise. Local. */
static status write_parameters(autoencoding *a) {
    status st = ST_OK;
    char path[PATH_SIZE];
    checkpoint_array *arrays = NULL, *all = NULL;
    const params *p = coder_params(a->coder);
    TRY(path_join(path, a->output, PUBLISHED_PARAMETERS));
    TRY(trainer_arrays(p, "parameters", p->value, &arrays));
    TRY(array_alloc(&all, p->count + CODEC_ARRAYS, sizeof *all, "arrays"));
    memcpy(all, arrays, (size_t)p->count * sizeof *all);
    codec_arrays(a->stage->study->autoencode.z, a->scale, &a->noise, all + p->count);
    TRY(checkpoint_write_arrays(path, all, p->count + CODEC_ARRAYS));
done:
    free(arrays);
    free(all);
    return st;
}

/* Local. */
static status write_reconstruction(const autoencoding *a) {
    status st = ST_OK;
    char path[PATH_SIZE];
    json_t *json = reconstruction_json(&a->result, store_labels(a->store));
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text) TRY(status_memory(RECONSTRUCTION, 0));
    TRY(path_join(path, a->output, RECONSTRUCTION));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
done:
    free(text);
    return st;
}

/* Local; called on rank 0. */
static status publish(autoencoding *a) {
    status st = ST_OK;
    const study *s = a->stage->study;
    manifest m = {.kind = AUTOENCODER_KIND};
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", a->run.fingerprint);
    m.detail =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "factor", (json_int_t)s->autoencode.factor, "z",
                  (json_int_t)s->autoencode.z, "base", (json_int_t)s->autoencode.base, "blocks",
                  (json_int_t)s->autoencode.blocks, "steps", (json_int_t)s->autoencode.steps);
    if (!m.detail) TRY(status_memory("a manifest", 0));
    TRY(file_make_dirs(a->output));
    TRY(manifest_remove(a->output));
    TRY(write_parameters(a));
    TRY(write_reconstruction(a));
    TRY(manifest_add_file(&m, a->output, PUBLISHED_PARAMETERS));
    TRY(manifest_add_file(&m, a->output, RECONSTRUCTION));
    TRY(manifest_write(&m, a->output));
done:
    manifest_free(&m);
    return st;
}

/* Trains, measures and publishes. Collective. */
static status make(autoencoding *a) {
    status st = ST_OK;
    const comm *c = a->stage->comm;
    const label_set *labels = store_labels(a->store);
    TRY(comm_agree(c, open_slices(a)));
    TRY(train(a));
    TRY(check_stop(a));
    TRY(coder_scale(a->coder, a->train, a->scale));
    TRY(check_stop(a));
    TRY(residual_measure(a->stage, a->coder, a->train, &a->noise));
    TRY(check_stop(a));
    TRY(reconstruction_measure(a->stage, a->coder, a->validation, labels,
                               a->split.patients[SPLIT_VALIDATION], &a->result));
    TRY(comm_agree(c, comm_rank(c) == 0 ? publish(a) : ST_OK));
    reconstruction_log(a->stage, &a->result, labels);
    residual_log(a->stage, &a->noise);
    log_event(a->stage->log, "autoencoder", reconstruction_json(&a->result, labels));
    log_info(a->stage->log, "autoencode: %s", a->output);
done:
    return st;
}

status autoencode_stage(const stage_context *stage) {
    status st = ST_OK;
    const study *s = stage->study;
    bool current = false;
    autoencoding a = {.stage = stage,
                      .run = {.stage = stage,
                              .name = "autoencode",
                              .prefix = "autoencode ",
                              .batch = s->autoencode.batch,
                              .steps = s->autoencode.steps,
                              .context = &a,
                              .before = before,
                              .save = save,
                              .validate = validate,
                              .preview = preview}};
    if (s->model.space == SPACE_PIXEL) {
        log_info(stage->log, "autoencode: model.space is pixel: nothing to do");
        return ST_OK;
    }
    TRY(comm_agree(stage->comm, open_store(&a)));
    TRY(stage_is_current(stage, a.output, AUTOENCODER_KIND, a.run.fingerprint, &current));
    if (current) {
        log_info(stage->log, "autoencode: %s is current", a.output);
    } else {
        stage_works(stage);
        TRY(make(&a));
    }
    stage_log_training(stage, true);
done:
    close_autoencoding(&a);
    return st;
}
