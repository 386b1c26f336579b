/* Losses of training and held-out slices, and the scores made of them. */
#include "pipeline/gate/membership.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/metric/bootstrap.h"
#include "model/metric/roc.h"

#include <string.h>

enum { TIMES = 4, NOISES = 2, LOSSES = TIMES * NOISES, RESAMPLES = 2000 };

/* Shares of the noise levels of the training: where the loss tells members best lies among the low
 * ones. */
static const double times[TIMES] = {0.05, 0.1, 0.2, 0.4};
static const double LEVEL = 0.95;

/* The slices whose losses are measured, members first. */
typedef struct losses {
    const gate_sets *sets;
    denoiser *denoiser;
    int64_t batch, members, n;
    int64_t *slice;        /* [n]: number in sets->reference */
    int64_t *patient;      /* [n] */
    double *loss;          /* [n][LOSSES] */
    slice_sample *samples; /* [batch] */
    float *images;         /* [batch][size * size] */
    uint8_t *labels;       /* likewise */
} losses;

int64_t membership_batches(const gate_sets *g) {
    const int64_t batch = g->study->generate.batch;
    return (2 * g->study->gate.slices + batch - 1) / batch;
}

static void losses_free(losses *l) {
    free(l->slice);
    free(l->patient);
    free(l->loss);
    free(l->samples);
    free(l->images);
    free(l->labels);
}

/* Appends evenly spaced slices of the patients first..end-1, at most gate.slices. */
static void choose(losses *l, int64_t first, int64_t end) {
    const gate_sets *g = l->sets;
    const int64_t before = l->n;
    int64_t count = 0, seen = 0, k = 0;
    for (int64_t run = 0; run < g->run_count; run++) {
        const int64_t patient = g->patient_of[g->runs[run].volume];
        if (patient >= first && patient < end) count += g->runs[run].count;
    }
    const int64_t most = g->study->gate.slices, n = count < most ? count : most;
    for (int64_t run = 0; run < g->run_count; run++) {
        const int64_t patient = g->patient_of[g->runs[run].volume];
        const bool wanted = patient >= first && patient < end;
        for (int64_t z = 0; z < g->runs[run].count; z++, k++) {
            if (!wanted || (l->n - before) * count / n != seen++) continue;
            l->slice[l->n] = k;
            l->patient[l->n++] = patient;
        }
    }
}

/* Chooses the slices and allocates a batch. Local. */
static status losses_open(const gate_sets *g, denoiser *d, int64_t batch, losses *out) {
    status st = ST_OK;
    losses *l = out;
    const int64_t pixels = g->study->data.size * g->study->data.size;
    const int64_t most = 2 * g->study->gate.slices;
    *l = (losses){.sets = g, .denoiser = d, .batch = batch};
    TRY(array_alloc(&l->slice, most, sizeof *l->slice, "slices"));
    TRY(array_alloc(&l->patient, most, sizeof *l->patient, "patients"));
    choose(l, 0, g->members);
    l->members = l->n;
    choose(l, g->members, g->members + g->others);
    TRY(array_alloc(&l->loss, l->n * LOSSES, sizeof *l->loss, "losses"));
    TRY(array_alloc(&l->samples, batch, sizeof *l->samples, "slices"));
    TRY(array_alloc(&l->images, batch * pixels, sizeof *l->images, "slices"));
    TRY(array_alloc(&l->labels, batch * pixels, 1, "label maps"));
    for (int64_t b = 0; b < batch; b++) {
        l->samples[b].image = l->images + b * pixels;
        l->samples[b].labels = l->labels + b * pixels;
    }
done:
    return st;
}

/* Measures the slices first..first+count-1. Local. */
static status measure_batch(losses *l, int64_t first, int64_t count) {
    status st = ST_OK;
    const gate_sets *g = l->sets;
    double *loss = NULL;
    TRY(array_alloc(&loss, count, sizeof *loss, "losses"));
    for (int64_t b = 0; b < count; b++)
        TRY(slices_get(g->reference, l->slice[first + b], &l->samples[b]));
    for (int k = 0; k < LOSSES; k++) {
        const double t = denoiser_time(l->denoiser, times[k / NOISES]);
        TRY(denoiser_loss(l->denoiser, l->samples, t, (uint64_t)k, count, loss));
        for (int64_t b = 0; b < count; b++) l->loss[(first + b) * LOSSES + k] = loss[b];
    }
    activity_step(first);
done:
    free(loss);
    return st;
}

