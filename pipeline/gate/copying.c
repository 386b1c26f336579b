/* Distances from queries to the patients of both sides, and the rates that follow from them. */
#include "pipeline/gate/copying.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/metric/bootstrap.h"
#include "model/metric/copies.h"
#include "pipeline/gate/control.h"

#include <math.h>
#include <string.h>

enum {
    DRAWS = 16,
    RESAMPLES = 2000,
    PATIENTS_MIN = 5 /* to be resampled */,
    NULL_FACTOR = 4 /* null slices, against gate.slices */
};

static const double COPY_RATE = 0.01;
static const double LEVEL = 0.95;
/* Volumes of different kinds have different numbers for the draws of patients. */
static const uint64_t CONTROL_FIRST = UINT64_C(1) << 40, NULL_FIRST = UINT64_C(1) << 41;

/* The vectors of the reference and where they come from. */
typedef struct reference {
    int64_t n, patients;
    double *vector;   /* [n][EMBEDDING] */
    int64_t *patient; /* [n] */
    int64_t *volume;  /* [n]: of the real store */
    int64_t *slice;   /* [n]: in its volume */
} reference;

/* Slices whose ratios are wanted. */
typedef struct queries {
    int64_t n;
    const double *vector; /* [n][EMBEDDING] */
    double *nearest;      /* [n][patients] */
    double *ratio;        /* [n][DRAWS] */
} queries;

static void reference_free(reference *r) {
    free(r->vector);
    free(r->patient);
    free(r->volume);
    free(r->slice);
}

/* Embeds the reference. Collective. */
static status reference_open(const stage_context *stage, const gate_sets *g, embedding *e,
                             reference *out) {
    status st = ST_OK;
    reference *r = out;
    int64_t k = 0;
    *r = (reference){.n = slices_count(g->reference), .patients = g->members + g->others};
    st = array_alloc(&r->vector, r->n * EMBEDDING, sizeof *r->vector, "vectors");
    if (st == ST_OK) st = array_alloc(&r->patient, r->n, sizeof *r->patient, "patients");
    if (st == ST_OK) st = array_alloc(&r->volume, r->n, sizeof *r->volume, "volumes");
    if (st == ST_OK) st = array_alloc(&r->slice, r->n, sizeof *r->slice, "slices");
    TRY(comm_agree(stage->comm, st));
    for (int64_t run = 0; run < g->run_count; run++)
        for (int64_t z = 0; z < g->runs[run].count; z++, k++) {
            r->volume[k] = g->runs[run].volume;
            r->slice[k] = g->runs[run].first + z;
            r->patient[k] = g->patient_of[r->volume[k]];
        }
    TRY(embedding_slices(e, g->reference, NULL, r->n, r->vector));
done:
    return st;
}

static double distance(const double *a, const double *b) {
    double dot = 0;
    for (int k = 0; k < EMBEDDING; k++) dot += a[k] * b[k];
    return sqrt(fmax(0, 2 - 2 * dot));
}

static void queries_free(queries *q) {
    free(q->nearest);
    free(q->ratio);
}

/* Computes the distances of n vectors to the nearest slice of every patient. Local. */
static status queries_open(const reference *r, const double *vector, int64_t n, queries *out) {
    status st = ST_OK;
    queries *q = out;
    *q = (queries){.n = n, .vector = vector};
    TRY(array_alloc(&q->nearest, n * r->patients, sizeof *q->nearest, "distances"));
    TRY(array_alloc(&q->ratio, n * DRAWS, sizeof *q->ratio, "ratios"));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        double *nearest = q->nearest + i * r->patients;
        for (int64_t p = 0; p < r->patients; p++) nearest[p] = (double)INFINITY;
        for (int64_t k = 0; k < r->n; k++) {
            double *at = &nearest[r->patient[k]];
            *at = fmin(*at, distance(vector + i * EMBEDDING, r->vector + k * EMBEDDING));
        }
    }
    activity_progress();
done:
    return st;
}

