/* Chooses slices and times, runs the denoiser on all ranks of the group, and makes estimates of the
 * terms on its first one. */
#include "pipeline/evaluate/likelihood.h"

#include "io/alloc.h"
#include "io/part_file.h"
#include "model/diffusion/bound.h"
#include "model/metric/bootstrap.h"
#include "model/rng.h"
#include "pipeline/common/sampled_denoiser.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

static const double LEVEL = 0.95;

/* Columns of the terms of a slice; then its groups of times. */
enum { PATIENT, PRIOR, DECODER, GROUPS };

typedef struct measurement {
    const comparison *of;
    const study *study;
    slices *slices;
    denoiser *denoiser;
    process process;
    bound bound;
    int64_t n, columns, batch, pixels;
    double *terms; /* [n][columns]: number of the patient, bits per pixel */
    likelihood *result;
    slice_sample slice;
    denoiser_query *queries;              /* [batch], all of this slice */
    noise_level *at;                      /* [batch] */
    float *x_t, *predicted, *output, *x0; /* [batch][pixels]; x0: [pixels] */
} measurement;

int64_t likelihood_groups(int64_t steps, int64_t groups, int64_t first[LIKELIHOOD_GROUPS + 1]) {
    const int64_t count = groups < steps - 1 ? groups : steps - 1;
    first[0] = 2;
    for (int64_t k = 1; k <= count; k++) {
        const double edge = 2 * pow((double)(steps + 1) / 2, (double)k / (double)count);
        const int64_t least = first[k - 1] + 1, most = steps + 1 - (count - k);
        first[k] = llround(edge);
        if (first[k] < least) first[k] = least;
        if (first[k] > most || k == count) first[k] = most;
    }
    return count;
}

int64_t likelihood_count(const study *s) {
    return s->evaluate.bound_slices > 0 ? cells_count(s) : 0;
}

/* Fingerprint of the result of a cell, and its path. The synthetic store's seal covers the training
 * and the checkpoint. Local. */
static status describe(const comparison *c, char path[PATH_SIZE], char hex[SHA256_HEX]) {
    static const char *const keys[] = {"seed", "engine", "data", "evaluate.bound_slices",
                                       "evaluate.bound_times"};
    status st = ST_OK;
    char upstream[3 * SHA256_HEX];
    snprintf(upstream, sizeof upstream, "likelihood %s %s", store_manifest(c->real)->seal,
             store_manifest(c->stores[SOURCE_SYNTHETIC])->seal);
    TRY(study_fingerprint(&c->cell.study, keys, sizeof keys / sizeof *keys, upstream, hex));
    TRY(path_join(path, c->parts, "likelihood.part"));
done:
    return st;
}

status likelihood_read(const comparison *c, likelihood *out) {
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    status st = describe(c, path, fingerprint);
    return st == ST_OK ? part_read(path, fingerprint, out, sizeof *out) : st;
}

/* Local. */
static status alloc_buffers(measurement *m) {
    status st = ST_OK;
    int64_t values = 0, terms = 0;
    if (!size_mul(m->batch, m->pixels, &values) || !size_mul(m->n, m->columns, &terms))
        TRY(status_memory("slices", m->n));
    TRY(array_alloc(&m->terms, terms, sizeof *m->terms, "bits of slices"));
    TRY(array_alloc(&m->queries, m->batch, sizeof *m->queries, "slices"));
    TRY(array_alloc(&m->at, m->batch, sizeof *m->at, "time steps"));
    TRY(array_alloc(&m->slice.image, m->pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&m->slice.labels, m->pixels, 1, "a label map"));
    TRY(array_alloc(&m->x0, m->pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&m->x_t, values, sizeof(float), "slices"));
    TRY(array_alloc(&m->predicted, values, sizeof(float), "slices"));
    TRY(array_alloc(&m->output, values, sizeof(float), "variances"));
done:
    return st;
}

/* Opens the slices of the test patients and what a slice needs. Local. */
static status open_slices(const comparison *c, likelihood *result, measurement *out) {
    status st = ST_OK;
    measurement *m = out;
    const study *s = &c->cell.study;
    const slice_source test = {c->real, c->split.runs[SPLIT_TEST], c->split.run_count[SPLIT_TEST]};
    m->of = c;
    m->study = s;
    m->result = result;
    m->batch = s->generate.batch;
    m->pixels = s->data.size * s->data.size;
    TRY(slices_open(s, &test, 1, &m->slices));
    TRY(denoiser_process(s, 1, &m->process));
    m->bound = (bound){&m->process.schedule, s->diffusion.variance,
                       bound_level(s->data.window[0], s->data.window[1])};
    m->n = slices_count(m->slices);
    if (m->n > s->evaluate.bound_slices) m->n = s->evaluate.bound_slices;
    result->slices = m->n;
    result->groups = likelihood_groups(s->diffusion.steps, s->evaluate.bound_times, result->first);
    m->columns = GROUPS + result->groups;
    TRY(alloc_buffers(m));
done:
    return st;
}

