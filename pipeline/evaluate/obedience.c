/* Samples slices from captions on all ranks of a group and measures what they show. */
#include "pipeline/evaluate/obedience.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/part_file.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/sampled_denoiser.h"
#include "pipeline/data/slice_caption.h"
#include "pipeline/evaluate/obedience_match.h"
#include "pipeline/evaluate/phase.h"
#include "pipeline/segmenter/referee.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { LEAST_PIXELS = 4 }; /* of a structure */

typedef struct measurement {
    const comparison *of;
    const study *study;
    const label_set *labels;
    obedience_names names;
    slices *slices;
    captioner *captions;
    segmenter referee;
    phases phases;
    denoiser *denoiser;
    int64_t n, batch, pixels;
    int64_t first, count;          /* slices of this rank */
    shown *asked;                  /* [n] */
    shown *got;                    /* [n] */
    char (*caption)[CAPTION_SIZE]; /* [count] */
    slice_sample *conditions;      /* [batch]; their maps are `map` */
    uint64_t *index;               /* [batch] */
    float *images;                 /* [batch][pixels] */
    uint8_t *map, *segments;       /* [pixels], [batch][pixels] */
    obedience *result;
} measurement;

double obedience_scale(int row) {
    static const double scales[OBEY_ROWS] = {0, 1, 2, 4};
    return scales[row];
}

const char *obedience_name(obedience_attribute a) {
    static const char *const names[OBEY_ATTRIBUTES] = {[OBEY_STRUCTURES] = "structures",
                                                       [OBEY_SIDES] = "sides",
                                                       [OBEY_SIZES] = "sizes",
                                                       [OBEY_PHASE] = "phase",
                                                       [OBEY_NOISE] = "noise"};
    return names[a];
}

int64_t obedience_count(const study *s) { return s->evaluate.obedience > 0 ? cells_count(s) : 0; }

/* Fingerprint of the result of a cell, and its path. Local. */
static status describe(const comparison *c, char path[PATH_SIZE], char hex[SHA256_HEX]) {
    static const char *const keys[] = {"seed", "engine", "data", "evaluate.obedience"};
    status st = ST_OK;
    char referee[SHA256_HEX], upstream[3 * SHA256_HEX + 32];
    TRY(published_seal(&c->cell.stage, &referee_published, referee));
    snprintf(upstream, sizeof upstream, "obedience " OBEDIENCE_FORM " %s %s %s",
             store_manifest(c->real)->seal, store_manifest(c->stores[SOURCE_SYNTHETIC])->seal,
             referee);
    TRY(study_fingerprint(&c->cell.study, keys, sizeof keys / sizeof *keys, upstream, hex));
    TRY(path_join(path, c->parts, "obedience.part"));
done:
    return st;
}

status obedience_read(const comparison *c, obedience *out) {
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    status st = describe(c, path, fingerprint);
    return st == ST_OK ? part_read(path, fingerprint, out, sizeof *out) : st;
}

