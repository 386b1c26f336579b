/* The stage `text`: trains the text encoder on pairs of a slice and its caption, together with an
 * image encoder (Radford et al. 2021), and publishes both in <out>/text with a manifest of kind
 * "text" and the detail {"tokens", "steps"}.
 *
 * parameters.h5 holds f32 arrays "parameters/<name>", the EMA of the training (model/net/
 * image_text.h), tokens.bpe the tokens (model/text/bpe.h), and pairs.json how well texts and slices
 * of validation patients find each other: {"pairs", "loss", "images", "texts", "chance", "scale"}.
 *
 * Checkpoints are in <out>/text-training/<the first 16 digits of the fingerprint>. The stage runs
 * only if model.text is on. Its slices are those of the training of the denoiser, and so are their
 * labels: true ones of labelled patients, and pseudo-labels if the study has them.
 */
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/text_model.h"
#include "pipeline/common/training_run.h"
#include "pipeline/text/pairing.h"

#include "io/alloc.h"
#include "io/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESULT "pairs.json"

typedef struct text_training {
    const stage_context *stage;
    training_data data;
    pairing *pairs;
    training_run run; /* its trainer belongs to pairs */
    char output[PATH_SIZE];
    pairing_result result;
} text_training;

/* Opens the data; computes fingerprint and paths. Local. */
static status open_data(text_training *t) {
    status st = ST_OK;
    char name[64];
    TRY(training_data_open(t->stage, &t->data));
    TRY(fingerprint_of_text(t->stage->study, store_manifest(t->data.store)->seal,
                            t->run.fingerprint));
    TRY(stage_path(t->stage, "text", t->output));
    snprintf(name, sizeof name, "text-training/%.16s", t->run.fingerprint);
    TRY(stage_path(t->stage, name, t->run.checkpoints));
done:
    return st;
}

/* Collective. */
static void close_training(text_training *t) {
    pairing_close(t->pairs);
    training_run_free(&t->run);
    training_data_close(&t->data);
}

/* training_run.validate */
static status validate(void *context, const float *ema, double *loss) {
    text_training *t = context;
    const status st = pairing_measure(t->pairs, ema, &t->result);
    *loss = t->result.loss;
    return st;
}

/* Makes the remaining steps. Collective. */
static status train(text_training *t) {
    status st = ST_OK;
    const stage_context *stage = t->stage;
    const study *s = stage->study;
    checkpoint_choice found;
    TRY(pairing_open(stage, &t->data, &t->pairs));
    t->run.trainer = pairing_trainer(t->pairs);
    TRY(trainer_find(stage->comm, t->run.checkpoints, t->run.fingerprint, stage->log, &found));
    TRY(training_run_restore(&t->run, &found));
    log_info(stage->log,
             "text: %.2f M parameters, %d tokens; %" PRId64 " slices of %" PRId64
             " patients, validation %" PRId64 " of %" PRId64 "; %d ranks, batch %" PRId64,
             (double)trainer_params(t->run.trainer)->total / 1e6,
             bpe_vocabulary(pairing_tokens(t->pairs)), t->data.split.slices[SPLIT_TRAIN],
             t->data.split.patients[SPLIT_TRAIN], t->data.split.slices[SPLIT_VALIDATION],
             t->data.split.patients[SPLIT_VALIDATION], comm_size(stage->comm), s->text.batch);
    if (trainer_step_count(t->run.trainer) > 0)
        log_info(stage->log, "text: resuming from step %" PRId64,
                 trainer_step_count(t->run.trainer));
    TRY(training_run_steps(&t->run, pairing_feed(t->pairs)));
done:
    return st;
}

/* New reference; NULL: out of memory. */
static json_t *result_json(const pairing_result *r) {
    return json_pack("{s:I, s:o, s:f, s:f, s:f, s:f}", "pairs", (json_int_t)r->pairs, "loss",
                     log_number(r->loss), "images", r->images, "texts", r->texts, "chance",
                     1 / (double)r->pairs, "scale", r->scale);
}

