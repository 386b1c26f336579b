/* Draws the pairs of a file, and reads them with one file in memory. */
#include "pipeline/distil/pairs.h"

#include "io/alloc.h"
#include "model/rng.h"
#include "pipeline/common/denoiser.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PART_BATCHES = 2 }; /* batches of the sampler in a file */

static int64_t part_pairs(const pairs *p, int64_t part) {
    const int64_t left = p->count + p->held - part * p->part;
    return left < p->part ? left : p->part;
}

/* Local. */
static status describe(pairs *p) {
    static const char *const keys[] = {"distil.pairs", "distil.pair_steps", "generate.batch"};
    status st = ST_OK;
    const stage_context *s = p->in->stage;
    char upstream[SHA256_HEX + 16], name[64];
    snprintf(upstream, sizeof upstream, "pairs %s", p->in->teacher_seal);
    TRY(study_fingerprint(s->study, keys, sizeof keys / sizeof *keys, upstream,
                          p->set.fingerprint));
    snprintf(name, sizeof name, "pairs/%.16s", p->set.fingerprint);
    TRY(stage_path(s, name, p->set.folder));
done:
    return st;
}

status pairs_open(const distil_inputs *in, pairs *out) {
    status st = ST_OK;
    pairs *p = out;
    const study *s = in->stage->study;
    const int64_t held = slices_count(in->data->validation);
    *p = (pairs){.in = in,
                 .set = {.stage = in->stage, .kind = "pairs"},
                 .count = s->distil.pairs,
                 .held = held < PAIRS_HELD ? held : PAIRS_HELD,
                 .first = s->train.steps * s->train.batch,
                 .part = PART_BATCHES * s->generate.batch,
                 .size = s->data.size,
                 .open = -1};
    p->mixture = mixture_of(s->train.batch, s->train.steps + s->distil.pairs,
                            in->data->unlabelled ? s->train.unlabelled : 0, 0);
    p->set.files = (p->count + p->held + p->part - 1) / p->part;
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

/* file_maker.open */
static status drawing_open(void *context) {
    status st = ST_OK;
    drawing *d = context;
    const distil_inputs *in = d->pairs->in;
    const int64_t pixels = d->pairs->size * d->pairs->size;
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

/* Draws the pairs of a file (file_maker.make). */
static status make_part(void *context, int64_t part, const char *path) {
    status st = ST_OK;
    drawing *d = context;
    pairs *p = d->pairs;
    const int64_t n = part_pairs(p, part);
    checkpoint_array arrays[3];
    for (int64_t at = 0; at < n; at += d->batch)
        TRY(draw_batch(d, part * p->part, at, n - at < d->batch ? n - at : d->batch));
    arrays_of(p, n, arrays);
    TRY(checkpoint_write_arrays(path, arrays, 3));
done:
    return st;
}

status pairs_make(pairs *p) {
    drawing d = {.pairs = p, .batch = p->in->stage->study->generate.batch};
    char what[96];
    snprintf(what, sizeof what,
             "distil: %" PRId64 " pairs of noise and sample, and %" PRId64 " of validation slices",
             p->count, p->held);
    const file_maker maker = {.open = drawing_open, .make = make_part, .context = &d, .what = what};
    const status st =
        file_set_make(&p->set, &maker,
                      json_pack("{s:I, s:I, s:I, s:I, s:s}", "pairs", (json_int_t)p->count, "held",
                                (json_int_t)p->held, "size", (json_int_t)p->size, "steps",
                                (json_int_t)p->in->stage->study->distil.pair_steps, "checkpoint",
                                p->in->teacher_seal));
    drawing_close(&d);
    return st;
}

status pairs_mend(pairs *p) {
    bool published = false;
    const status st = file_set_is_there(&p->set, &published);
    return st == ST_OK && published ? pairs_make(p) : st;
}

/* ---- reading ---- */

/* Reads a file. Local. */
static status read_part(pairs *p, int64_t part) {
    status st = ST_OK;
    char path[PATH_SIZE];
    checkpoint_array arrays[3];
    p->open = -1;
    TRY(file_set_check(&p->set, part, path));
    arrays_of(p, part_pairs(p, part), arrays);
    TRY(checkpoint_read_arrays(path, arrays, 3));
    p->open = part;
done:
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