/* Local. */
static status open_slices(const comparison *c, obedience *result, measurement *out) {
    status st = ST_OK;
    measurement *m = out;
    const study *s = &c->cell.study;
    const comm *ranks = c->cell.stage.comm;
    const slice_source test = {c->real, c->split.runs[SPLIT_TEST], c->split.run_count[SPLIT_TEST]};
    m->of = c;
    m->study = s;
    m->labels = store_labels(c->real);
    obedience_names_of(m->labels, &m->names);
    m->result = result;
    m->batch = s->generate.batch;
    m->pixels = s->data.size * s->data.size;
    TRY(slices_open(s, &test, 1, &m->slices));
    m->n = slices_count(m->slices);
    if (m->n > s->evaluate.obedience) m->n = s->evaluate.obedience;
    result->slices = m->n;
    m->first = m->n * comm_rank(ranks) / comm_size(ranks);
    m->count = m->n * (comm_rank(ranks) + 1) / comm_size(ranks) - m->first;
    TRY(captioner_open(s, m->labels, NULL, &m->captions));
    TRY(referee_open(&c->cell.stage, m->labels, &m->referee));
    TRY(phases_measure(s, c->real, &c->split, &m->phases));
    TRY(array_alloc(&m->asked, m->n, sizeof *m->asked, "facts of slices"));
    TRY(array_alloc(&m->got, m->n, sizeof *m->got, "facts of slices"));
    TRY(array_alloc(&m->caption, m->count, sizeof *m->caption, "captions"));
    TRY(array_alloc(&m->conditions, m->batch, sizeof *m->conditions, "conditions"));
    TRY(array_alloc(&m->index, m->batch, sizeof *m->index, "sample indices"));
    TRY(array_alloc(&m->images, m->batch * m->pixels, sizeof(float), "slices"));
    TRY(array_alloc(&m->segments, m->batch * m->pixels, 1, "label maps"));
    TRY(array_alloc(&m->map, m->pixels, 1, "a label map"));
done:
    return st;
}

static void close_measurement(measurement *m) {
    slices_close(m->slices);
    captioner_close(m->captions);
    segmenter_close(&m->referee);
    denoiser_close(m->denoiser);
    free(m->asked);
    free(m->got);
    free(m->caption);
    free(m->conditions);
    free(m->index);
    free(m->images);
    free(m->segments);
    free(m->map);
}

/* Takes structures of a few pixels out of a label map; there[LABELS_MAX]: those that stay. */
static void clean(int labels, uint8_t *map, int64_t pixels, bool *there) {
    int64_t count[LABELS_MAX] = {0};
    for (int64_t i = 0; i < pixels; i++) count[map[i]]++;
    for (int k = 0; k < LABELS_MAX; k++) there[k] = k < labels && count[k] >= LEAST_PIXELS;
    for (int64_t i = 0; i < pixels; i++)
        if (!there[map[i]]) map[i] = 0;
}

/* The number in the test set of slice i of n evenly spaced ones. */
static int64_t number_of(const measurement *m, int64_t i) {
    return i * slices_count(m->slices) / m->n;
}

/* What an image with this label map, which is cleaned, shows; `like` has its spacing and class.
 * Local. */
static status look(measurement *m, const slice_sample *like, float *image, uint8_t *map,
                   shown *out) {
    slice_sample slice = *like;
    slice.image = image;
    slice.labels = map;
    clean(m->labels->count, map, m->pixels, out->labels);
    return captioner_facts(m->captions, &slice, &out->facts);
}

/* What the referee and the HU say of `count` images; conditions[]: their spacing. Local. */
static status look_at(measurement *m, int64_t first, int64_t count) {
    status st = ST_OK;
    TRY(segmenter_labels(&m->referee, m->images, count, m->segments, NULL));
    for (int64_t b = 0; b < count; b++) {
        shown *got = &m->got[first + b];
        float *image = m->images + b * m->pixels;
        uint8_t *segments = m->segments + b * m->pixels;
        TRY(look(m, &m->conditions[b], image, segments, got));
        got->facts.contrast = phases_tell(&m->phases, image, segments, m->pixels);
    }
done:
    return st;
}

/* Reads this rank's slices: what is asked for, and (the row of real slices) what is seen in them.
 * Local. */
static status ask(measurement *m) {
    status st = ST_OK;
    const uint64_t seed = (uint64_t)m->study->seed;
    for (int64_t at = 0; at < m->count; at += m->batch) {
        const int64_t left = m->count - at, count = left < m->batch ? left : m->batch;
        for (int64_t b = 0; b < count; b++) {
            const int64_t i = m->first + at + b;
            shown *asked = &m->asked[i];
            slice_sample *slice = &m->conditions[b];
            *slice = (slice_sample){.image = m->images + b * m->pixels, .labels = m->map};
            TRY(slices_get(m->slices, number_of(m, i), slice));
            asked->patient = m->got[i].patient = m->of->patient_of[slice->volume];
            TRY(look(m, slice, slice->image, m->map, asked));
            caption_write(&asked->facts, seed, (uint64_t)i, CAPTION_OBEY, m->caption[at + b]);
        }
        TRY(look_at(m, m->first + at, count));
        activity_progress();
    }
done:
    return st;
}

