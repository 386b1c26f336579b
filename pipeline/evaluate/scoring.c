/* Segments the test volumes and compares them with the truth. */
#include "pipeline/evaluate/scoring.h"

#include "io/alloc.h"
#include "model/metric/surface.h"
#include "pipeline/data/shift.h"
#include "pipeline/evaluate/lesions.h"

#include <math.h>
#include <string.h>

enum { QUICK_SLICES = 128 };

/* Sums over the volumes of a patient, for one row of a result; added over the ranks. */
typedef struct row_sums {
    double both, truth, predicted; /* voxels */
    double hd95, hd95_count, nsd, nsd_count;
    lesion_sums lesions; /* of the rows of lesion sizes */
} row_sums;
enum { ROW_SUMS = sizeof(row_sums) / sizeof(double) };

typedef struct scoring {
    segmenter *segmenter;
    const test_slices *test; /* the set in progress */
    uint64_t seed;
    const result *result;
    const label_set *names;
    row_sums *sums; /* [patients][rows] */
} scoring;

/* A slice_getter of the test set in progress. Local. */
static status get_slice(void *context, int64_t k, slice_sample *sample) {
    const scoring *s = context;
    return s->test->simulated ? slices_get_shifted(s->test->slices, s->seed, k, sample)
                              : slices_get(s->test->slices, k, sample);
}

/* This rank's share of n evenly spaced slices. */
typedef struct sampled_slices {
    slices *from;
    int64_t n, first, step; /* slices first, first + step, ... of the n */
} sampled_slices;

/* A slice_getter of these. Local. */
static status get_sampled(void *context, int64_t k, slice_sample *sample) {
    const sampled_slices *s = context;
    return slices_get(s->from, (s->first + k * s->step) * slices_count(s->from) / s->n, sample);
}

/* Voxel sizes of working slices, mm. */
static void working_spacing(const geometry *g, int64_t size, bool simulated, double spacing[3]) {
    const int64_t side = g->shape[1] > g->shape[2] ? g->shape[1] : g->shape[2];
    const double grow = (double)side / (double)size * (simulated ? shift_field() : 1);
    spacing[0] = g->spacing[0];
    spacing[1] = g->spacing[1] * grow;
    spacing[2] = g->spacing[2] * grow;
}

/* Adds the scores of one structure of one run. Local. */
static status add_structure(row_sums *sum, const uint8_t *truth, const uint8_t *predicted,
                            const int64_t shape[3], const double spacing[3], int label) {
    surface_scores scores;
    status st = surface_compare(truth, predicted, shape, spacing, label, NSD_TOLERANCE_MM, &scores);
    if (st != ST_OK || isnan(scores.hd95)) return st;
    sum->hd95 += scores.hd95;
    sum->nsd += scores.nsd;
    sum->hd95_count++;
    sum->nsd_count++;
    return ST_OK;
}

/* Segments run r, whose first slice is slice `first` of the test set, and adds its scores. Local.
 */
static status score_run(scoring *s, int64_t r, int64_t first, uint8_t *truth, uint8_t *predicted) {
    status st = ST_OK;
    const split_run *run = &s->test->runs[r];
    const geometry *space = &store_at(s->test->from, run->volume)->space;
    const int64_t size = s->segmenter->config.size, labels = s->segmenter->config.labels;
    const int64_t shape[3] = {run->count, size, size}, voxels = run->count * size * size;
    double spacing[3];
    dice_counts *counts = NULL;
    lesion_sums lesions[LESION_SIZES] = {{0}};
    row_sums *sums = s->sums + s->test->patient_of[run->volume] * s->result->rows;
    TRY(array_alloc(&counts, 1, sizeof *counts, "Dice counts"));
    TRY(segmenter_predict(s->segmenter, get_slice, s, first, run->count, truth, predicted));
    working_spacing(space, size, s->test->simulated, spacing);
    dice_add(counts, truth, predicted, voxels);
    for (int k = 1; k < labels; k++) {
        sums[k].both += (double)counts->both[k];
        sums[k].truth += (double)counts->truth[k];
        sums[k].predicted += (double)counts->predicted[k];
        TRY(add_structure(&sums[k], truth, predicted, shape, spacing, k));
        if (is_lesion(s->names->name[k]))
            TRY(lesions_score(truth, predicted, shape, spacing, k, lesions));
    }
    for (int i = 0; i < LESION_SIZES; i++) {
        sums[labels + i].lesions.dice += lesions[i].dice;
        sums[labels + i].lesions.count += lesions[i].count;
    }
done:
    free(counts);
    return st;
}

