/* The evaluation stage: measures what synthetic slices are worth and writes metrics.json and
 * metrics.csv.
 *
 * Segmenters are trained for every labelled set, arm and seed (pipeline/evaluate/comparison.h).
 * These trainings are independent: groups of ranks take them from one queue, and each leaves a
 * result. When all are there, their statistics are published.
 */
#include "pipeline/common/work_queue.h"
#include "pipeline/evaluate/comparison.h"
#include "pipeline/evaluate/metrics_json.h"
#include "pipeline/evaluate/protocol_json.h"

#include "io/alloc.h"
#include "io/manifest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct evaluation {
    const stage_context *stage;
    comparison first; /* the cell whose data, split and FID metrics.json describes */
    all_results all;
    int64_t trainings; /* of all cells, arms and seeds */
    int64_t *missing;  /* those without a result */
    int64_t missing_count;
    metrics metrics;
    char output[PATH_SIZE];
} evaluation;

/* One training, by its number 0..trainings-1: cells in their order, then seeds, then arms. */
typedef struct training_id {
    int64_t cell, seed;
    int arm; /* index in evaluate.arms */
} training_id;

static training_id training_at(const study *s, int64_t i) {
    const int64_t arms = study_arm_count(s), each = arms * s->evaluate.seeds;
    return (training_id){i / each, i % each / arms, (int)(i % arms)};
}

/* The result of a training in all->result: cells begin with the most labelled patients. */
static result *result_slot(const evaluation *e, training_id t) {
    const int64_t sets = e->all.sets;
    return results_of(&e->all, e->all.sizes - 1 - t.cell / sets, t.cell % sets, t.arm, t.seed);
}

/* Reads the results of cell `cell` into e->all, and lists the missing ones. Local. */
static status read_cell(evaluation *e, int64_t cell) {
    status st = ST_OK;
    comparison c;
    const study *s = e->stage->study;
    const int64_t each = e->trainings / cells_count(s);
    TRY(comparison_open(e->stage, cell, &c));
    for (int64_t i = cell * each; i < (cell + 1) * each; i++) {
        const training_id t = training_at(s, i);
        char path[PATH_SIZE], fingerprint[SHA256_HEX];
        result *r = result_slot(e, t);
        TRY(comparison_fingerprint(&c, study_arm(s, t.arm), t.seed, fingerprint));
        TRY(comparison_result_path(&c, study_arm(s, t.arm), t.seed, path));
        if (!r->value) TRY(comparison_result_alloc(&c, r));
        st = result_read(r, path, fingerprint);
        if (st == ST_INPUT || st == ST_INTEGRITY) e->missing[e->missing_count++] = i, st = ST_OK;
        TRY(st);
        e->all.patients = c.patients;
    }
done:
    comparison_close(&c);
    return st;
}

/* Reads all results that are there. Local. */
static status read_results(evaluation *e) {
    status st = ST_OK;
    e->missing_count = 0;
    for (int64_t cell = 0; cell < cells_count(e->stage->study); cell++)
        if (cells_is_mine(e->stage, cell)) TRY(read_cell(e, cell));
done:
    return st;
}

/* ST_USAGE if an arm with synthetic slices would never see one. Local. */
static status check_mixtures(const study *s) {
    for (int i = 0; i < study_arm_count(s); i++) {
        const mixture m = comparison_mixture(s, study_arm(s, i));
        if (evaluation_arm_mixture(study_arm(s, i)).source == SOURCE_NONE) continue;
        if (m.synthetic > 0 && m.real_from > 0) continue;
        return status_fail(ST_USAGE,
                           "evaluate.share %g and evaluate.real_only_last %g leave no synthetic "
                           "slice in %" PRId64 " steps of %" PRId64 " slices",
                           s->evaluate.share, s->evaluate.real_only_last, s->evaluate.steps,
                           s->evaluate.batch);
    }
    return ST_OK;
}