/* Samples the slices at.. of this rank and looks at them. Local. */
static status sample(measurement *m, int64_t at) {
    status st = ST_OK;
    const int64_t left = m->count - at, count = left < m->batch ? left : m->batch;
    for (int64_t b = 0; b < count; b++) {
        const int64_t i = m->first + at + b;
        slice_sample *c = &m->conditions[b];
        *c = (slice_sample){.image = m->images, .labels = m->map};
        TRY(slices_get(m->slices, number_of(m, i), c)); /* for its spacing */
        c->image = NULL;
        c->caption = m->caption[at + b];
        m->index[b] = (uint64_t)i << 20; /* each a volume of its own */
    }
    TRY(denoiser_sample(m->denoiser, m->conditions, m->index, count, m->images));
    TRY(look_at(m, m->first + at, count));
done:
    return st;
}

/* The facts of all ranks. Collective. */
static status share(const measurement *m, shown *facts) {
    status st = ST_OK;
    const comm *ranks = m->of->cell.stage.comm;
    const int64_t each = (int64_t)sizeof *facts;
    void *all = NULL;
    int64_t bytes = 0;
    TRY(comm_all_gather(ranks, facts + m->first, m->count * each, &all, &bytes, NULL));
    if (bytes == m->n * each)
        memcpy(facts, all, (size_t)bytes);
    else
        st = status_fail(ST_INTERNAL, "the ranks do not have the facts of all slices");
    TRY(comm_agree(ranks, st));
done:
    free(all);
    return st;
}

/* Makes estimates of a row from what was asked for and what is there. Local. */
static status estimate_row(const measurement *m, int row) {
    status st = ST_OK;
    obedience_table t = {.count = 0};
    for (int a = 0; a < OBEY_ATTRIBUTES; a++) {
        obedience_table_free(&t);
        TRY(obedience_table_make(&m->names, m->asked, m->got, m->n, (obedience_attribute)a,
                                 m->of->patients, &t));
        if (row == 0) TRY(obedience_find_blind(&t, m->result->blind[a]));
        obedience_leave_out(&t, m->result->blind[a]);
        TRY(obedience_estimate(&t, (uint64_t)m->study->seed, &m->result->value[row][a]));
        activity_progress();
    }
done:
    obedience_table_free(&t);
    return st;
}

/* Samples all slices with the guidance of a row. Collective. */
static status sample_row(measurement *m, int row) {
    status st = ST_OK;
    const stage_context *stage = &m->of->cell.stage;
    const int64_t most = (m->n + comm_size(stage->comm) - 1) / comm_size(stage->comm);
    denoiser_words(m->denoiser, obedience_scale(row));
    for (int64_t at = 0; at < most; at += m->batch) {
        bool stop = false;
        if (at < m->count) st = sample(m, at);
        TRY(comm_agree(stage->comm, st));
        TRY(stage_should_stop(stage, &stop));
        if (stop) TRY(status_fail(ST_STOPPED, "stopped; run again to resume"));
    }
done:
    return st;
}

/* Number of patients of the slices. */
static int64_t patients_in(const measurement *m) {
    int64_t found = 0;
    for (int64_t p = 0; p < m->of->patients; p++) {
        bool any = false;
        for (int64_t i = 0; i < m->n; i++) any |= m->asked[i].patient == p;
        found += any;
    }
    return found;
}