/* The ratios of query i. Local. */
static status query_ratios(const copy_sides *sides, queries *q, int64_t i, uint64_t volume,
                           int64_t source, int64_t itself, bool swapped) {
    const copy_query one = {.nearest = q->nearest + i * (sides->members + sides->others),
                            .volume = volume,
                            .source = source,
                            .itself = itself};
    return copy_ratios(sides, &one, swapped, q->ratio + i * DRAWS);
}

/* The bound from real held-out slices, evenly spaced. Local. */
static status find_real_bound(const gate_sets *g, const reference *r, const copy_sides *sides,
                              copying *c) {
    status st = ST_OK;
    queries q = {0};
    double *vector = NULL;
    int64_t *from = NULL, held = 0, most = NULL_FACTOR * g->study->gate.slices;
    TRY(array_alloc(&from, r->n, sizeof *from, "held-out slices"));
    for (int64_t k = 0; k < r->n; k++)
        if (r->patient[k] >= g->members) from[held++] = k;
    c->real_n = held < most ? held : most;
    TRY(array_alloc(&vector, c->real_n * EMBEDDING, sizeof *vector, "vectors"));
    for (int64_t i = 0; i < c->real_n; i++)
        memcpy(vector + i * EMBEDDING, r->vector + from[i * held / c->real_n] * EMBEDDING,
               EMBEDDING * sizeof *vector);
    TRY(queries_open(r, vector, c->real_n, &q));
    for (int64_t i = 0; i < q.n; i++) {
        const int64_t k = from[i * held / c->real_n];
        TRY(query_ratios(sides, &q, i, NULL_FIRST + (uint64_t)r->volume[k], -1, r->patient[k],
                         false));
    }
    c->real_bound = copy_bound(q.ratio, q.n * DRAWS, COPY_RATE);
done:
    queries_free(&q);
    free(vector);
    free(from);
    return st;
}

/* Numbers the clusters of the synthetic slices in cluster[n], by the patient of the label map or by
 * volume. first[n]: scratch. Returns their number. */
static int64_t number_clusters(const gate_sets *g, int64_t n, bool by_patient, int64_t *cluster,
                               int64_t *first) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = g->made_runs[i].volume, source = by_patient ? g->source_of[v] : -1;
        int64_t k = 0;
        for (; k < count; k++) {
            const int64_t other = g->made_runs[first[k]].volume;
            if (source >= 0 ? g->source_of[other] == source : other == v) break;
        }
        cluster[i] = k;
        if (k == count) first[count++] = i;
    }
    return count;
}

/* Copy rate and its intervals from the ratios. Local. */
static status find_rates(const gate_sets *g, const queries *made, copying *c) {
    status st = ST_OK;
    int64_t *cluster = NULL, *first = NULL, *size = NULL;
    double *share = NULL, *drawn = NULL;
    bootstrap_interval interval;
    TRY(array_alloc(&cluster, made->n, sizeof *cluster, "clusters"));
    TRY(array_alloc(&first, made->n, sizeof *first, "clusters"));
    TRY(array_alloc(&size, made->n, sizeof *size, "clusters"));
    TRY(array_alloc(&share, made->n, sizeof *share, "copy rates"));
    TRY(array_alloc(&drawn, RESAMPLES, sizeof *drawn, "resamples"));
    c->clusters = number_clusters(g, made->n, true, cluster, first);
    if (c->clusters < PATIENTS_MIN)
        c->clusters = number_clusters(g, made->n, false, cluster, first);
    for (int64_t i = 0; i < made->n; i++) {
        share[cluster[i]] += copy_share(made->ratio + i * DRAWS, DRAWS, c->bound);
        size[cluster[i]]++;
    }
    for (int64_t k = 0; k < c->clusters; k++) share[k] /= (double)size[k];
    const bootstrap_array a = {
        .value = share, .measures = 1, .sets = 1, .seeds = 1, .patients = c->clusters};
    TRY(bootstrap_mean(&a, &c->rate));
    TRY(bootstrap_draw(&a, (uint64_t)g->study->seed, RESAMPLES, drawn));
    TRY(bootstrap_percentile(drawn, RESAMPLES, LEVEL, &interval));
    c->low = interval.low;
    c->high = interval.high;
    c->expected = COPY_RATE;
    c->excess = c->rate - c->expected;
    c->excess_low = c->low - c->expected;
    c->excess_high = c->high - c->expected;
done:
    free(cluster);
    free(first);
    free(size);
    free(share);
    free(drawn);
    return st;
}