/* Opens the first cell and describes the results. Local. */
static status open_evaluation(evaluation *e) {
    status st = ST_OK;
    const study *s = e->stage->study;
    all_results *all = &e->all;
    TRY(check_mixtures(s));
    TRY(comparison_open(e->stage, cells_first_mine(e->stage), &e->first));
    TRY(stage_path(e->stage, "metrics", e->output));
    e->trainings = cells_count(s) * study_arm_count(s) * s->evaluate.seeds;
    TRY(array_alloc(&e->missing, e->trainings, sizeof *e->missing, "trainings"));
    TRY(array_alloc(&all->result, e->trainings, sizeof *all->result, "results"));
    all->study = s;
    all->labels = store_labels(e->first.real);
    all->sizes = s->evaluate.labelled.count > 0 ? s->evaluate.labelled.count : 1;
    all->labelled[0] = e->first.split.patients[SPLIT_TRAIN];
    for (int64_t i = 0; i < s->evaluate.labelled.count; i++)
        all->labelled[i] = s->evaluate.labelled.at[i];
    all->sets = s->evaluate.labelled.count > 0 ? s->evaluate.sets : 1;
    all->seeds = s->evaluate.seeds;
    all->arms = study_arm_count(s);
    if (e->stage->tasks == 0)
        TRY(cells_fingerprint(e->stage, store_manifest(e->first.real)->seal,
                              e->metrics.fingerprint));
    TRY(read_results(e));
    TRY(metrics_alloc(&e->metrics, all->labels, s->evaluate.seeds));
done:
    return st;
}

/* Local. */
static void close_evaluation(evaluation *e) {
    for (int64_t i = 0; e->all.result && i < e->trainings; i++) result_free(&e->all.result[i]);
    free(e->all.result);
    free(e->missing);
    comparison_close(&e->first);
    metrics_free(&e->metrics);
}

/* Makes training i in the group's open cell, which is opened anew if it is another one. Collective
 * on the group. */
static status run_training(const stage_context *group, int64_t i, int64_t base, comparison *open,
                           int64_t *open_cell) {
    status st = ST_OK;
    const training_id t = training_at(group->study, i);
    if (t.cell != *open_cell) {
        comparison_close(open);
        *open_cell = t.cell;
        st = comparison_open(group, t.cell, open);
        if (st == ST_OK) st = comparison_open_slices(open);
        TRY(comm_agree(group->comm, st));
    }
    TRY(comparison_run(open, study_arm(group->study, t.arm), t.seed, base));
done:
    return st;
}

/* Makes the missing trainings. Collective. */
static status run_missing(evaluation *e) {
    status st = ST_OK;
    work_queue queue = {0};
    comparison open = {.patients = 0};
    int64_t open_cell = -1, piece = 0;
    const int64_t steps = e->stage->study->evaluate.steps;
    TRY(work_queue_open(e->stage, e->missing_count, &queue));
    const stage_context group = work_queue_stage(&queue);
    log_progress_begin(e->stage->log, "evaluate", e->missing_count * steps);
    for (;;) {
        TRY(work_queue_next(&queue, &piece));
        if (piece < 0) break;
        int64_t begun = work_queue_claimed(&queue) - queue.groups;
        TRY(run_training(&group, e->missing[piece], (begun > 0 ? begun : 0) * steps, &open,
                         &open_cell));
    }
done:
    comparison_close(&open);
    st = work_queue_close(&queue, st);
    log_progress_end(e->stage->log);
    return st;
}

/* The Dice values and the FID that metrics.json gives for the first cell. Local. */
static void describe_first(evaluation *e) {
    const study *s = e->stage->study;
    metrics *m = &e->metrics;
    m->patients = e->first.patients;
    for (int arm = 0; arm < e->all.arms; arm++)
        for (int64_t seed = 0; seed < m->seeds; seed++) {
            const result *r = results_of(&e->all, 0, 0, arm, seed);
            metrics_set_dice(m, (int)study_arm(s, arm), seed, r);
            m->parameters = r->parameters;
            if (study_arm(s, arm) == ARM_REAL && seed == 0) m->fid = r->fid;
        }
}

