/* The evaluation stage: measures what synthetic slices are worth and writes metrics.json and
 * metrics.csv.
 *
 * Segmenters are trained for every labelled set, arm and seed (pipeline/evaluate/comparison.h), and
 * the generators' slices compared with real ones (pipeline/evaluate/distances.h), bits per pixel of
 * real slices measured (pipeline/evaluate/likelihood.h), and whether slices show what captions ask
 * for (pipeline/evaluate/obedience.h). These pieces of work are
 * independent, except that the domain network may be one of the segmenters: groups of ranks take
 * them from two queues, the second of which holds the comparisons in that network, and each piece
 * leaves a result. When all are there, their statistics are published.
 */
#include "pipeline/common/work_queue.h"
#include "pipeline/evaluate/comparison.h"
#include "pipeline/evaluate/likelihood.h"
#include "pipeline/evaluate/metrics_json.h"
#include "pipeline/evaluate/obedience.h"
#include "pipeline/evaluate/protocol_json.h"

#include "io/alloc.h"
#include "io/manifest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Pieces of work are numbered: comparisons of distributions that need no training, then trainings,
 * then the other comparisons, then likelihoods and obediences, one a cell each. */
typedef struct evaluation {
    const stage_context *stage;
    comparison first; /* the cell whose data, split and FID metrics.json describes */
    all_results all;
    distances *distances;       /* [comparisons] */
    likelihood *likelihoods;    /* [bounds] */
    obedience *obediences;      /* [asked] */
    int64_t bounds, asked;      /* likelihoods, obediences */
    int64_t comparisons, early; /* of distributions; those that need no training */
    int64_t trainings;          /* of all cells, arms and seeds */
    int64_t pieces;
    bool *missing; /* [pieces]: has no result */
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

typedef enum piece_kind {
    PIECE_TRAINING,
    PIECE_DISTANCES,
    PIECE_LIKELIHOOD,
    PIECE_OBEDIENCE
} piece_kind;

/* What piece i is; *index: its number among those of its kind. */
static piece_kind kind_of(const evaluation *e, int64_t i, int64_t *index) {
    const int64_t trained = e->early + e->trainings, compared = e->trainings + e->comparisons;
    *index = i;
    if (i < e->early) return PIECE_DISTANCES;
    *index = i - e->early;
    if (i < trained) return PIECE_TRAINING;
    *index = i - e->trainings;
    if (i < compared) return PIECE_DISTANCES;
    *index = i - compared;
    if (i < compared + e->bounds) return PIECE_LIKELIHOOD;
    *index = i - compared - e->bounds;
    return PIECE_OBEDIENCE;
}

static int64_t cell_of(const evaluation *e, int64_t i) {
    int64_t index;
    switch (kind_of(e, i, &index)) {
    case PIECE_TRAINING:
        return training_at(e->stage->study, index).cell;
    case PIECE_DISTANCES:
        return distances_at(e->stage->study, index).cell;
    case PIECE_LIKELIHOOD:
    case PIECE_OBEDIENCE:
        break;
    }
    return index;
}

/* Reads the result of piece i of the open cell. Local. */
static status read_piece(evaluation *e, const comparison *c, int64_t i) {
    status st = ST_OK;
    const study *s = e->stage->study;
    int64_t index;
    const piece_kind kind = kind_of(e, i, &index);
    if (kind == PIECE_TRAINING) {
        const training_id t = training_at(s, index);
        result *r = result_slot(e, t);
        if (!r->value) TRY(comparison_result_alloc(c, r));
        st = comparison_result_read(c, study_arm(s, t.arm), t.seed, r);
    } else if (kind == PIECE_DISTANCES) {
        st = distances_read(c, distances_at(s, index), &e->distances[index]);
    } else if (kind == PIECE_LIKELIHOOD) {
        st = likelihood_read(c, &e->likelihoods[index]);
    } else {
        st = obedience_read(c, &e->obediences[index]);
    }
    e->missing[i] = st == ST_INPUT || st == ST_INTEGRITY;
    if (e->missing[i]) st = ST_OK;
done:
    return st;
}

/* Reads the results of cell `cell` and notes the missing ones. Local. */
static status read_cell(evaluation *e, int64_t cell) {
    status st = ST_OK;
    comparison c;
    TRY(comparison_open(e->stage, cell, &c));
    for (int64_t i = 0; i < e->pieces; i++)
        if (cell_of(e, i) == cell) TRY(read_piece(e, &c, i));
    e->all.patients = c.patients;
done:
    comparison_close(&c);
    return st;
}

/* Reads all results that are there. Local. */
static status read_results(evaluation *e) {
    status st = ST_OK;
    for (int64_t cell = 0; cell < cells_count(e->stage->study); cell++)
        if (cells_is_mine(e->stage, cell)) TRY(read_cell(e, cell));
done:
    return st;
}

/* Number of pieces from `first` on, before `until`, that are missing. */
static int64_t count_missing(const evaluation *e, int64_t first, int64_t until) {
    int64_t n = 0;
    for (int64_t i = first; i < until; i++) n += e->missing[i];
    return n;
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
    e->comparisons = distances_count(s);
    e->early = distances_early(s);
    e->bounds = likelihood_count(s);
    e->asked = obedience_count(s);
    e->pieces = e->trainings + e->comparisons + e->bounds + e->asked;
    TRY(array_alloc(&e->missing, e->pieces, sizeof *e->missing, "pieces of work"));
    TRY(array_alloc(&e->distances, e->comparisons, sizeof *e->distances, "results"));
    TRY(array_alloc(&e->likelihoods, e->bounds, sizeof *e->likelihoods, "results"));
    TRY(array_alloc(&e->obediences, e->asked, sizeof *e->obediences, "results"));
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
    if (e->first.shifted.from && comm_rank(e->stage->comm) == 0)
        log_info(e->stage->log,
                 "evaluate: evaluate.shifted has %" PRId64 " of the %" PRId64 " test patients",
                 e->first.shifted.patients, e->first.patients);
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
    free(e->distances);
    free(e->likelihoods);
    free(e->obediences);
    comparison_close(&e->first);
    metrics_free(&e->metrics);
}

/* A cell that a group of ranks has open. */
typedef struct open_cell {
    comparison of;
    int64_t cell; /* -1: none yet */
} open_cell;

/* Opens the cell of piece i, if it is not open. Collective on the group. */
static status open_cell_of(const evaluation *e, const stage_context *group, int64_t i,
                           open_cell *open) {
    const int64_t cell = cell_of(e, i);
    if (cell == open->cell) return ST_OK;
    comparison_close(&open->of);
    open->cell = cell;
    return comm_agree(group->comm, comparison_open(group, cell, &open->of));
}

/* Makes piece i; base: steps of the progress line before it. Collective on the group. */
static status run_piece(const evaluation *e, const stage_context *group, int64_t i, int64_t base,
                        open_cell *open) {
    status st = ST_OK;
    int64_t index;
    TRY(open_cell_of(e, group, i, open));
    const piece_kind kind = kind_of(e, i, &index);
    if (kind == PIECE_TRAINING) {
        const training_id t = training_at(group->study, index);
        TRY(comm_agree(group->comm, comparison_open_slices(&open->of)));
        TRY(comparison_run(&open->of, study_arm(group->study, t.arm), t.seed, base));
    } else {
        bool stop = false;
        TRY(stage_should_stop(group, &stop));
        if (stop) TRY(status_fail(ST_STOPPED, "stopped; run again to resume"));
        TRY(kind == PIECE_LIKELIHOOD ? likelihood_run(&open->of)
            : kind == PIECE_OBEDIENCE
                ? obedience_run(&open->of)
                : distances_run(&open->of, distances_at(group->study, index)));
    }
done:
    return st;
}

/* Makes the missing pieces from `first` on, before `until`, from one queue. Collective. */
static status run_missing(const evaluation *e, int64_t first, int64_t until) {
    status st = ST_OK;
    work_queue queue = {0};
    open_cell open = {.cell = -1};
    int64_t *list = NULL, count = 0, piece = 0;
    const int64_t steps = e->stage->study->evaluate.steps, early = count_missing(e, 0, e->early);
    if (count_missing(e, first, until) == 0) return ST_OK;
    TRY(comm_agree(e->stage->comm, array_alloc(&list, until - first, sizeof *list, "a queue")));
    for (int64_t i = first; i < until; i++)
        if (e->missing[i]) list[count++] = i;
    TRY(work_queue_open(e->stage, count, &queue));
    const stage_context group = work_queue_stage(&queue);
    for (;;) {
        TRY(work_queue_next(&queue, &piece));
        if (piece < 0) break;
        const int64_t begun = work_queue_claimed(&queue) - queue.groups - early;
        TRY(run_piece(e, &group, list[piece], (begun > 0 ? begun : 0) * steps, &open));
    }
done:
    comparison_close(&open.of);
    free(list);
    return queue.stage ? work_queue_close(&queue, st) : st;
}

/* Makes all missing pieces. Collective. */
static status run_all(const evaluation *e) {
    status st = ST_OK;
    const int64_t trained = e->early + e->trainings;
    const int64_t trainings = count_missing(e, e->early, trained);
    log_progress_begin(e->stage->log, "evaluate", trainings * e->stage->study->evaluate.steps);
    TRY(run_missing(e, 0, trained));
    TRY(run_missing(e, trained, e->pieces));
done:
    log_progress_end(e->stage->log);
    return st;
}

/* The Dice values and the FID that metrics.json gives for the first cell. Local. */
static void describe_first(evaluation *e) {
    const study *s = e->stage->study;
    metrics *m = &e->metrics;
    m->patients = e->first.patients;
    m->fid = &e->distances[distances_first(s)];
    for (int arm = 0; arm < e->all.arms; arm++)
        for (int64_t seed = 0; seed < m->seeds; seed++) {
            const result *r = results_of(&e->all, 0, 0, arm, seed);
            metrics_set_dice(m, (int)study_arm(s, arm), seed, r);
            m->parameters = r->parameters;
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
                             .distances = e->distances,
                             .likelihoods = e->likelihoods,
                             .obediences = e->obediences,
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

/* Local. */
static void log_likelihood(const evaluation *e, const likelihood *l) {
    const estimate *bits = l->bits, *total = &bits[LIKELIHOOD_TOTAL];
    char interval[64] = "";
    if (!isnan(total->low))
        snprintf(interval, sizeof interval, " [%.4f, %.4f]", total->low, total->high);
    log_info(e->stage->log,
             "evaluate: %.4f%s bits per pixel of %" PRId64 " held-out real slices of "
             "%" PRId64 " patient%s (L_T %.4f, L_1 .. L_{T-1} %.4f, L_0 %.4f)",
             total->value, interval, l->slices, l->patients, l->patients == 1 ? "" : "s",
             bits[LIKELIHOOD_PRIOR].value, bits[LIKELIHOOD_STEPS].value,
             bits[LIKELIHOOD_DECODER].value);
}

/* Local. */
static void log_obedience(const evaluation *e, const obedience *o) {
    for (int row = 1; row < OBEY_ROWS; row++) {
        char text[256] = "";
        size_t used = 0;
        for (int a = 0; a < OBEY_ATTRIBUTES && used < sizeof text; a++) {
            const obedience_value *v = &o->value[row][a];
            char chance[32] = "";
            if (isnan(v->accuracy.value)) continue;
            if (!isnan(v->chance)) snprintf(chance, sizeof chance, " (chance %.2f)", v->chance);
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%s %.2f%s", used ? ", " : "",
                                 obedience_name((obedience_attribute)a), v->accuracy.value, chance);
        }
        log_info(e->stage->log, "evaluate: slices from captions alone, guidance %g: %s",
                 obedience_scale(row), used ? text : "nothing can be said");
    }
}

/* Logs FID, bits per pixel, Dice and an event. Local. */
static void log_summary(const evaluation *e) {
    const metrics *v = &e->metrics;
    const distribution *fid = &v->fid->measured;
    journal *log = e->stage->log;
    log_info(log,
             "evaluate: FID %.3f (floor %.3f) of %" PRId64 " synthetic against %" PRId64
             " held-out real slices",
             fid->fid, fid->fid_floor, fid->n_synthetic, fid->n_real);
    if (e->bounds > 0) log_likelihood(e, &e->likelihoods[cells_first(e->all.study)]);
    if (e->asked > 0) log_obedience(e, &e->obediences[cells_first(e->all.study)]);
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
    int64_t missing = 0;
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
    TRY(comm_broadcast(stage->comm, e.missing, e.pieces * (int64_t)sizeof *e.missing, 0));
    missing = count_missing(&e, e.early, e.early + e.trainings);
    if (missing < e.trainings && stage->tasks == 0)
        log_info(stage->log, "evaluate: %" PRId64 " of %" PRId64 " trainings have their results",
                 e.trainings - missing, e.trainings);
    missing = count_missing(&e, 0, e.pieces);
    if (missing > 0) TRY(run_all(&e));
    if (stage->tasks > 0) {
        log_info(stage->log,
                 "evaluate: the results of task %" PRId64 " of %" PRId64 " are complete",
                 stage->task, stage->tasks);
        goto done;
    }
    if (missing > 0) {
        if (comm_rank(stage->comm) == 0) st = read_results(&e);
        if (st == ST_OK && count_missing(&e, 0, e.pieces) > 0 && comm_rank(stage->comm) == 0)
            st = status_fail(ST_STORAGE,
                             "%s: %" PRId64 " results that were written cannot be read back: run "
                             "ctaug evaluate again",
                             stage->study->out, count_missing(&e, 0, e.pieces));
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
