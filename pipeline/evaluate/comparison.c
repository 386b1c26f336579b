/* Trains and scores the segmenters of one cell.
 *
 * All segmenters make equally many optimiser steps; those of one seed start from the same
 * parameters. They are scored on held-out real patients.
 */
#include "pipeline/evaluate/comparison.h"

#include "io/alloc.h"
#include "io/part_file.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/evaluate/scoring.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

/* Numbers the test patients in the order of their volumes; several volumes may belong to one
 * patient. Local. */
static status number_patients(comparison *c) {
    int64_t volumes = store_count(c->real), count = 0;
    status st = array_alloc(&c->patient_of, volumes, sizeof *c->patient_of, "patients");
    if (st != ST_OK) return st;
    for (int64_t i = 0; i < volumes; i++) c->patient_of[i] = -1;
    for (int64_t r = 0; r < c->split.run_count[SPLIT_TEST]; r++) {
        int64_t volume = c->split.runs[SPLIT_TEST][r].volume, same = -1;
        for (int64_t i = 0; i < volumes && same < 0; i++)
            if (c->patient_of[i] >= 0 &&
                split_same_patient(store_at(c->real, i)->id, store_at(c->real, volume)->id))
                same = c->patient_of[i];
        c->patient_of[volume] = same >= 0 ? same : count++;
    }
    c->patients = count;
    return ST_OK;
}

/* Opens the synthetic stores of the arms; that of the diffusion model is always needed. Local. */
static status open_stores(comparison *c) {
    status st = ST_OK;
    const study *s = &c->cell.study;
    char path[PATH_SIZE];
    TRY(stage_path(&c->cell.stage, "store", path));
    TRY(store_open(path, &c->real));
    for (int k = 0; k < SOURCES; k++) {
        int64_t step = 0;
        const char *directory = arm_source_directory((arm_source)k);
        if (!directory || !cells_need(s, (arm_source)k)) continue;
        TRY(stage_path(&c->cell.stage, directory, path));
        TRY(store_open(path, &c->stores[k]));
        if (k == SOURCE_INPAINTED)
            TRY(fingerprint_check_inpainted(s, c->real, c->stores[k]));
        else
            TRY(fingerprint_check_synthetic(s, c->real, c->stores[k], &step));
        if (k == SOURCE_SYNTHETIC) c->checkpoint_step = step;
    }
    TRY(fidelity_read(&c->cell.stage, store_manifest(c->stores[SOURCE_SYNTHETIC])->seal,
                      c->fidelity_seal, &c->fidelity));
done:
    return st;
}

status comparison_open(const stage_context *stage, int64_t i, comparison *out) {
    status st = ST_OK;
    *out = (comparison){.patients = 0};
    TRY(cell_open(stage, i, &out->cell));
    TRY(open_stores(out));
    TRY(split_create(out->real, &out->cell.study, &out->split));
    for (int k = 0; k < SOURCES; k++)
        if (out->stores[k]) TRY(split_check_sources(out->real, &out->split, out->stores[k]));
    TRY(number_patients(out));
    TRY(shifted_set_open(&out->cell.study, out->real, &out->split, out->patient_of, &out->shifted));
    TRY(stage_path(&out->cell.stage, "metrics.parts", out->parts));
done:
    return st;
}

void comparison_close(comparison *c) {
    slices_close(c->labelled);
    slices_close(c->validation);
    slices_close(c->test);
    slices_close(c->test_shifted);
    for (int k = 0; k < SOURCES; k++) {
        slices_close(c->source[k]);
        free(c->runs[k]);
        store_close(c->stores[k]);
    }
    shifted_set_close(&c->shifted);
    json_decref(c->fidelity);
    split_free(&c->split);
    store_close(c->real);
    free(c->patient_of);
    *c = (comparison){.patients = 0};
}

/* ST_INPUT if a set has fewer than the two slices that a covariance needs: checked here since the
 * FID is computed only after the trainings (pipeline/evaluate/distances.h). Local. */