/* Inserts a pair into the list of the closest ones. */
static void keep_pair(copying *c, const copy_pair *pair) {
    int64_t at = c->pair_count < COPY_PAIRS ? c->pair_count++ : COPY_PAIRS;
    for (; at > 0 && c->pairs[at - 1].distance > pair->distance; at--)
        if (at < COPY_PAIRS) c->pairs[at] = c->pairs[at - 1];
    if (at < COPY_PAIRS) c->pairs[at] = *pair;
}

/* The closest pairs, over all training slices. Local. */
static void find_pairs(const gate_sets *g, const reference *r, const queries *q, copying *c) {
    for (int64_t i = 0; i < q->n; i++) {
        copy_pair pair = {.made = i, .distance = INFINITY, .distance_held = INFINITY};
        for (int64_t k = 0; k < r->n; k++) {
            const double d = distance(q->vector + i * EMBEDDING, r->vector + k * EMBEDDING);
            if (r->patient[k] >= g->members)
                pair.distance_held = fmin(pair.distance_held, d);
            else if (d < pair.distance) {
                pair.distance = d;
                pair.training = k;
            }
        }
        pair.training_volume = r->volume[pair.training];
        pair.training_slice = r->slice[pair.training];
        pair.source = r->patient[pair.training] == g->source_of[g->made_runs[i].volume];
        keep_pair(c, &pair);
    }
}

/* The bound from the control slices: copies of held-out patients, with the sides exchanged. Local.
 */
static status find_control_bound(const reference *r, const copy_sides *sides, const control *other,
                                 copying *c) {
    status st = ST_OK;
    queries q = {0};
    TRY(queries_open(r, other->vector, other->n, &q));
    for (int64_t i = 0; i < other->n; i++)
        TRY(query_ratios(sides, &q, i, CONTROL_FIRST + (uint64_t)other->volume[i], other->source[i],
                         -1, true));
    c->control_bound = copy_bound(q.ratio, q.n * DRAWS, COPY_RATE);
done:
    queries_free(&q);
    return st;
}

/* Everything that follows from the vectors. Local; called on rank 0. */
static status compare(const gate_sets *g, const reference *r, const double *vector,
                      const control *other, copying *c) {
    status st = ST_OK;
    queries made = {0};
    c->drawn = g->members < g->others - 1 ? g->members : g->others - 1;
    const copy_sides sides = {.members = g->members,
                              .others = g->others,
                              .drawn = c->drawn,
                              .draws = DRAWS,
                              .seed = (uint64_t)g->study->seed};
    TRY(find_real_bound(g, r, &sides, c));
    TRY(find_control_bound(r, &sides, other, c));
    c->bound = fmin(c->real_bound, c->control_bound);
    TRY(queries_open(r, vector, c->n, &made));
    for (int64_t i = 0; i < c->n; i++) {
        const int64_t v = g->made_runs[i].volume;
        TRY(query_ratios(&sides, &made, i, (uint64_t)v, g->source_of[v], -1, false));
    }
    TRY(find_rates(g, &made, c));
    find_pairs(g, r, &made, c);
done:
    queries_free(&made);
    return st;
}

status copying_measure(const stage_context *stage, const gate_sets *g, denoiser *d, embedding *e,
                       int64_t base, copying *out) {
    status st = ST_OK;
    const comm *c = stage->comm;
    reference r = {0};
    control other = {0};
    double *vector = NULL;
    *out = (copying){.n = slices_count(g->made)};
    TRY(reference_open(stage, g, e, &r));
    TRY(comm_agree(c, array_alloc(&vector, out->n * EMBEDDING, sizeof *vector, "vectors")));
    TRY(embedding_slices(e, g->made, NULL, out->n, vector));
    TRY(control_sample(stage, g, d, e, base, &other));
    out->control_n = other.n;
    out->volumes = other.volumes;
    TRY(comm_agree(c, comm_rank(c) == 0 ? compare(g, &r, vector, &other, out) : ST_OK));
done:
    reference_free(&r);
    control_free(&other);
    free(vector);
    return st;
}