/* Local. */
static status write_files(const text_training *t, const params *p, float *values) {
    status st = ST_OK;
    char path[PATH_SIZE];
    checkpoint_array *arrays = NULL;
    char *tokens = NULL, *text = NULL;
    int64_t bytes = 0;
    json_t *json = result_json(&t->result);
    TRY(path_join(path, t->output, PUBLISHED_PARAMETERS));
    TRY(trainer_arrays(p, "parameters", values, &arrays));
    TRY(checkpoint_write_arrays(path, arrays, p->count));
    TRY(path_join(path, t->output, TEXT_TOKENS));
    TRY(bpe_write(pairing_tokens(t->pairs), &tokens, &bytes));
    TRY(file_write_atomic(path, tokens, bytes));
    TRY(path_join(path, t->output, RESULT));
    text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    if (!text) TRY(status_memory(RESULT, 0));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
done:
    json_decref(json);
    free(arrays);
    free(tokens);
    free(text);
    return st;
}

/* Local; called on rank 0. */
static status publish(const text_training *t, const params *p, const float *ema) {
    status st = ST_OK;
    manifest m = {.kind = TEXT_KIND};
    float *values = NULL;
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", t->run.fingerprint);
    m.detail =
        json_pack("{s:I, s:I}", "tokens", (json_int_t)bpe_vocabulary(pairing_tokens(t->pairs)),
                  "steps", (json_int_t)t->stage->study->text.steps);
    if (!m.detail) TRY(status_memory("a manifest", 0));
    TRY(array_alloc(&values, p->total, sizeof *values, "parameters"));
    memcpy(values, ema, (size_t)p->total * sizeof *values);
    TRY(file_make_dirs(t->output));
    TRY(manifest_remove(t->output));
    TRY(write_files(t, p, values));
    TRY(manifest_add_file(&m, t->output, PUBLISHED_PARAMETERS));
    TRY(manifest_add_file(&m, t->output, TEXT_TOKENS));
    TRY(manifest_add_file(&m, t->output, RESULT));
    TRY(manifest_write(&m, t->output));
done:
    free(values);
    manifest_free(&m);
    return st;
}

/* Trains, measures and publishes. Collective. */
static status make(text_training *t) {
    status st = ST_OK;
    const comm *c = t->stage->comm;
    TRY(comm_agree(c, comm_rank(c) == 0 ? file_make_dirs(t->run.checkpoints) : ST_OK));
    TRY(train(t));
    const float *ema = trainer_ema(t->run.trainer);
    TRY(pairing_measure(t->pairs, ema, &t->result));
    const params *p = trainer_params(t->run.trainer);
    TRY(comm_agree(c, comm_rank(c) == 0 ? publish(t, p, ema) : ST_OK));
    const pairing_result *r = &t->result;
    log_event(t->stage->log, "text encoder", result_json(r));
    log_info(t->stage->log,
             "text: of %" PRId64 " validation slices %.0f %% find their text, %.0f %% of the texts "
             "their slice (chance %.0f %%)",
             r->pairs, 100 * r->images, 100 * r->texts, 100 / (double)r->pairs);
    log_info(t->stage->log, "text: %s", t->output);
done:
    return st;
}

status text_stage(const stage_context *stage) {
    status st = ST_OK;
    const study *s = stage->study;
    bool current = false;
    text_training t = {.stage = stage,
                       .run = {.stage = stage,
                               .name = "text",
                               .prefix = "text ",
                               .batch = s->text.batch,
                               .steps = s->text.steps,
                               .context = &t,
                               .validate = validate}};
    if (s->model.text == SWITCH_OFF) {
        log_info(stage->log, "text: model.text is off: nothing to do");
        return ST_OK;
    }
    TRY(comm_agree(stage->comm, open_data(&t)));
    TRY(stage_is_current(stage, t.output, TEXT_KIND, t.run.fingerprint, &current));
    if (current) {
        log_info(stage->log, "text: %s is current", t.output);
    } else {
        stage_works(stage);
        TRY(make(&t));
    }
    stage_log_next(stage, "train");
done:
    close_training(&t);
    return st;
}
