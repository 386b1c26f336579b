/* The referee stage: trains one segmenter on the labelled real training slices, measures its Dice
 * on the validation patients and publishes it, and lets it label the unlabelled patients.
 *
 * It is trained like the segmenters of the evaluation (evaluate.steps, batch and lr), but is never
 * judged: its seed is its own, and it sees neither test patients nor synthetic slices. It runs only
 * if the study needs it (study_needs_referee()).
 */
#include "pipeline/segmenter/referee.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/referee/pseudo.h"
#include "pipeline/referee/reconstructed.h"
#include "pipeline/referee/validation_dice.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct refereeing {
    const stage_context *stage;
    store *store;
    split split;
    slices *train;
    validation_set validation;
    segmenter net;
    double dice[LABELS_MAX]; /* mean over the patients who have the structure; NAN: none has */
    char fingerprint[SHA256_HEX], output[PATH_SIZE];
    char parts[PATH_SIZE]; /* directory of the training's checkpoints */
} refereeing;

/* Opens the store and its split; computes fingerprint and paths. Local. */
static status open_store(refereeing *r) {
    status st = ST_OK;
    char path[PATH_SIZE], name[64];
    TRY(stage_path(r->stage, "store", path));
    TRY(store_open(path, &r->store));
    TRY(split_create(r->store, r->stage->study, &r->split));
    TRY(fingerprint_of_referee(r->stage->study, store_manifest(r->store)->seal, r->fingerprint));
    TRY(stage_path(r->stage, "referee", r->output));
    snprintf(name, sizeof name, "referee.parts-%.16s", r->fingerprint);
    TRY(stage_path(r->stage, name, r->parts));
done:
    return st;
}

/* Opens the slices. Local. */
static status open_slices(refereeing *r) {
    status st = ST_OK;
    const split *sp = &r->split;
    slice_source train = {
        .from = r->store, .runs = sp->runs[SPLIT_TRAIN], .run_count = sp->run_count[SPLIT_TRAIN]};
    TRY(slices_open(r->stage->study, &train, 1, &r->train));
    TRY(validation_open(r->stage->study, r->store, sp, &r->validation));
    TRY(file_make_dirs(r->parts));
done:
    return st;
}

/* Local resources; the segmenter is closed by train_referee(). */
static void close_refereeing(refereeing *r) {
    slices_close(r->train);
    validation_close(&r->validation);
    split_free(&r->split);
    store_close(r->store);
}

/* The detail of the manifest. New reference; NULL: out of memory. Local. */
static json_t *detail(const refereeing *r) {
    const label_set *labels = store_labels(r->store);
    json_t *dice = json_object();
    for (int k = 1; k < labels->count; k++)
        json_object_set_new(dice, labels->name[k], log_number(r->dice[k]));
    return json_pack("{s:I, s:I, s:I, s:o}", "steps", (json_int_t)r->stage->study->evaluate.steps,
                     "training_patients", (json_int_t)r->split.patients[SPLIT_TRAIN], "patients",
                     (json_int_t)r->validation.patients, "dice", dice);
}

/* Publishes the referee, then removes the checkpoints of its training. Local; called on rank 0. */
static status publish(const refereeing *r) {
    status st = ST_OK;
    TRY(referee_publish(&r->net, r->output, r->fingerprint, detail(r)));
    TRY(file_remove_tree(r->parts));
done:
    return st;
}

static void log_summary(const refereeing *r) {
    const label_set *labels = store_labels(r->store);
    for (int k = 1; k < labels->count; k++)
        if (isfinite(r->dice[k]))
            log_info(r->stage->log, "referee: Dice %-16s %.3f  (validation, %" PRId64 " patient%s)",
                     labels->name[k], r->dice[k], r->validation.patients,
                     r->validation.patients == 1 ? "" : "s");
    log_event(r->stage->log, "referee", detail(r));
    log_info(r->stage->log, "referee: %s", r->output);
}

/* Trains, measures and publishes. Collective. */
static status train_referee(refereeing *r) {
    status st = ST_OK;
    const study *s = r->stage->study;
    const comm *c = r->stage->comm;
    const uint64_t seed = referee_seed(s);
    TRY(comm_agree(c, open_slices(r)));
    const training_slices train = {
        .real = r->train, .mixture = mixture_of(s->evaluate.batch, s->evaluate.steps, 0, 0)};
    log_info(r->stage->log,
             "referee: a segmenter of %" PRId64 " labelled slices of %" PRId64 " patients",
             r->split.slices[SPLIT_TRAIN], r->split.patients[SPLIT_TRAIN]);
    log_progress_begin(r->stage->log, "referee", s->evaluate.steps);
    TRY(segmenter_open(r->stage, store_labels(r->store), seed, &r->net));
    TRY(segmenter_train(&r->net, &train, seed, r->parts, r->fingerprint, 0,
                        r->stage->study->evaluate.steps));
    log_progress_end(r->stage->log);
    TRY(validation_dice(r->stage, &r->net, &r->validation, store_labels(r->store)->count, r->dice));
    TRY(comm_agree(c, comm_rank(c) == 0 ? publish(r) : ST_OK));
    log_summary(r);
done:
    log_progress_end(r->stage->log);
    segmenter_close(&r->net);
    return st;
}

status referee_stage(const stage_context *stage) {
    status st = ST_OK;
    refereeing r = {.stage = stage};
    bool current = false;
    if (!study_needs_referee(stage->study)) {
        log_info(stage->log, "referee: nothing in the study needs it");
        stage_log_training(stage, false);
        return ST_OK;
    }
    TRY(comm_agree(stage->comm, open_store(&r)));
    TRY(stage_is_current(stage, r.output, REFEREE_KIND, r.fingerprint, &current));
    if (current) {
        log_info(stage->log, "referee: %s is current", r.output);
    } else {
        stage_works(stage);
        TRY(train_referee(&r));
    }
    TRY(reconstructed_dice(stage, r.store, &r.split));
    if (stage->study->train.pseudo_labels == SWITCH_ON)
        TRY(pseudo_labels(stage, r.store, &r.split));
    stage_log_training(stage, false);
done:
    close_refereeing(&r);
    return st;
}
