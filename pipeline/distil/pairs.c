/* Draws pairs file by file, publishes them, and reads them with one file in memory. */
#include "pipeline/distil/pairs.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/part_file.h"
#include "model/rng.h"
#include "pipeline/common/denoiser.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Batches of the sampler in a file; bytes of a name. */
enum { PART_BATCHES = 2, NAME = 32 };

static const char KIND[] = "pairs";

static int64_t part_pairs(const pairs *p, int64_t part) {
    const int64_t left = p->count + p->held - part * p->part;
    return left < p->part ? left : p->part;
}

static void part_name(int64_t part, const char *ending, char name[NAME]) {
    snprintf(name, NAME, "pairs-%07" PRId64 "%s", part, ending);
}

/* Local. */
static status describe(pairs *p) {
    static const char *const keys[] = {"distil.pairs", "distil.pair_steps", "generate.batch"};
    status st = ST_OK;
    const stage_context *s = p->in->stage;
    char upstream[SHA256_HEX + 16], name[64];
    snprintf(upstream, sizeof upstream, "pairs %s", p->in->teacher_seal);
    TRY(study_fingerprint(s->study, keys, sizeof keys / sizeof *keys, upstream, p->fingerprint));
    snprintf(name, sizeof name, "pairs/%.16s", p->fingerprint);
    TRY(stage_path(s, name, p->folder));
done:
    return st;
}

status pairs_open(const distil_inputs *in, pairs *out) {
    status st = ST_OK;
    pairs *p = out;
    const study *s = in->stage->study;
    const int64_t held = slices_count(in->data->validation);
    *p = (pairs){.in = in,
                 .count = s->distil.pairs,
                 .held = held < PAIRS_HELD ? held : PAIRS_HELD,
                 .first = s->train.steps * s->train.batch,
                 .part = PART_BATCHES * s->generate.batch,
                 .size = s->data.size,
                 .open = -1};
    p->mixture = mixture_of(s->train.batch, s->train.steps + s->distil.pairs,
                            in->data->unlabelled ? s->train.unlabelled : 0, 0);
    p->parts = (p->count + p->held + p->part - 1) / p->part;
    const int64_t values = p->part * p->size * p->size;
    TRY(describe(p));
    TRY(array_alloc(&p->noise, values, sizeof(float), "pairs"));
    TRY(array_alloc(&p->sample, values, sizeof(float), "pairs"));
    TRY(array_alloc(&p->straightness, p->part, sizeof(float), "pairs"));
done:
    return st;
}

void pairs_close(pairs *p) {
    free(p->noise);
    free(p->sample);
    free(p->straightness);
    *p = (pairs){0};
}

status pairs_source(const pairs *p, int64_t k, pair_source *out) {
    const training_data *data = p->in->data;
    const study *s = p->in->stage->study;
    int64_t number;
    if (k >= p->count) {
        out->conditional = true;
        return slices_get(data->validation,
                          (k - p->count) * slices_count(data->validation) / p->held, &out->slice);
    }
    const bool unlabelled = mixture_at(&p->mixture, p->first + k, &number);
    rng_stream drop = rng_open((uint64_t)s->seed, RNG_CONDITION, (uint64_t)(p->first + k), 0);
    out->conditional =
        rng_uniform(&drop) >= s->train.condition_drop && !(unlabelled && !data->pseudo);
    return slices_draw(unlabelled ? data->unlabelled : data->train, (uint64_t)s->seed, number,
                       &out->slice);
}

void pairs_noise(const pairs *p, int64_t k, float *noise) {
    const uint64_t seed = (uint64_t)p->in->stage->study->seed;
    const bool held = k >= p->count;
    rng_stream r = rng_open(seed, held ? RNG_VALIDATE : RNG_NOISE,
                            (uint64_t)(held ? k - p->count : p->first + k), 0);
    rng_fill_normal(&r, noise, p->size * p->size);
}

/* The arrays of a file of n pairs. */
static void arrays_of(const pairs *p, int64_t n, checkpoint_array arrays[3]) {
    const checkpoint_array all[3] = {
        {.name = "noise", .rank = 3, .shape = {n, p->size, p->size}, .at = p->noise},
        {.name = "sample", .rank = 3, .shape = {n, p->size, p->size}, .at = p->sample},
        {.name = "straightness", .rank = 1, .shape = {n}, .at = p->straightness}};
    memcpy(arrays, all, sizeof all);
}

/* ---- making ---- */

