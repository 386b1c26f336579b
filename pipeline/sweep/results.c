/* Reads the metrics.json of every arm and summarises them by point. */
#include "pipeline/sweep/results.h"

#include "io/alloc.h"
#include "io/manifest.h"
#include "model/metric/student.h"
#include "pipeline/common/costs.h"
#include "pipeline/report/figures.h"
#include "pipeline/sweep/arm_failure.h"

#include <math.h>
#include <string.h>

enum { METRICS_MAX = 64 << 20 };

const sweep_column_kind sweep_columns[COLUMNS] = {[COLUMN_FID] = {"fid", 4},
                                                  [COLUMN_FID_FLOOR] = {"fid_floor", 4},
                                                  [COLUMN_KID] = {"kid", 5},
                                                  [COLUMN_FIDELITY] = {"fidelity", 3},
                                                  [COLUMN_DICE] = {"dice", 3},
                                                  [COLUMN_DICE_REAL] = {"dice_real", 3},
                                                  [COLUMN_BITS] = {"bits_per_pixel", 3},
                                                  [COLUMN_EVALUATIONS] = {"evaluations", 0},
                                                  [COLUMN_SECONDS] = {"seconds_a_slice", 4},
                                                  [COLUMN_HOURS] = {"core_hours", 2}};

bool sweep_smaller_is_better(sweep_column c) {
    return c != COLUMN_FIDELITY && c != COLUMN_DICE && c != COLUMN_DICE_REAL;
}

/* *out: owned by the caller (json_decref()). Local. */
static status read_metrics(const study *s, json_t **out) {
    status st = ST_OK;
    char folder[PATH_SIZE], path[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    manifest m = {0};
    json_error_t error;
    TRY(path_join(folder, s->out, "metrics"));
    TRY(path_join(path, folder, "metrics.json"));
    TRY(manifest_read(folder, "metrics", &m));
    for (int64_t i = 0; i < m.count; i++) TRY(manifest_check_file(&m, folder, i));
    TRY(file_read(path, METRICS_MAX, &text, &bytes));
    *out = json_loadb(text, (size_t)bytes, 0, &error);
    if (!*out) st = status_fail(ST_INTEGRITY, "%s:%d: %s", path, error.line, error.text);
done:
    manifest_free(&m);
    free(text);
    return st;
}

/* Mean of a number over the members of an object or the entries of a list. */
static double mean_of(const json_t *from, const char *path) {
    double sum = 0;
    int count = 0;
    const char *key;
    json_t *one;
    size_t i;
    if (json_is_object(from)) {
        json_object_foreach((json_t *)from, key, one) {
            const double x = figure_number(one, path);
            if (!isnan(x)) sum += x, count++;
        }
    } else {
        json_array_foreach(from, i, one) {
            const double x = figure_number(one, path);
            if (!isnan(x)) sum += x, count++;
        }
    }
    return count > 0 ? sum / count : NAN;
}

/* Core hours of one part of the costs; 0 without it. */
static double cost_of(const json_t *metrics, const char *what) {
    const json_t *list = json_object_get(metrics, "costs");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (strcmp(figure_text(one, "what"), what) == 0) return figure_number(one, "core_hours");
    }
    return 0;
}

/* In metrics.json, and in costs.json (pipeline/common/costs.h). */
enum { OF_REFEREE, OF_TRAIN, OF_DISTIL, OF_GAN, TRAINING_KINDS };
static const char *const TRAININGS[TRAINING_KINDS][2] = {
    [OF_REFEREE] = {"referee", "referee"},
    [OF_TRAIN] = {"training of the diffusion model", "train"},
    [OF_DISTIL] = {"distillation", "distil"},
    [OF_GAN] = {"training of the GAN", "gan"}};

/* Core hours of an arm without what it shares with others. */
static double own_hours(const json_t *metrics) {
    double sum = 0;
    const json_t *list = json_object_get(metrics, "costs");
    for (size_t i = 0; i < json_array_size(list); i++)
        sum += figure_number(json_array_get(list, i), "core_hours");
    for (int i = 0; i < TRAINING_KINDS; i++) sum -= cost_of(metrics, TRAININGS[i][0]);
    return sum;
}

static void read_values(const json_t *m, double value[COLUMNS]) {
    const json_t *fid = figure_at(m, "distribution.0");
    value[COLUMN_FID] = figure_number(m, "fid.value");
    value[COLUMN_FID_FLOOR] = figure_number(m, "fid.floor");
    value[COLUMN_KID] = figure_number(fid, "kid");
    value[COLUMN_FIDELITY] = mean_of(figure_at(m, "fidelity.structures"), "ratio");
    value[COLUMN_DICE] = mean_of(json_object_get(m, "dice"), "real+synthetic");
    value[COLUMN_DICE_REAL] = mean_of(json_object_get(m, "dice"), "real");
    value[COLUMN_BITS] = figure_number(m, "likelihood.0.value");
    value[COLUMN_EVALUATIONS] = figure_number(m, "synthetic.evaluations");
    value[COLUMN_SECONDS] = figure_number(m, "synthetic.seconds_a_slice");
    value[COLUMN_HOURS] = own_hours(m);
}

