/* The ranks share the batches; sums over the slices are made in their order, so that any number of
 * ranks has the same bits. */
#include "pipeline/distil/flow_straightness.h"

#include "io/alloc.h"
#include "model/sum.h"
#include "pipeline/common/denoiser.h"

#include <inttypes.h>
#include <string.h>

#define RECORD "straightness.json"
static const char KIND[] = "straightness";

typedef struct measurement {
    const pairs *pairs;
    denoiser *denoiser;
    int64_t batch, pixels;
    pair_source *sources; /* [batch] */
    flow_sample *samples; /* [batch] */
    float *z;             /* [batch][pixels] */
    double *found;        /* [pairs->held] */
} measurement;

/* Local. */
static status measurement_open(const pairs *p, measurement *out) {
    status st = ST_OK;
    measurement *m = out;
    const distil_inputs *in = p->in;
    *m = (measurement){
        .pairs = p, .batch = in->stage->study->generate.batch, .pixels = p->size * p->size};
    TRY(denoiser_open(in->stage, store_labels(in->data->store), m->batch, &m->denoiser));
    TRY(array_alloc(&m->sources, m->batch, sizeof *m->sources, "slices"));
    TRY(array_alloc(&m->samples, m->batch, sizeof *m->samples, "slices"));
    TRY(array_alloc(&m->z, m->batch * m->pixels, sizeof(float), "slices"));
    TRY(array_alloc(&m->found, p->held, sizeof(double), "slices"));
    for (int64_t b = 0; b < m->batch; b++) {
        TRY(array_alloc(&m->sources[b].slice.image, m->pixels, sizeof(float), "a slice"));
        TRY(array_alloc(&m->sources[b].slice.labels, m->pixels, 1, "a label map"));
    }
done:
    return st;
}

static void measurement_close(measurement *m) {
    denoiser_close(m->denoiser);
    for (int64_t b = 0; m->sources && b < m->batch; b++) {
        free(m->sources[b].slice.image);
        free(m->sources[b].slice.labels);
    }
    free(m->sources);
    free(m->samples);
    free(m->z);
    free(m->found);
}

/* Measures `count` validation pairs from number `first` on. Local. */
static status measure_batch(measurement *m, int64_t first, int64_t count) {
    status st = ST_OK;
    const pairs *p = m->pairs;
    for (int64_t b = 0; b < count; b++) {
        const int64_t k = p->count + first + b;
        TRY(pairs_source(p, k, &m->sources[b]));
        m->samples[b] = (flow_sample){&m->sources[b].slice, m->sources[b].conditional};
        pairs_noise(p, k, m->z + b * m->pixels);
    }
    TRY(denoiser_follow(m->denoiser, m->samples, count, p->in->stage->study->distil.pair_steps,
                        m->z, m->found + first));
done:
    return st;
}

/* The mean over the validation pairs for the present parameters. Collective. */
static status measure(measurement *m, double *mean) {
    status st = ST_OK;
    const comm *ranks = m->pairs->in->stage->comm;
    const int64_t held = m->pairs->held;
    memset(m->found, 0, (size_t)held * sizeof *m->found);
    for (int64_t first = comm_rank(ranks) * m->batch; first < held && st == ST_OK;
         first += comm_size(ranks) * m->batch)
        st = measure_batch(m, first, held - first < m->batch ? held - first : m->batch);
    TRY(comm_agree(ranks, st));
    TRY(comm_sum_f64(ranks, m->found, held));
    *mean = tree_sum_f64(m->found, held) / (double)held;
done:
    return st;
}

/* Local; called on rank 0. */
static status publish(const pairs *p, const char *folder, const char *fingerprint, double before,
                      double after) {
    status st = ST_OK;
    manifest m = {.kind = "straightness"};
    char path[PATH_SIZE], *text = NULL;
    json_t *record = json_pack(
        "{s:f, s:f, s:I, s:I, s:s}", "before", before, "after", after, "slices",
        (json_int_t)p->held, "steps", (json_int_t)p->in->stage->study->distil.pair_steps,
        "definition",
        "mean over the paths from noise z_1 to sample z_0, and over the pixels, of the integral "
        "over t of ((z_1 - z_0) - v(z_t, t))^2; 0: straight");
    if (record) text = json_dumps(record, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    if (!text) TRY(status_memory(RECORD, 0));
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", fingerprint);
    TRY(file_make_dirs(folder));
    TRY(manifest_remove(folder));
    TRY(path_join(path, folder, RECORD));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(manifest_add_file(&m, folder, RECORD));
    TRY(manifest_write(&m, folder));
done:
    json_decref(record);
    manifest_free(&m);
    free(text);
    return st;
}

/* Collective. */
static status measure_both(const pairs *p, const float *ema, double *before, double *after) {
    status st = ST_OK;
    measurement m = {0};
    const distil_inputs *in = p->in;
    st = measurement_open(p, &m);
    if (st == ST_OK) st = denoiser_load(m.denoiser, in->teacher, in->teacher_step);
    TRY(comm_agree(in->stage->comm, st));
    TRY(measure(&m, before));
    params *held = denoiser_params(m.denoiser);
    memcpy(held->value, ema, (size_t)held->total * sizeof *ema);
    denoiser_params_changed(m.denoiser);
    TRY(measure(&m, after));
done:
    measurement_close(&m);
    return st;
}

status flow_straightness_publish(const pairs *p, const char *folder, const char *fingerprint,
                                 const float *ema) {
    status st = ST_OK;
    const stage_context *s = p->in->stage;
    char place[PATH_SIZE];
    bool current = false;
    double before = 0, after = 0;
    TRY(comm_agree(s->comm, path_join(place, folder, KIND)));
    TRY(stage_is_current(s, place, KIND, fingerprint, &current));
    if (current) goto done;
    TRY(measure_both(p, ema, &before, &after));
    st = comm_rank(s->comm) == 0 ? publish(p, place, fingerprint, before, after) : ST_OK;
    TRY(comm_agree(s->comm, st));
    log_info(s->log,
             "distil: straightness %.4g before, %.4g after (0: straight; %" PRId64
             " validation slices)",
             before, after, p->held);
    log_event(s->log, "straightness", json_pack("{s:f, s:f}", "before", before, "after", after));
done:
    return st;
}
