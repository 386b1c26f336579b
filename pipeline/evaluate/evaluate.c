/* The evaluation stage: measures the synthetic store against the real one and writes metrics.json.
 *
 * Dice: segmenters are trained on real slices alone and on real and synthetic slices together, with
 * equally many optimiser steps, and evaluated on held-out real patients. With synthetic slices, a
 * fixed share of each batch is synthetic, and the last steps take real slices alone. FID: Fréchet
 * distance between synthetic and held-out real slices on the encoder features of the first
 * segmenter that is trained on real slices alone. The FID floor is the same distance for equally
 * many real training slices in place of the synthetic ones. All work is distributed over the ranks.
 */
#include "pipeline/evaluate/metrics_json.h"
#include "pipeline/segmenter/segmenter.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/stage.h"

#include "io/manifest.h"
#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct evaluation {
    const stage_context *stage;
    store *real, *synthetic;
    int64_t checkpoint_step; /* of the checkpoint that the synthetic store was sampled with */
    split split;
    split_run *synthetic_runs;
    int64_t synthetic_run_count;
    slices *train, *synthetic_slices, *test;
    int64_t *patient_of; /* by volume of the real store: number of the test patient; -1: none */
    metrics metrics;
    char segmenters[PATH_SIZE]; /* directory of the segmenters' checkpoints */
    char output[PATH_SIZE];
} evaluation;

/* Numbers the test patients in the order of their volumes; several volumes may belong to one
 * patient. Local. */
static status number_patients(evaluation *e) {
    int64_t volumes = store_count(e->real), count = 0;
    status st = array_alloc(&e->patient_of, volumes, sizeof *e->patient_of, "patients");
    if (st != ST_OK) return st;
    for (int64_t i = 0; i < volumes; i++) e->patient_of[i] = -1;
    for (int64_t r = 0; r < e->split.run_count[SPLIT_TEST]; r++) {
        int64_t volume = e->split.runs[SPLIT_TEST][r].volume, same = -1;
        for (int64_t i = 0; i < volumes && same < 0; i++)
            if (e->patient_of[i] >= 0 &&
                split_same_patient(store_at(e->real, i)->id, store_at(e->real, volume)->id))
                same = e->patient_of[i];
        e->patient_of[volume] = same >= 0 ? same : count++;
    }
    e->metrics.patients = count;
    return ST_OK;
}

/* Opens the stores; computes fingerprint and paths. Local. */
static status open_stores(evaluation *e) {
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(stage_path(e->stage, "store", path));
    TRY(store_open(path, &e->real));
    TRY(stage_path(e->stage, "synthetic", path));
    TRY(store_open(path, &e->synthetic));
    TRY(fingerprint_check_synthetic(e->stage->study, e->real, e->synthetic, &e->checkpoint_step));
    TRY(stage_path(e->stage, "metrics", e->output));
    TRY(fingerprint_of_metrics(e->stage->study, store_manifest(e->real)->seal,
                               store_manifest(e->synthetic)->seal, e->metrics.fingerprint));
    snprintf(path, sizeof path, "metrics.parts-%.16s", e->metrics.fingerprint);
    TRY(stage_path(e->stage, path, e->segmenters));
done:
    return st;
}

/* ST_INPUT if a set has fewer than the two slices that a covariance needs: checked here since the
 * FID is computed only after the training of a segmenter. Local. */