/* All rows. Collective. */
static status measure_rows(measurement *m) {
    status st = ST_OK;
    const comm *ranks = m->of->cell.stage.comm;
    TRY(comm_agree(ranks, ask(m)));
    TRY(share(m, m->asked));
    for (int row = 0; row < OBEY_ROWS; row++) {
        if (row > 0) TRY(sample_row(m, row));
        TRY(share(m, m->got));
        TRY(comm_agree(ranks, comm_rank(ranks) == 0 ? estimate_row(m, row) : ST_OK));
    }
    m->result->patients = patients_in(m);
done:
    return st;
}

status obedience_run(const comparison *c) {
    status st = ST_OK;
    const comm *ranks = c->cell.stage.comm;
    const double start = log_seconds();
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    measurement m = {.n = 0};
    obedience result;
    memset(&result, 0, sizeof result); /* the bytes between members are written, too */
    st = describe(c, path, fingerprint);
    if (st == ST_OK) st = open_slices(c, &result, &m);
    if (st == ST_OK) st = file_make_dirs(c->parts);
    TRY(comm_agree(ranks, st));
    TRY(sampled_denoiser_open(&c->cell.stage, c->real, c->stores[SOURCE_SYNTHETIC], m.batch,
                              &m.denoiser));
    TRY(measure_rows(&m));
    if (comm_rank(ranks) == 0) {
        result.seconds = (log_seconds() - start) * comm_size(ranks) * omp_get_max_threads();
        st = part_write(path, fingerprint, &result, sizeof result);
    }
    TRY(comm_agree(ranks, st));
done:
    close_measurement(&m);
    return st;
}

/* New reference; NULL: out of memory. Local. */
static json_t *row_json(const obedience *o, int row) {
    json_t *all = json_object();
    if (row > 0) json_object_set_new(all, "guidance", json_real(obedience_scale(row)));
    for (int a = 0; a < OBEY_ATTRIBUTES; a++) {
        const obedience_value *v = &o->value[row][a];
        json_object_set_new(
            all, obedience_name((obedience_attribute)a),
            json_pack("{s:o, s:o, s:o, s:o, s:I}", "value", log_number(v->accuracy.value), "low",
                      log_number(v->accuracy.low), "high", log_number(v->accuracy.high), "chance",
                      log_number(v->chance), "n_patients", (json_int_t)v->accuracy.patients));
    }
    return all;
}

/* Names of items that are left out, a list for each attribute that has some: new reference. Local.
 */
static json_t *left_out_json(const label_set *labels, const obedience *o) {
    json_t *all = json_object();
    obedience_names names;
    obedience_names_of(labels, &names);
    for (int a = 0; a < OBEY_ATTRIBUTES; a++) {
        const char *name = obedience_name((obedience_attribute)a);
        json_t *list = json_array();
        for (int item = 0; item < LABELS_MAX; item++)
            if (o->blind[a][item])
                json_array_append_new(list, json_string(a < OBEY_PHASE ? names.name[item] : name));
        if (json_array_size(list) > 0) json_object_set(all, name, list);
        json_decref(list);
    }
    return all;
}

/* statistics_cells_json() */
static json_t *entry_json(const all_results *all, int64_t cell, const void *results) {
    const obedience *o = (const obedience *)results + cell;
    json_t *text = json_array();
    for (int row = 1; row < OBEY_ROWS; row++) json_array_append_new(text, row_json(o, row));
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "labelled",
                     (json_int_t)all->labelled[all->sizes - 1 - cell / all->sets], "set",
                     (json_int_t)(cell % all->sets), "n_slices", (json_int_t)o->slices,
                     "n_patients", (json_int_t)o->patients, "real", row_json(o, 0), "text", text,
                     "left_out", left_out_json(all->labels, o));
}

status obedience_json(const all_results *all, const obedience *results, json_t *metrics) {
    if (obedience_count(all->study) == 0) return ST_OK;
    return statistics_cells_json(all, "obedience", entry_json, results, metrics);
}