static void close_measurement(measurement *m) {
    slices_close(m->slices);
    denoiser_close(m->denoiser);
    process_free(&m->process);
    free(m->terms);
    free(m->queries);
    free(m->at);
    free(m->slice.image);
    free(m->slice.labels);
    free(m->x0);
    free(m->x_t);
    free(m->predicted);
    free(m->output);
}

/* Prepares slot b for time number k of slice `number`: k = 0 is t = 1, k > 0 a time of group k - 1.
 */
static void noise_slice(measurement *m, int64_t number, int64_t k, int64_t b) {
    const int64_t *first = m->result->first;
    float *x_t = m->x_t + b * m->pixels;
    rng_stream r = rng_open((uint64_t)m->study->seed, RNG_BOUND, (uint64_t)number, (uint32_t)k);
    int64_t t = 1;
    if (k > 0) t = first[k - 1] + (int64_t)rng_below(&r, (uint64_t)(first[k] - first[k - 1]));
    rng_fill_normal(&r, x_t, m->pixels);
    m->at[b] = process_level(&m->process, (double)t);
    process_diffuse(&m->at[b], m->slice.image, x_t, x_t, m->pixels);
    m->queries[b] = (denoiser_query){x_t, &m->at[b], &m->slice, true};
}

/* The term of slot b in bits per pixel. */
static double term_of(const measurement *m, int64_t b) {
    const int64_t at = b * m->pixels, t = (int64_t)m->at[b].t;
    m->process.objective->split(m->at[b].signal, m->x_t + at, m->predicted + at, m->x0, NULL,
                                m->pixels);
    for (int64_t i = 0; i < m->pixels; i++)
        m->x0[i] = m->x0[i] < -1 ? -1 : m->x0[i] > 1 ? 1 : m->x0[i];
    const double nats = bound_term(&m->bound, t, m->slice.image, m->x0, m->output + at, m->pixels);
    return bound_bits(nats, m->pixels);
}

/* Measures slice i of n evenly spaced ones. Local. */
static status measure_slice(measurement *m, int64_t i) {
    status st = ST_OK;
    double *row = m->terms + i * m->columns;
    const int64_t number = i * slices_count(m->slices) / m->n, times = 1 + m->result->groups;
    const int64_t *first = m->result->first;
    TRY(slices_get(m->slices, number, &m->slice));
    bound_round(m->bound.level, m->slice.image, m->pixels);
    row[PATIENT] = (double)m->of->patient_of[m->slice.volume];
    row[PRIOR] = bound_bits(bound_prior(&m->bound, m->slice.image, m->pixels), m->pixels);
    for (int64_t done = 0; done < times; done += m->batch) {
        const int64_t count = times - done < m->batch ? times - done : m->batch;
        for (int64_t b = 0; b < count; b++) noise_slice(m, number, done + b, b);
        TRY(denoiser_predict(m->denoiser, m->queries, count, m->predicted, m->output));
        for (int64_t b = 0; b < count; b++) {
            const int64_t k = done + b;
            const int64_t width = k > 0 ? first[k] - first[k - 1] : 1;
            row[DECODER + k] = (double)width * term_of(m, b);
        }
    }
done:
    return st;
}

/* Measures all slices, each on one rank. Collective. */
static status measure_slices(measurement *m) {
    status st = ST_OK;
    const stage_context *stage = &m->of->cell.stage;
    const int64_t ranks = comm_size(stage->comm), rank = comm_rank(stage->comm);
    for (int64_t first = 0; first < m->n; first += ranks) {
        bool stop = false;
        if (first + rank < m->n) st = measure_slice(m, first + rank);
        TRY(comm_agree(stage->comm, st));
        TRY(stage_should_stop(stage, &stop));
        if (stop) TRY(status_fail(ST_STOPPED, "stopped; run again to resume"));
    }
    TRY(comm_sum_f64(stage->comm, m->terms, m->n * m->columns));
done:
    return st;
}

/* The value of an estimate's row for a slice. */
static double row_of(const measurement *m, const double *terms, int64_t row) {
    double steps = 0;
    if (row == LIKELIHOOD_PRIOR) return terms[PRIOR];
    if (row == LIKELIHOOD_DECODER) return terms[DECODER];
    if (row >= LIKELIHOOD_ROWS) {
        const int64_t k = row - LIKELIHOOD_ROWS;
        return terms[GROUPS + k] / (double)(m->result->first[k + 1] - m->result->first[k]);
    }
    for (int64_t k = 0; k < m->result->groups; k++) steps += terms[GROUPS + k];
    return row == LIKELIHOOD_STEPS ? steps : terms[PRIOR] + steps + terms[DECODER];
}