static status check_enough(const evaluation *e) {
    const struct {
        const char *what;
        int64_t slices;
    } sets[] = {{"real slices for training", slices_count(e->train)},
                {"real slices for testing", slices_count(e->test)},
                {"synthetic slices", slices_count(e->synthetic_slices)}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (sets[i].slices < 2)
            return status_fail(ST_INPUT,
                               "%s: number of %s is %" PRId64
                               ", and FID needs 2 or more: take more examinations, or change "
                               "data.split",
                               e->stage->study->out, sets[i].what, sets[i].slices);
    return ST_OK;
}

/* The mixture of the arm with synthetic slices. */
static mixture mixture_of_study(const study *s) {
    return mixture_of(s->evaluate.batch, s->evaluate.steps, s->evaluate.share,
                      s->evaluate.real_only_last);
}

/* ST_USAGE if that arm would never see a synthetic slice. Local. */
static status check_mixture(const study *s) {
    const mixture m = mixture_of_study(s);
    if (m.synthetic > 0 && m.real_from > 0) return ST_OK;
    return status_fail(ST_USAGE,
                       "evaluate.share %g and evaluate.real_only_last %g leave no synthetic slice "
                       "in %" PRId64 " steps of %" PRId64 " slices",
                       s->evaluate.share, s->evaluate.real_only_last, s->evaluate.steps,
                       s->evaluate.batch);
}

/* Opens the sets of slices and allocates the results. Local. */
static status open_slices(evaluation *e) {
    status st = ST_OK;
    const study *s = e->stage->study;
    TRY(check_mixture(s));
    TRY(split_create(e->real, s, &e->split));
    TRY(slices_all_runs(e->synthetic, &e->synthetic_runs, &e->synthetic_run_count));
    slice_source sources[] = {
        {e->real, e->split.runs[SPLIT_TRAIN], e->split.run_count[SPLIT_TRAIN]},
        {e->synthetic, e->synthetic_runs, e->synthetic_run_count},
        {e->real, e->split.runs[SPLIT_TEST], e->split.run_count[SPLIT_TEST]}};
    TRY(slices_open(s, sources, 1, &e->train));
    TRY(slices_open(s, sources + 1, 1, &e->synthetic_slices));
    TRY(slices_open(s, sources + 2, 1, &e->test));
    TRY(check_enough(e));
    TRY(number_patients(e));
    TRY(metrics_alloc(&e->metrics, store_labels(e->real), s->evaluate.seeds));
    TRY(file_make_dirs(e->segmenters));
done:
    return st;
}

/* Local. */
static void close_evaluation(evaluation *e) {
    slices_close(e->train);
    slices_close(e->synthetic_slices);
    slices_close(e->test);
    split_free(&e->split);
    store_close(e->real);
    store_close(e->synthetic);
    free(e->synthetic_runs);
    free(e->patient_of);
    metrics_free(&e->metrics);
}

/* Sums of the features of n evenly spaced slices, over all ranks. Collective. */
static status gather_features(const evaluation *e, segmenter *s, slices *from, int64_t n,
                              moments *m) {
    status st = ST_OK;
    const comm *c = e->stage->comm;
    TRY(comm_agree(c, segmenter_features(s, from, n, m)));
    TRY(comm_sum_i64(c, &m->n, 1));
    TRY(comm_sum_f64(c, m->sum, m->dim));
    TRY(comm_sum_f64(c, m->outer, m->dim * m->dim));
done:
    return st;
}

/* Computes FID and its floor, both with the same number n of slices, since the bias of the FID
 * depends on n. Collective. */
static status measure_fid(evaluation *e, segmenter *s) {
    status st = ST_OK;
    enum { HELD_OUT, SYNTHETIC, FLOOR, SETS };
    moments m[SETS] = {{0}};
    metrics *v = &e->metrics;
    int64_t synthetic = slices_count(e->synthetic_slices), train = slices_count(e->train);
    int64_t n = synthetic < train ? synthetic : train, dim = segnet_feature_dim(&s->config);
    for (int i = 0; i < SETS && st == ST_OK; i++) st = moments_create(dim, &m[i]);
    TRY(comm_agree(e->stage->comm, st));
    TRY(gather_features(e, s, e->test, slices_count(e->test), &m[HELD_OUT]));
    TRY(gather_features(e, s, e->synthetic_slices, n, &m[SYNTHETIC]));
    TRY(gather_features(e, s, e->train, n, &m[FLOOR]));
    st = frechet_distance(&m[SYNTHETIC], &m[HELD_OUT], &v->fid);
    if (st == ST_OK) st = frechet_distance(&m[FLOOR], &m[HELD_OUT], &v->fid_floor);
    if (st == ST_OK) st = segmenter_hash(s, v->encoder_hash);
    TRY(comm_agree(e->stage->comm, st));
    v->feature_dim = dim;
    v->n_real = m[HELD_OUT].n;
    v->n_synthetic = m[SYNTHETIC].n;
    v->n_floor = m[FLOOR].n;
done:
    for (int i = 0; i < SETS; i++) moments_free(&m[i]);
    return st;
}

/* Dice of every structure, averaged over the patients who have it. Collective. */
static status measure_dice(evaluation *e, segmenter *s, int arm, int64_t seed) {
    status st = ST_OK;
    const comm *c = e->stage->comm;
    int64_t patients = e->metrics.patients;
    dice_counts *counts = NULL;
    TRY(comm_agree(c, array_alloc(&counts, patients, sizeof *counts, "Dice counts")));
    TRY(comm_agree(c,
                   segmenter_dice(s, e->test, comm_rank(c), comm_size(c), e->patient_of, counts)));
    TRY(comm_sum_i64(c, &counts[0].both[0],
                     patients * (int64_t)(sizeof *counts / sizeof counts[0].both[0])));
    metrics_set_dice(&e->metrics, arm, seed, counts);
done:
    free(counts);
    return st;
}

/* Trains and evaluates the segmenter of an arm and a seed. Collective. */
static status evaluate_arm(evaluation *e, int arm, int64_t seed) {
    status st = ST_OK;
    const study *s = e->stage->study;
    segmenter net = {0};
    char name[64], directory[PATH_SIZE];
    /* Both arms of a seed start from the same parameters. */
    uint64_t key = (uint64_t)s->seed + 1000003u * (uint64_t)(seed + 1);
    training_slices train = {
        .real = e->train, .synthetic = e->synthetic_slices, .mixture = mixture_of_study(s)};
    if (arm == ARM_REAL) train.mixture.synthetic = 0;
    int64_t base = (seed * ARMS + arm) * s->evaluate.steps;
    snprintf(name, sizeof name, "%s-%" PRId64, named_table_name(&evaluation_arms, arm), seed);
    TRY(path_join(directory, e->segmenters, name));
    TRY(segmenter_open(e->stage, store_labels(e->real), key, &net));
    e->metrics.parameters = trainer_params(net.trainer)->total;
    TRY(segmenter_train(&net, &train, key, directory, e->metrics.fingerprint, base));
    TRY(measure_dice(e, &net, arm, seed));
    if (arm == ARM_REAL && seed == 0) TRY(measure_fid(e, &net));
done:
    segmenter_close(&net);
    return st;
}

/* Collective. */
static status evaluate_all_arms(evaluation *e) {
    status st = ST_OK;
    const study *s = e->stage->study;
    log_progress_begin(e->stage->log, "evaluate", ARMS * s->evaluate.seeds * s->evaluate.steps);
    for (int64_t seed = 0; seed < s->evaluate.seeds; seed++)
        for (int arm = 0; arm < ARMS; arm++) TRY(evaluate_arm(e, arm, seed));
done:
    log_progress_end(e->stage->log);
    return st;
}

/* Writes metrics.json and its manifest, then removes the segmenters' checkpoints. Local; called on
 * rank 0. */
static status publish(evaluation *e) {
    status st = ST_OK;
    manifest m = {.kind = "metrics"};
    char path[PATH_SIZE];
    char *text = NULL;
    metrics_context about = {.stage = e->stage,
                             .real = e->real,
                             .synthetic = e->synthetic,
                             .split = &e->split,
                             .checkpoint_step = e->checkpoint_step};
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", e->metrics.fingerprint);
    TRY(metrics_json(&e->metrics, &about, &text));
    TRY(file_make_dirs(e->output));
    TRY(manifest_remove(e->output));
    TRY(path_join(path, e->output, "metrics.json"));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(manifest_add_file(&m, e->output, "metrics.json"));
    TRY(manifest_write(&m, e->output));
    TRY(file_remove_tree(e->segmenters));
done:
    manifest_free(&m);
    free(text);
    return st;
}

/* Logs FID, Dice and an event. Local. */
static void log_summary(const evaluation *e) {
    const metrics *v = &e->metrics;
    journal *log = e->stage->log;
    log_info(log,
             "evaluate: FID %.3f (floor %.3f) of %" PRId64 " synthetic against %" PRId64
             " held-out real slices",
             v->fid, v->fid_floor, v->n_synthetic, v->n_real);
    for (int k = 1; k < v->labels->count; k++) {
        int64_t n = metrics_dice_patients(v, k);
        if (n == 0)
            log_info(log, "evaluate: Dice %-16s not measured: no held-out patient has it",
                     v->labels->name[k]);
        else
            log_info(log,
                     "evaluate: Dice %-16s real %.3f  real + synthetic %.3f  (%" PRId64
                     " patient%s)",
                     v->labels->name[k], metrics_dice(v, ARM_REAL, k),
                     metrics_dice(v, ARM_REAL_PLUS_SYNTHETIC, k), n, n == 1 ? "" : "s");
    }
    log_event(log, "evaluate", json_pack("{s:f, s:f}", "fid", v->fid, "floor", v->fid_floor));
}

status evaluate_stage(const stage_context *stage) {
    status st = ST_OK;
    evaluation e = {.stage = stage};
    bool current = false;
    TRY(comm_agree(stage->comm, open_stores(&e)));
    TRY(stage_is_current(stage, e.output, "metrics", e.metrics.fingerprint, &current));
    if (current) {
        log_info(stage->log, "evaluate: %s is current", e.output);
        stage_log_next(stage, "gate");
        goto done;
    }
    TRY(comm_agree(stage->comm, open_slices(&e)));
    TRY(evaluate_all_arms(&e));
    TRY(comm_agree(stage->comm, comm_rank(stage->comm) == 0 ? publish(&e) : ST_OK));
    log_summary(&e);
    log_info(stage->log, "evaluate: %s/metrics.json", e.output);
    stage_log_next(stage, "gate");
done:
    close_evaluation(&e);
    return st;
}