/* What drawing needs; a batch of the sampler. */
typedef struct drawing {
    pairs *pairs;
    denoiser *denoiser;
    int64_t batch;
    pair_source *sources; /* [batch] */
    flow_sample *samples; /* [batch] */
    double *straightness; /* [batch] */
} drawing;

/* Local. */
static status drawing_open(pairs *p, drawing *out) {
    status st = ST_OK;
    drawing *d = out;
    const distil_inputs *in = p->in;
    const int64_t pixels = p->size * p->size;
    *d = (drawing){.pairs = p, .batch = in->stage->study->generate.batch};
    TRY(denoiser_open(in->stage, store_labels(in->data->store), d->batch, &d->denoiser));
    TRY(denoiser_load(d->denoiser, in->teacher, in->teacher_step));
    TRY(array_alloc(&d->sources, d->batch, sizeof *d->sources, "slices"));
    TRY(array_alloc(&d->samples, d->batch, sizeof *d->samples, "slices"));
    TRY(array_alloc(&d->straightness, d->batch, sizeof(double), "slices"));
    for (int64_t b = 0; b < d->batch; b++) {
        TRY(array_alloc(&d->sources[b].slice.image, pixels, sizeof(float), "a slice"));
        TRY(array_alloc(&d->sources[b].slice.labels, pixels, 1, "a label map"));
    }
done:
    return st;
}

static void drawing_close(drawing *d) {
    denoiser_close(d->denoiser);
    for (int64_t b = 0; d->sources && b < d->batch; b++) {
        free(d->sources[b].slice.image);
        free(d->sources[b].slice.labels);
    }
    free(d->sources);
    free(d->samples);
    free(d->straightness);
}

/* Draws `count` <= batch pairs from number `at` of a file on, whose first pair is `first`. Local.
 */
static status draw_batch(drawing *d, int64_t first, int64_t at, int64_t count) {
    status st = ST_OK;
    pairs *p = d->pairs;
    const int64_t pixels = p->size * p->size;
    float *sample = p->sample + at * pixels;
    for (int64_t b = 0; b < count; b++) {
        TRY(pairs_source(p, first + at + b, &d->sources[b]));
        d->samples[b] = (flow_sample){&d->sources[b].slice, d->sources[b].conditional};
        pairs_noise(p, first + at + b, sample + b * pixels);
    }
    memcpy(p->noise + at * pixels, sample, (size_t)(count * pixels) * sizeof *sample);
    TRY(denoiser_follow(d->denoiser, d->samples, count, p->in->stage->study->distil.pair_steps,
                        sample, d->straightness));
    for (int64_t b = 0; b < count; b++) p->straightness[at + b] = (float)d->straightness[b];
done:
    return st;
}

/* Whether an earlier run has finished the file: beside it is a part with its hash. Local. */
static bool is_finished(const pairs *p, const char *path, const char *mark) {
    char found[SHA256_HEX], wanted[SHA256_HEX];
    return part_read(mark, p->fingerprint, wanted, sizeof wanted) == ST_OK &&
           file_sha256(path, found) == ST_OK && memcmp(found, wanted, sizeof found) == 0;
}

/* Draws the pairs of a file. Local. */
static status make_part(drawing *d, int64_t part) {
    status st = ST_OK;
    pairs *p = d->pairs;
    const int64_t n = part_pairs(p, part);
    char name[NAME], path[PATH_SIZE], mark[PATH_SIZE], sha256[SHA256_HEX];
    checkpoint_array arrays[3];
    part_name(part, ".h5", name);
    TRY(path_join(path, p->folder, name));
    part_name(part, ".part", name);
    TRY(path_join(mark, p->folder, name));
    if (is_finished(p, path, mark)) goto done;
    for (int64_t at = 0; at < n; at += d->batch)
        TRY(draw_batch(d, part * p->part, at, n - at < d->batch ? n - at : d->batch));
    arrays_of(p, n, arrays);
    TRY(checkpoint_write_arrays(path, arrays, 3));
    TRY(file_sha256(path, sha256));
    TRY(part_write(mark, p->fingerprint, sha256, sizeof sha256));
    activity_saved(true);
done:
    return st;
}