/* Scores this rank's runs of the test set. Local. */
static status score_runs(scoring *s) {
    status st = ST_OK;
    const comm *c = s->segmenter->stage->comm;
    const int64_t pixels = s->segmenter->config.size * s->segmenter->config.size;
    int64_t longest = 0, first = 0;
    uint8_t *truth = NULL, *predicted = NULL;
    for (int64_t r = 0; r < s->test->run_count; r++)
        if (s->test->runs[r].count > longest) longest = s->test->runs[r].count;
    TRY(array_alloc(&truth, longest * pixels, 1, "label maps"));
    TRY(array_alloc(&predicted, longest * pixels, 1, "label maps"));
    for (int64_t r = 0; r < s->test->run_count; first += s->test->runs[r++].count)
        if (r % comm_size(c) == comm_rank(c)) TRY(score_run(s, r, first, truth, predicted));
done:
    free(truth);
    free(predicted);
    return st;
}

/* The measures of one row from its sums. */
static void finish_row(const row_sums *sum, double value[MEASURES]) {
    if (sum->lesions.count > 0) value[MEASURE_DICE] = sum->lesions.dice / sum->lesions.count;
    if (sum->truth > 0) {
        value[MEASURE_DICE] = 2 * sum->both / (sum->truth + sum->predicted);
        value[MEASURE_VOLUME] = (sum->predicted - sum->truth) / sum->truth;
        if (sum->hd95_count > 0) value[MEASURE_HD95] = sum->hd95 / sum->hd95_count;
        if (sum->nsd_count > 0) value[MEASURE_NSD] = sum->nsd / sum->nsd_count;
    }
}

status score_segmenter(segmenter *s, const test_slices test[TESTS], uint64_t seed, result *r) {
    status st = ST_OK;
    const comm *c = s->stage->comm;
    const int64_t rows = r->patients * r->rows;
    scoring work = {
        .segmenter = s, .seed = seed, .result = r, .names = store_labels(test[TEST_PLAIN].from)};
    TRY(comm_agree(c, array_alloc(&work.sums, rows, sizeof *work.sums, "scores")));
    for (int set = 0; set < TESTS; set++) {
        work.test = &test[set];
        memset(work.sums, 0, (size_t)rows * sizeof *work.sums);
        TRY(comm_agree(c, score_runs(&work)));
        TRY(comm_sum_f64(c, &work.sums[0].both, rows * ROW_SUMS));
        for (int64_t p = 0; p < r->patients; p++)
            for (int64_t k = 0; k < r->rows; k++)
                finish_row(&work.sums[p * r->rows + k], result_at(r, (test_set)set, p, k));
    }
done:
    free(work.sums);
    return st;
}

/* Segments this rank's share of n evenly spaced slices and adds the voxels. Local. */
static status count_quickly(segmenter *s, slices *from, int64_t n, dice_counts *counts) {
    status st = ST_OK;
    const comm *c = s->stage->comm;
    const int64_t pixels = s->config.size * s->config.size;
    sampled_slices mine = {from, n, comm_rank(c), comm_size(c)};
    const int64_t count = n > mine.first ? (n - mine.first + mine.step - 1) / mine.step : 0;
    uint8_t *truth = NULL, *predicted = NULL;
    if (count == 0) return ST_OK;
    TRY(array_alloc(&truth, count * pixels, 1, "label maps"));
    TRY(array_alloc(&predicted, count * pixels, 1, "label maps"));
    TRY(segmenter_predict(s, get_sampled, &mine, 0, count, truth, predicted));
    dice_add(counts, truth, predicted, count * pixels);
done:
    free(truth);
    free(predicted);
    return st;
}

status score_quickly(segmenter *s, slices *from, double *dice) {
    status st = ST_OK;
    const comm *c = s->stage->comm;
    const int64_t all = slices_count(from), n = all < QUICK_SLICES ? all : QUICK_SLICES;
    int64_t structures = 0;
    dice_counts *counts = NULL;
    *dice = 0;
    TRY(comm_agree(c, array_alloc(&counts, 1, sizeof *counts, "Dice counts")));
    TRY(comm_agree(c, count_quickly(s, from, n, counts)));
    TRY(comm_sum_i64(c, counts->both, (int64_t)(sizeof *counts / sizeof *counts->both)));
    for (int k = 1; k < s->config.labels; k++) {
        if (counts->truth[k] == 0) continue;
        *dice += dice_of(counts, k);
        structures++;
    }
    *dice = structures > 0 ? *dice / (double)structures : (double)NAN;
done:
    free(counts);
    return st;
}