static status check_enough(const comparison *c) {
    const struct {
        const char *what;
        int64_t slices;
    } sets[] = {{"real slices for training", slices_count(c->labelled)},
                {"real slices for testing", slices_count(c->test)},
                {"synthetic slices", slices_count(c->source[SOURCE_SYNTHETIC])}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (sets[i].slices < 2)
            return status_fail(ST_INPUT,
                               "%s: number of %s is %" PRId64
                               ", and FID needs 2 or more: take more examinations, or change "
                               "data.split",
                               c->cell.study.out, sets[i].what, sets[i].slices);
    return ST_OK;
}

/* The runs of the hidden patients that the oracle sees: volumes whose labels are hidden and not
 * missing, at most as many as there are synthetic ones. runs: room for all of them; NULL: they are
 * counted alone. */
static int64_t hidden_runs(const comparison *c, split_run *runs) {
    const int64_t most = store_count(c->stores[SOURCE_SYNTHETIC]);
    int64_t n = 0;
    for (int64_t i = 0; i < c->split.run_count[SPLIT_UNLABELLED] && n < most; i++) {
        const split_run *run = &c->split.runs[SPLIT_UNLABELLED][i];
        if (store_at(c->real, run->volume)->unlabelled) continue;
        if (runs) runs[n] = *run;
        n++;
    }
    return n;
}

/* The slices of the oracle. Local. */
static status open_hidden(comparison *c) {
    const int64_t count = hidden_runs(c, NULL);
    if (count == 0)
        return status_fail(ST_INPUT,
                           "the arm oracle needs training patients whose labels are hidden, and "
                           "%" PRId64 " labelled patients are all there are: leave it out of "
                           "evaluate.arms or take fewer in evaluate.labelled",
                           c->split.patients[SPLIT_TRAIN]);
    status st =
        array_alloc(&c->runs[SOURCE_HIDDEN], count, sizeof *c->runs[SOURCE_HIDDEN], "slice runs");
    if (st != ST_OK) return st;
    hidden_runs(c, c->runs[SOURCE_HIDDEN]);
    const slice_source source = {c->real, c->runs[SOURCE_HIDDEN], count};
    return slices_open(&c->cell.study, &source, 1, &c->source[SOURCE_HIDDEN]);
}

/* The slices of one part of the split. Local. */
static status open_part(const comparison *c, split_part part, slices **out) {
    slice_source source = {c->real, c->split.runs[part], c->split.run_count[part]};
    return slices_open(&c->cell.study, &source, 1, out);
}

/* The slices of the sources that the arms need. Local. */
static status open_sources(comparison *c) {
    status st = ST_OK;
    const study *s = &c->cell.study;
    int64_t count = 0;
    for (int k = 0; k < SOURCES; k++) {
        if (!c->stores[k]) continue;
        TRY(fidelity_runs(c->stores[k], k == SOURCE_SYNTHETIC ? c->fidelity : NULL, &c->runs[k],
                          &count));
        slice_source source = {c->stores[k], c->runs[k], count};
        TRY(slices_open(s, &source, 1, &c->source[k]));
    }
    if (study_has_arm(s, ARM_REAL_PLUS_COPIES))
        TRY(open_part(c, SPLIT_TRAIN, &c->source[SOURCE_LABELLED]));
    if (study_has_arm(s, ARM_ORACLE)) TRY(open_hidden(c));
done:
    return st;
}

status comparison_open_slices(comparison *c) {
    status st = ST_OK;
    if (c->labelled) return ST_OK;
    TRY(open_part(c, SPLIT_TRAIN, &c->labelled));
    TRY(open_part(c, SPLIT_VALIDATION, &c->validation));
    TRY(open_part(c, SPLIT_TEST, &c->test));
    if (c->shifted.from) {
        const slice_source source = {c->shifted.from, c->shifted.runs, c->shifted.run_count};
        TRY(slices_open(&c->cell.study, &source, 1, &c->test_shifted));
    }
    TRY(open_sources(c));
    TRY(check_enough(c));
    TRY(file_make_dirs(c->parts));
done:
    return st;
}

status comparison_fingerprint(const comparison *c, evaluation_arm arm, int64_t seed,
                              char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data", "evaluate"};
    char upstream[6 * SHA256_HEX];
    const arm_source source = evaluation_arm_mixture(arm).source;
    study s = c->cell.study, defaults;
    study_defaults(&defaults);
    s.evaluate.arms = defaults.evaluate.arms;
    s.evaluate.seeds = defaults.evaluate.seeds;
    s.evaluate.sets = defaults.evaluate.sets;
    s.evaluate.margin = defaults.evaluate.margin;
    s.evaluate.fidelity = defaults.evaluate.fidelity; /* the record's seal covers it */
    s.evaluate.bound_slices = defaults.evaluate.bound_slices;
    s.evaluate.bound_times = defaults.evaluate.bound_times;
    s.evaluate.obedience = defaults.evaluate.obedience;
    const store *from = c->stores[source];
    snprintf(upstream, sizeof upstream, "%s %s %s %" PRId64 " %s %" PRId64 " loss %s%s%s",
             store_manifest(c->real)->seal, from ? store_manifest(from)->seal : "",
             from && from == c->stores[SOURCE_SYNTHETIC] ? c->fidelity_seal : "",
             source == SOURCE_HIDDEN ? hidden_runs(c, NULL) : 0,
             named_table_name(&evaluation_arms, (int)arm), seed, SEGNET_LOSS,
             c->shifted.from ? " shifted " : "",
             c->shifted.from ? store_manifest(c->shifted.from)->seal : "");
    return study_fingerprint(&s, sections, sizeof sections / sizeof *sections, upstream, hex);
}

/* The path of the result of an arm and a seed. Local. */
static status result_path(const comparison *c, evaluation_arm arm, int64_t seed,
                          char path[PATH_SIZE]) {
    char name[64];
    snprintf(name, sizeof name, "%s-%" PRId64 ".result",
             named_table_name(&evaluation_arms, (int)arm), seed);
    return path_join(path, c->parts, name);
}

status comparison_result_alloc(const comparison *c, result *out) {
    return result_alloc(c->patients, store_labels(c->real)->count + LESION_SIZES, out);
}

mixture comparison_mixture(const study *s, evaluation_arm arm) {
    const arm_mixture how = evaluation_arm_mixture(arm);
    if (how.source == SOURCE_NONE) return mixture_of(s->evaluate.batch, s->evaluate.steps, 0, 0);
    return mixture_of(s->evaluate.batch, s->evaluate.steps, how.alone ? 1 : s->evaluate.share,
                      how.real_last ? s->evaluate.real_only_last : 0);
}

/* The path of the parameters that comparison_run() keeps. Local. */
static status kept_path(const comparison *c, char path[PATH_SIZE]) {
    return path_join(path, c->parts, "domain.parameters");
}

/* Whether the segmenter of an arm and seed is kept: it is the domain network without a referee. */
static bool is_kept(const comparison *c, evaluation_arm arm, int64_t seed) {
    return c->cell.study.evaluate.fidelity <= 0 && arm == ARM_REAL && seed == 0;
}

status comparison_read_kept(const comparison *c, float *values, int64_t count) {
    status st = ST_OK;
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    TRY(kept_path(c, path));
    TRY(comparison_fingerprint(c, ARM_REAL, 0, fingerprint));
    TRY(part_read(path, fingerprint, values, count * (int64_t)sizeof *values));
done:
    return st;
}

status comparison_result_read(const comparison *c, evaluation_arm arm, int64_t seed, result *r) {
    status st = ST_OK;
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    float *values = NULL;
    TRY(comparison_fingerprint(c, arm, seed, fingerprint));
    TRY(result_path(c, arm, seed, path));
    TRY(result_read(r, path, fingerprint));
    if (!is_kept(c, arm, seed)) goto done;
    TRY(array_alloc(&values, r->parameters, sizeof *values, "parameters of a segmenter"));
    TRY(comparison_read_kept(c, values, r->parameters));
done:
    free(values);
    return st;
}

/* Trains in parts and measures the validation Dice after each. The curve is kept beside the
 * checkpoints, so that a resumed training has its beginning, too. Collective. */
static status train_with_curve(comparison *c, segmenter *net, const training_slices *train,
                               uint64_t key, const char *directory, const char *fingerprint,
                               int64_t base, double curve[CURVE_POINTS]) {
    status st = ST_OK;
    const comm *ranks = c->cell.stage.comm;
    const int64_t steps = c->cell.study.evaluate.steps;
    char path[PATH_SIZE + 8];
    snprintf(path, sizeof path, "%s.curve", directory);
    if (comm_rank(ranks) == 0)
        (void)part_read(path, fingerprint, curve, CURVE_POINTS * sizeof *curve);
    TRY(comm_broadcast(ranks, curve, CURVE_POINTS * sizeof *curve, 0));
    for (int i = 0; i < CURVE_POINTS; i++) {
        const int64_t until = steps * (i + 1) / CURVE_POINTS;
        TRY(segmenter_train(net, train, key, directory, fingerprint, base, until));
        if (trainer_step_count(net->trainer) != until) continue; /* resumed behind this point */
        TRY(score_quickly(net, c->validation, &curve[i]));
        if (comm_rank(ranks) == 0)
            st = part_write(path, fingerprint, curve, CURVE_POINTS * sizeof *curve);
        TRY(comm_agree(ranks, st));
    }
done:
    return st;
}

/* Writes the result, and the parameters if they are kept, and removes the checkpoints. Local;
 * called on rank 0. */
static status keep_result(const comparison *c, evaluation_arm arm, int64_t seed, const result *r,
                          const params *p, const char *directory, const char *fingerprint) {
    status st = ST_OK;
    char path[PATH_SIZE], curve[PATH_SIZE + 8];
    TRY(kept_path(c, path));
    if (is_kept(c, arm, seed))
        TRY(part_write(path, fingerprint, p->value, p->total * (int64_t)sizeof *p->value));
    TRY(result_path(c, arm, seed, path));
    TRY(result_write(r, path, fingerprint));
    TRY(file_remove_tree(directory));
    snprintf(curve, sizeof curve, "%s.curve", directory);
    TRY(file_remove_tree(curve));
done:
    return st;
}

status comparison_run(comparison *c, evaluation_arm arm, int64_t seed, int64_t base) {
    status st = ST_OK;
    const study *s = &c->cell.study;
    const comm *ranks = c->cell.stage.comm;
    const double start = log_seconds();
    segmenter net = {0};
    result r = {0};
    char name[64], directory[PATH_SIZE], fingerprint[SHA256_HEX];
    /* All arms of a seed start from the same parameters. */
    const uint64_t key = (uint64_t)s->seed + 1000003u * (uint64_t)(seed + 1);
    training_slices train = {.real = c->labelled,
                             .synthetic = c->source[evaluation_arm_mixture(arm).source],
                             .mixture = comparison_mixture(s, arm)};
    const test_slices plain = {.from = c->real,
                               .runs = c->split.runs[SPLIT_TEST],
                               .run_count = c->split.run_count[SPLIT_TEST],
                               .slices = c->test,
                               .patient_of = c->patient_of};
    test_slices test[TESTS] = {[TEST_PLAIN] = plain, [TEST_SHIFTED] = plain};
    if (c->shifted.from)
        test[TEST_SHIFTED] = (test_slices){.from = c->shifted.from,
                                           .runs = c->shifted.runs,
                                           .run_count = c->shifted.run_count,
                                           .slices = c->test_shifted,
                                           .patient_of = c->shifted.patient_of};
    else
        test[TEST_SHIFTED].simulated = true;
    snprintf(name, sizeof name, "%s-%" PRId64, named_table_name(&evaluation_arms, (int)arm), seed);
    st = path_join(directory, c->parts, name);
    if (st == ST_OK) st = comparison_fingerprint(c, arm, seed, fingerprint);
    if (st == ST_OK) st = comparison_result_alloc(c, &r);
    if (st == ST_OK && comm_rank(ranks) == 0) st = file_make_dirs(directory);
    TRY(comm_agree(ranks, st));
    TRY(segmenter_open(&c->cell.stage, store_labels(c->real), key, &net));
    r.parameters = trainer_params(net.trainer)->total;
    TRY(train_with_curve(c, &net, &train, key, directory, fingerprint, base, r.curve));
    TRY(score_segmenter(&net, test, (uint64_t)s->seed, &r));
    r.seconds = (log_seconds() - start) * comm_size(ranks) * omp_get_max_threads();
    if (comm_rank(ranks) == 0)
        st = keep_result(c, arm, seed, &r, net.params, directory, fingerprint);
    TRY(comm_agree(ranks, st));
done:
    segmenter_close(&net);
    result_free(&r);
    return st;
}