/* Makes all files, each on one rank. Collective. */
static status make_parts(drawing *d) {
    status st = ST_OK;
    const stage_context *s = d->pairs->in->stage;
    const int64_t rank = comm_rank(s->comm), ranks = comm_size(s->comm);
    for (int64_t first = 0; first < d->pairs->parts; first += ranks) {
        bool stop = false;
        if (first + rank < d->pairs->parts) st = make_part(d, first + rank);
        TRY(comm_agree(s->comm, st));
        activity_step(first);
        const int64_t made = first + ranks;
        log_progress_set(s->log, made < d->pairs->parts ? made : d->pairs->parts, "files of pairs");
        TRY(stage_should_stop(s, &stop));
        if (stop)
            TRY(status_fail(ST_STOPPED, "stopped; the pairs drawn so far are kept: run again to "
                                        "resume"));
    }
done:
    return st;
}

/* Publishes the files. Local; called on rank 0. */
static status publish(const pairs *p) {
    status st = ST_OK;
    manifest m = {.kind = "pairs"};
    char name[NAME], path[PATH_SIZE];
    memcpy(m.fingerprint, p->fingerprint, sizeof m.fingerprint);
    m.detail = json_pack("{s:I, s:I, s:I, s:I, s:s}", "pairs", (json_int_t)p->count, "held",
                         (json_int_t)p->held, "size", (json_int_t)p->size, "steps",
                         (json_int_t)p->in->stage->study->distil.pair_steps, "checkpoint",
                         p->in->teacher_seal);
    if (!m.detail) TRY(status_memory("the manifest of the pairs", 0));
    for (int64_t i = 0; i < p->parts; i++) {
        part_name(i, ".h5", name);
        TRY(manifest_add_file(&m, p->folder, name));
    }
    TRY(manifest_write(&m, p->folder));
    for (int64_t i = 0; i < p->parts; i++) {
        part_name(i, ".part", name);
        TRY(path_join(path, p->folder, name));
        TRY(file_remove_tree(path));
    }
done:
    manifest_free(&m);
    return st;
}

/* An empty place, or one with files of an interrupted run. Local; called on rank 0. */
static status clear_place(const pairs *p) {
    status st = ST_OK;
    TRY(file_make_dirs(p->folder));
    TRY(manifest_remove(p->folder));
    TRY(file_remove_temporaries(p->folder));
done:
    return st;
}

status pairs_make(pairs *p) {
    status st = ST_OK;
    const stage_context *s = p->in->stage;
    bool current = false;
    drawing d = {0};
    TRY(stage_is_current(s, p->folder, KIND, p->fingerprint, &current));
    if (current) goto done;
    log_info(s->log,
             "distil: %" PRId64 " pairs of noise and sample, and %" PRId64
             " of validation slices, in %s",
             p->count, p->held, p->folder);
    TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? clear_place(p) : ST_OK));
    TRY(comm_agree(s->comm, drawing_open(p, &d)));
    log_progress_begin(s->log, "pairs", p->parts);
    st = make_parts(&d);
    log_progress_end(s->log);
    if (st != ST_OK) goto done;
    TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? publish(p) : ST_OK));
done:
    drawing_close(&d);
    return st;
}

status pairs_mend(pairs *p) {
    status st = ST_OK;
    const comm *c = p->in->stage->comm;
    char path[PATH_SIZE];
    int64_t published = 0;
    TRY(comm_agree(c, path_join(path, p->folder, "manifest.json")));
    if (comm_rank(c) == 0) published = file_exists(path);
    TRY(comm_broadcast(c, &published, sizeof published, 0));
    if (published) TRY(pairs_make(p));
done:
    return st;
}

/* ---- reading ---- */

/* Reads a file, whose hash is that of the manifest. Local. */
static status read_part(pairs *p, int64_t part) {
    status st = ST_OK;
    manifest m = {0};
    char path[PATH_SIZE];
    checkpoint_array arrays[3];
    p->open = -1;
    TRY(manifest_read(p->folder, KIND, &m));
    if (m.count != p->parts)
        TRY(status_fail(ST_INTEGRITY, "%s holds %" PRId64 " files, not %" PRId64, p->folder,
                        m.count, p->parts));
    TRY(manifest_check_file(&m, p->folder, part));
    TRY(path_join(path, p->folder, m.files[part].name));
    arrays_of(p, part_pairs(p, part), arrays);
    TRY(checkpoint_read_arrays(path, arrays, 3));
    p->open = part;
done:
    manifest_free(&m);
    return st;
}

status pairs_get(pairs *p, int64_t k, const float **noise, const float **sample) {
    status st = ST_OK;
    const int64_t at = k % p->part * p->size * p->size;
    if (p->open != k / p->part) TRY(read_part(p, k / p->part));
    *noise = p->noise + at;
    *sample = p->sample + at;
done:
    return st;
}