/* Measures all slices, distributed over the ranks. Collective. */
static status measure_all(const stage_context *stage, losses *l, int64_t base) {
    status st = ST_OK;
    const comm *c = stage->comm;
    const int64_t batches = (l->n + l->batch - 1) / l->batch;
    bool stop = false;
    for (int64_t round = 0; round < batches && !stop; round += comm_size(c)) {
        const int64_t first = (round + comm_rank(c)) * l->batch, left = l->n - first;
        st = left > 0 ? measure_batch(l, first, left < l->batch ? left : l->batch) : ST_OK;
        TRY(comm_agree(c, st));
        log_progress_set(stage->log, base + round, "losses");
        TRY(stage_should_stop(stage, &stop));
    }
    if (stop) TRY(status_fail(ST_STOPPED, "stopped; run again to measure the losses again"));
    TRY(comm_sum_f64(c, l->loss, l->n * LOSSES));
done:
    return st;
}

/* score[n] of the slices: minus their mean loss, each loss divided by its mean over all slices.
 * Local. */
static void score_slices(const losses *l, double *score) {
    memset(score, 0, (size_t)l->n * sizeof *score);
    for (int k = 0; k < LOSSES; k++) {
        double mean = 0;
        for (int64_t i = 0; i < l->n; i++) mean += l->loss[i * LOSSES + k] / (double)l->n;
        for (int64_t i = 0; i < l->n && mean > 0; i++)
            score[i] -= l->loss[i * LOSSES + k] / mean / LOSSES;
    }
}

/* Means of the scores over the slices first..end-1 of each patient, in the order of the patients'
 * numbers: patient[] gets *count of them. sum[], n[]: scratch for all patients. */
static void score_patients(const losses *l, const double *score, int64_t first, int64_t end,
                           double *sum, int64_t *n, double *patient, int64_t *count) {
    const int64_t patients = l->sets->members + l->sets->others;
    memset(sum, 0, (size_t)patients * sizeof *sum);
    memset(n, 0, (size_t)patients * sizeof *n);
    for (int64_t i = first; i < end; i++) {
        sum[l->patient[i]] += score[i];
        n[l->patient[i]]++;
    }
    *count = 0;
    for (int64_t p = 0; p < patients; p++)
        if (n[p] > 0) patient[(*count)++] = sum[p] / (double)n[p];
}

static double mean_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

/* Curves of slices and of patients. Local; called on rank 0. */
static status find_curves(const losses *l, membership *m) {
    status st = ST_OK;
    const int64_t patients = l->sets->members + l->sets->others;
    double *score = NULL, *sum = NULL, *positive = NULL, *negative = NULL, *auc = NULL, *tpr = NULL;
    int64_t *n = NULL;
    bootstrap_interval interval;
    TRY(array_alloc(&score, l->n, sizeof *score, "scores"));
    TRY(array_alloc(&sum, patients, sizeof *sum, "scores"));
    TRY(array_alloc(&n, patients, sizeof *n, "scores"));
    TRY(array_alloc(&positive, patients, sizeof *positive, "scores"));
    TRY(array_alloc(&negative, patients, sizeof *negative, "scores"));
    TRY(array_alloc(&auc, RESAMPLES, sizeof *auc, "resamples"));
    TRY(array_alloc(&tpr, RESAMPLES, sizeof *tpr, "resamples"));
    score_slices(l, score);
    m->member_n = l->members;
    m->other_n = l->n - l->members;
    m->member_loss = -mean_of(score, m->member_n);
    m->other_loss = -mean_of(score + l->members, m->other_n);
    roc_items items = {.positive = score,
                       .positives = m->member_n,
                       .negative = score + l->members,
                       .negatives = m->other_n};
    TRY(roc_scores(&items, MEMBERSHIP_FALSE_ALARMS, &m->slice_auc, &m->slice_tpr));
    score_patients(l, score, 0, l->members, sum, n, positive, &m->members);
    score_patients(l, score, l->members, l->n, sum, n, negative, &m->others);
    items = (roc_items){.positive = positive,
                        .positives = m->members,
                        .negative = negative,
                        .negatives = m->others};
    TRY(roc_scores(&items, MEMBERSHIP_FALSE_ALARMS, &m->auc, &m->tpr));
    TRY(roc_bootstrap(&items, MEMBERSHIP_FALSE_ALARMS, (uint64_t)l->sets->study->seed, RESAMPLES,
                      auc, tpr));
    TRY(bootstrap_percentile(auc, RESAMPLES, LEVEL, &interval));
    m->low = interval.low;
    m->high = interval.high;
done:
    free(score);
    free(sum);
    free(n);
    free(positive);
    free(negative);
    free(auc);
    free(tpr);
    return st;
}

status membership_measure(const stage_context *stage, const gate_sets *g, denoiser *d,
                          int64_t batch, int64_t base, membership *out) {
    status st = ST_OK;
    const comm *c = stage->comm;
    losses l = {0};
    *out = (membership){0};
    TRY(comm_agree(c, losses_open(g, d, batch, &l)));
    TRY(measure_all(stage, &l, base));
    TRY(comm_agree(c, comm_rank(c) == 0 ? find_curves(&l, out) : ST_OK));
done:
    losses_free(&l);
    return st;
}