/* value[rows][patients]: means over the slices of each patient; NAN: has none. */
static void average_patients(const measurement *m, int64_t rows, int64_t patients, double *value) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t p = 0; p < patients; p++) {
            double sum = 0;
            int64_t count = 0;
            for (int64_t i = 0; i < m->n; i++) {
                const double *terms = m->terms + i * m->columns;
                if (terms[PATIENT] != (double)p) continue;
                sum += row_of(m, terms, row);
                count++;
            }
            value[row * patients + p] = count > 0 ? sum / (double)count : (double)NAN;
            if (row == 0) m->result->patients += count > 0;
        }
}

/* Local; called on the first rank. */
static status estimate_terms(const measurement *m) {
    status st = ST_OK;
    const int64_t rows = LIKELIHOOD_ROWS + m->result->groups, patients = m->of->patients;
    const int resamples = statistics_resamples();
    double *value = NULL, *mean = NULL, *drawn = NULL;
    TRY(array_alloc(&value, rows * patients, sizeof *value, "bits of patients"));
    TRY(array_alloc(&mean, rows, sizeof *mean, "means"));
    TRY(array_alloc(&drawn, rows * resamples, sizeof *drawn, "resamples"));
    average_patients(m, rows, patients, value);
    const bootstrap_array a = {
        .value = value, .measures = rows, .sets = 1, .seeds = 1, .patients = patients};
    TRY(bootstrap_mean(&a, mean));
    TRY(bootstrap_draw(&a, (uint64_t)m->study->seed, resamples, drawn));
    for (int64_t row = 0; row < rows; row++) {
        bootstrap_interval interval;
        TRY(bootstrap_percentile(drawn + row * resamples, resamples, LEVEL, &interval));
        const bool known = m->result->patients >= 2;
        m->result->bits[row] = (estimate){.value = mean[row],
                                          .low = known ? interval.low : (double)NAN,
                                          .high = known ? interval.high : (double)NAN,
                                          .patients = m->result->patients};
    }
done:
    free(value);
    free(mean);
    free(drawn);
    return st;
}

status likelihood_run(const comparison *c) {
    status st = ST_OK;
    const comm *ranks = c->cell.stage.comm;
    const double start = log_seconds();
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    measurement m = {.n = 0};
    likelihood result;
    memset(&result, 0, sizeof result); /* the bytes between members are written, too */
    st = describe(c, path, fingerprint);
    if (st == ST_OK) st = open_slices(c, &result, &m);
    if (st == ST_OK) st = file_make_dirs(c->parts);
    TRY(comm_agree(ranks, st));
    TRY(sampled_denoiser_open(&c->cell.stage, c->real, c->stores[SOURCE_SYNTHETIC], m.batch,
                              &m.denoiser));
    TRY(measure_slices(&m));
    if (comm_rank(ranks) == 0) {
        st = estimate_terms(&m);
        result.seconds = (log_seconds() - start) * comm_size(ranks) * omp_get_max_threads();
        if (st == ST_OK) st = part_write(path, fingerprint, &result, sizeof result);
    }
    TRY(comm_agree(ranks, st));
done:
    close_measurement(&m);
    return st;
}

static json_t *estimate_json(const estimate *e) {
    return json_pack("{s:o, s:o, s:o}", "value", log_number(e->value), "low", log_number(e->low),
                     "high", log_number(e->high));
}

/* statistics_cells_json() */
static json_t *entry_json(const all_results *all, int64_t cell, const void *results) {
    const likelihood *l = (const likelihood *)results + cell;
    const estimate *bits = l->bits;
    json_t *curve = json_array();
    for (int64_t k = 0; k < l->groups; k++) {
        json_t *point = estimate_json(&bits[LIKELIHOOD_ROWS + k]);
        json_object_set_new(point, "from", json_integer(l->first[k]));
        json_object_set_new(point, "to", json_integer(l->first[k + 1] - 1));
        json_array_append_new(curve, point);
    }
    return json_pack(
        "{s:I, s:I, s:s, s:I, s:I, s:o, s:o, s:o, s:{s:o, s:o, s:o}, s:o}", "labelled",
        (json_int_t)all->labelled[all->sizes - 1 - cell / all->sets], "set",
        (json_int_t)(cell % all->sets), "variance",
        named_table_name(&variance_kinds, (int)all->study->diffusion.variance), "n_slices",
        (json_int_t)l->slices, "n_patients", (json_int_t)l->patients, "value",
        log_number(bits[LIKELIHOOD_TOTAL].value), "low", log_number(bits[LIKELIHOOD_TOTAL].low),
        "high", log_number(bits[LIKELIHOOD_TOTAL].high), "terms", "prior",
        estimate_json(&bits[LIKELIHOOD_PRIOR]), "steps", estimate_json(&bits[LIKELIHOOD_STEPS]),
        "decoder", estimate_json(&bits[LIKELIHOOD_DECODER]), "curve", curve);
}

status likelihood_json(const all_results *all, const likelihood *results, json_t *metrics) {
    if (likelihood_count(all->study) == 0) return ST_OK;
    return statistics_cells_json(all, "likelihood", entry_json, results, metrics);
}