/* Writes metrics.json, metrics.csv and their manifest. Local; called on rank 0. */
static status publish(evaluation *e) {
    status st = ST_OK;
    manifest m = {.kind = "metrics"};
    char path[PATH_SIZE];
    char *text = NULL, *table = NULL;
    metrics_context about = {.stage = e->stage,
                             .first = &e->first.cell.stage,
                             .real = e->first.real,
                             .synthetic = e->first.stores[SOURCE_SYNTHETIC],
                             .split = &e->first.split,
                             .checkpoint_step = e->first.checkpoint_step,
                             .all = &e->all,
                             .fidelity = e->first.fidelity};
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", e->metrics.fingerprint);
    TRY(metrics_json(&e->metrics, &about, &text));
    TRY(results_csv(&e->all, &table));
    TRY(file_make_dirs(e->output));
    TRY(manifest_remove(e->output));
    TRY(path_join(path, e->output, "metrics.json"));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(path_join(path, e->output, "metrics.csv"));
    TRY(file_write_atomic(path, table, (int64_t)strlen(table)));
    TRY(manifest_add_file(&m, e->output, "metrics.csv"));
    TRY(manifest_add_file(&m, e->output, "metrics.json"));
    TRY(manifest_write(&m, e->output));
done:
    manifest_free(&m);
    free(text);
    free(table);
    return st;
}

/* Logs FID, Dice and an event. Local. */
static void log_summary(const evaluation *e) {
    const metrics *v = &e->metrics;
    const domain_fid *fid = &v->fid;
    journal *log = e->stage->log;
    log_info(log,
             "evaluate: FID %.3f (floor %.3f) of %" PRId64 " synthetic against %" PRId64
             " held-out real slices",
             fid->fid, fid->fid_floor, fid->n_synthetic, fid->n_real);
    for (int64_t size = 0; size < e->all.sizes; size++)
        for (int arm = 0; arm < e->all.arms; arm++) {
            estimate mean;
            if (statistics_overall(&e->all, size, arm, &mean) != ST_OK) continue;
            log_info(log,
                     "evaluate: mean Dice, %" PRId64 " labelled, %-20s %.4f [%.4f, %.4f] (%" PRId64
                     " patient%s)",
                     e->all.labelled[size],
                     named_table_name(&evaluation_arms, (int)study_arm(e->stage->study, arm)),
                     mean.value, mean.low, mean.high, mean.patients, mean.patients == 1 ? "" : "s");
        }
    log_event(log, "evaluate", json_pack("{s:f, s:f}", "fid", fid->fid, "floor", fid->fid_floor));
}

status evaluate_stage(const stage_context *stage) {
    status st = ST_OK;
    evaluation e = {.stage = stage};
    bool current = false;
    TRY(cells_each(stage, fidelity_measure));
    TRY(comm_agree(stage->comm, open_evaluation(&e)));
    if (stage->tasks == 0)
        TRY(stage_is_current(stage, e.output, "metrics", e.metrics.fingerprint, &current));
    if (current) {
        log_info(stage->log, "evaluate: %s is current", e.output);
        stage_log_next(stage, "gate");
        goto done;
    }
    TRY(comm_broadcast(stage->comm, &e.missing_count, sizeof e.missing_count, 0));
    TRY(comm_broadcast(stage->comm, e.missing, e.trainings * (int64_t)sizeof *e.missing, 0));
    if (e.missing_count < e.trainings && stage->tasks == 0)
        log_info(stage->log, "evaluate: %" PRId64 " of %" PRId64 " trainings have their results",
                 e.trainings - e.missing_count, e.trainings);
    if (e.missing_count > 0) TRY(run_missing(&e));
    if (stage->tasks > 0) {
        log_info(stage->log,
                 "evaluate: the results of task %" PRId64 " of %" PRId64 " are complete",
                 stage->task, stage->tasks);
        goto done;
    }
    if (e.missing_count > 0) {
        if (comm_rank(stage->comm) == 0) st = read_results(&e);
        TRY(comm_agree(stage->comm, st));
    }
    if (comm_rank(stage->comm) == 0) {
        describe_first(&e);
        st = publish(&e);
        if (st == ST_OK) log_summary(&e);
    }
    TRY(comm_agree(stage->comm, st));
    log_info(stage->log, "evaluate: %s/metrics.json", e.output);
    stage_log_next(stage, "gate");
done:
    close_evaluation(&e);
    return st;
}