/* Core hours of the trainings that an arm has made itself, also if it failed later. With labelled
 * sets they are in the folders of these, and metrics.json has their sum. Local. */
static status read_hours(const sweep_arm *a, const json_t *metrics, double hours[TRAINING_KINDS]) {
    status st = ST_OK;
    for (int k = 0; k < TRAINING_KINDS; k++) {
        double seconds = 0;
        TRY(costs_read(&a->stage, TRAININGS[k][1], &seconds));
        hours[k] = seconds / 3600;
        if (metrics) hours[k] = fmax(hours[k], cost_of(metrics, TRAININGS[k][0]));
    }
done:
    return st;
}

/* Reads arm i. An arm without metrics has failed. Local. */
static status read_arm(sweep_results *r, const char *store, int64_t i,
                       double hours[TRAINING_KINDS]) {
    status st = ST_OK;
    sweep_arm a;
    json_t *metrics = NULL;
    for (int c = 0; c < COLUMNS; c++) r->value[i][c] = NAN;
    TRY(sweep_arm_open(r->stage, i, &a));
    r->failure[i] = arm_failure_read(&a, store);
    if (r->failure[i] == ST_OK) st = read_metrics(&a.study, &metrics);
    if (st == ST_INPUT) {
        r->failure[i] = ST_INPUT;
        st = ST_OK;
    }
    TRY(st);
    TRY(read_hours(&a, metrics, hours));
    if (metrics) read_values(metrics, r->value[i]);
done:
    json_decref(metrics);
    return st;
}

/* Adds to each arm what its models cost, whichever arm made them. */
static void add_trainings(sweep_results *r, const sweep_groups *g,
                          double (*hours)[TRAINING_KINDS]) {
    for (int64_t i = 0; i < r->arms; i++)
        for (int k = 0; k < TRAINING_KINDS; k++) {
            double most = 0;
            for (int64_t other = 0; other < r->arms; other++) {
                bool same = g->group[other] == g->group[i];
                if (k == OF_REFEREE && *g->referee[i])
                    same = strcmp(g->referee[other], g->referee[i]) == 0;
                else if (k == OF_DISTIL)
                    same = *g->distillation[i] &&
                           strcmp(g->distillation[other], g->distillation[i]) == 0;
                if (same) most = fmax(most, hours[other][k]);
            }
            r->value[i][COLUMN_HOURS] += most;
        }
}

static sweep_mean summarise(const double *values, int64_t n) {
    sweep_mean m;
    student_interval(values, n, &m.n, &m.mean, &m.low, &m.high);
    return m;
}

static void summarise_points(sweep_results *r, double *scratch) {
    r->best = -1;
    for (int64_t p = 0; p < r->points; p++) {
        for (int c = 0; c < COLUMNS; c++) {
            for (int64_t k = 0; k < r->seeds; k++) scratch[k] = r->value[p * r->seeds + k][c];
            r->mean[p][c] = summarise(scratch, r->seeds);
        }
        for (int64_t k = 0; k < r->seeds; k++)
            scratch[k] = r->value[p * r->seeds + k][r->measure] - r->value[k][r->measure];
        r->difference[p] = summarise(scratch, r->seeds);
        /* A point some of whose seeds have failed is not the best one. */
        if (r->mean[p][r->measure].n < r->seeds) continue;
        const double mean = r->mean[p][r->measure].mean;
        const double best = r->best < 0 ? NAN : r->mean[r->best][r->measure].mean;
        if (r->best < 0 || (sweep_smaller_is_better(r->measure) ? mean < best : mean > best))
            r->best = p;
    }
}

status sweep_results_read(const stage_context *stage, const sweep_groups *g, sweep_results *out) {
    static const sweep_column measures[] = {[SWEEP_BY_FID] = COLUMN_FID,
                                            [SWEEP_BY_KID] = COLUMN_KID,
                                            [SWEEP_BY_FIDELITY] = COLUMN_FIDELITY,
                                            [SWEEP_BY_DICE] = COLUMN_DICE};
    status st = ST_OK;
    double(*hours)[TRAINING_KINDS] = NULL, *scratch = NULL;
    *out = (sweep_results){.stage = stage, .measure = measures[stage->study->sweep.measure]};
    TRY(sweep_size(stage->study, &out->points, &out->seeds));
    out->arms = g->arms;
    TRY(array_alloc(&out->value, out->arms, sizeof *out->value, "results"));
    TRY(array_alloc(&out->failure, out->arms, sizeof *out->failure, "results"));
    TRY(array_alloc(&out->mean, out->points, sizeof *out->mean, "results"));
    TRY(array_alloc(&out->difference, out->points, sizeof *out->difference, "results"));
    TRY(array_alloc(&hours, out->arms, sizeof *hours, "results"));
    TRY(array_alloc(&scratch, out->seeds, sizeof *scratch, "results"));
    for (int64_t i = 0; i < out->arms; i++) TRY(read_arm(out, g->store, i, hours[i]));
    add_trainings(out, g, hours);
    summarise_points(out, scratch);
done:
    free(hours);
    free(scratch);
    return st;
}

void sweep_results_free(sweep_results *r) {
    free(r->value);
    free(r->failure);
    free(r->mean);
    free(r->difference);
    *r = (sweep_results){0};
}
