/* Measures candidates on validation slices, divided over the ranks, and publishes the choice. */
#include "pipeline/generate/guidance.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/manifest.h"
#include "io/part_file.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/generate/appearance.h"
#include "pipeline/generate/guidance_score.h"
#include "pipeline/generate/guidance_slices.h"
#include "pipeline/segmenter/referee.h"
#include "pipeline/trainer/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define KIND "guidance"
#define RECORD "guidance.json"
enum { RECORD_MAX = 1 << 24 };

static const double GUIDANCE[] = {1, 1.5, 2, 3}, STEPS_LOSS = 0.01;
enum { GUIDANCES = sizeof GUIDANCE / sizeof *GUIDANCE };
static const uint64_t FIRST_VOLUME = UINT64_C(1) << 21;

/* A way to sample and its measures. Members of 8 bytes alone: it is kept in a file. */
typedef struct candidate {
    int64_t kept; /* number of the checkpoint in search.kept */
    int64_t steps;
    double guidance;
    guidance_score found;
} candidate;

typedef struct search {
    const painter_inputs *in;
    const char *directory; /* of the checkpoints */
    checkpoint_kept *kept; /* newest first */
    int64_t kept_count;
    char fingerprint[SHA256_HEX];
    char output[PATH_SIZE], parts[PATH_SIZE];
    guidance_slices slices;
    segmenter referee;
    denoiser *denoiser;
    int64_t loaded; /* the checkpoint whose parameters it has; -1: none */
    appearances looks;
    float grey[LABELS_MAX];
    candidate *tried; /* [GUIDANCES + kept_count]; the largest number there can be */
    int64_t count, chosen;
    /* One candidate. */
    dice_counts counts;
    texture_sums *textures; /* [units][labels] */
    float *images;          /* [slices.largest][size][size] */
    uint8_t *segments;
} search;

/* The fingerprint over training, checkpoints and referee. Local; called on rank 0. */
static status find_fingerprint(search *g, const char *training) {
    status st = ST_OK;
    char path[PATH_SIZE], *text = NULL;
    size_t bytes = 0;
    manifest referee = {0};
    FILE *f = open_memstream(&text, &bytes);
    if (!f) TRY(status_memory("a fingerprint", 0));
    TRY(stage_path(g->in->stage, "referee", path));
    st = manifest_read(path, REFEREE_KIND, &referee);
    if (st == ST_INPUT)
        st = status_fail(st,
                         "%s holds no referee, which generate.guidance: auto needs: run ctaug "
                         "referee first, or give a number",
                         path);
    TRY(st);
    fprintf(f, "guidance %s %s", training, referee.seal);
    for (int64_t k = 0; k < g->kept_count; k++) fprintf(f, " %s", g->kept[k].seal);
    if (fflush(f) != 0) TRY(status_memory("a fingerprint", 0));
    TRY(fingerprint_of_guidance(g->in->stage->study, text, g->fingerprint));
done:
    if (f) fclose(f);
    free(text);
    manifest_free(&referee);
    return st;
}

/* Lists the checkpoints; sets fingerprint and paths. Collective. */
static status prepare(search *g, const char *training) {
    status st = ST_OK;
    const stage_context *s = g->in->stage;
    char name[64];
    TRY(trainer_kept(s->comm, g->directory, training, &g->kept, &g->kept_count));
    if (g->kept_count == 0)
        TRY(status_fail(ST_INPUT, "%s holds no checkpoint of this study", g->directory));
    if (comm_rank(s->comm) == 0) st = find_fingerprint(g, training);
    TRY(comm_agree(s->comm, st));
    TRY(comm_broadcast(s->comm, g->fingerprint, sizeof g->fingerprint, 0));
    snprintf(name, sizeof name, KIND ".parts-%.16s", g->fingerprint);
    st = stage_path(s, KIND, g->output);
    if (st == ST_OK) st = stage_path(s, name, g->parts);
    TRY(comm_agree(s->comm, st));
done:
    return st;
}

/* Local. */
static status open_search(search *g) {
    status st = ST_OK;
    const stage_context *s = g->in->stage;
    const label_set *labels = store_labels(g->in->stores.real);
    const int64_t pixels = s->study->data.size * s->study->data.size;
    TRY(guidance_slices_read(g->in, &g->slices));
    TRY(referee_open(s, labels, &g->referee));
    TRY(denoiser_open(s, labels, g->slices.largest, &g->denoiser));
    if (s->study->generate.appearance > 0) TRY(appearances_measure(g->in, &g->looks));
    TRY(array_alloc(&g->tried, GUIDANCES + g->kept_count, sizeof *g->tried, "candidates"));
    TRY(array_alloc(&g->textures, g->slices.units * labels->count, sizeof *g->textures,
                    "structures"));
    TRY(array_alloc(&g->images, g->slices.largest * pixels, sizeof *g->images, "sampled slices"));
    TRY(array_alloc(&g->segments, g->slices.largest * pixels, 1, "label maps"));
    TRY(file_make_dirs(g->parts));
done:
    return st;
}

static void close_search(search *g) {
    guidance_slices_free(&g->slices);
    segmenter_close(&g->referee);
    denoiser_close(g->denoiser);
    appearances_free(&g->looks);
    free(g->kept);
    free(g->tried);
    free(g->textures);
    free(g->images);
    free(g->segments);
}

/* Samples and measures unit u. Local. */
static status measure_unit(search *g, int64_t u) {
    status st = ST_OK;
    const study *s = g->in->stage->study;
    const int64_t size = s->data.size, pixels = size * size, labels = g->referee.config.labels;
    const int64_t first = g->slices.first[u], count = g->slices.first[u + 1] - first;
    const slice_sample *conditions = g->slices.conditions + first;
    const uint64_t volume = FIRST_VOLUME + (uint64_t)conditions[0].volume;
    uint64_t index[GUIDANCE_SLICES];
    for (int64_t k = 0; k < count; k++) index[k] = (volume << 20) + (uint64_t)conditions[k].slice;
    if (s->generate.appearance > 0) {
        appearances_draw(&g->looks, (uint64_t)s->seed, volume, conditions[0].volume,
                         conditions[0].contrast, g->grey);
        denoiser_steer(g->denoiser, g->grey, s->generate.appearance);
    }
    TRY(denoiser_sample(g->denoiser, conditions, index, count, g->images));
    TRY(segmenter_labels(&g->referee, g->images, count, g->segments, NULL));
    for (int64_t k = 0; k < count; k++) {
        const uint8_t *map = conditions[k].labels;
        dice_add(&g->counts, map, g->segments + k * pixels, pixels);
        texture_add(g->textures + u * labels, g->images + k * pixels, map, size,
                    s->data.window[1] - s->data.window[0], 1); /* its noise alone is used */
    }
    activity_step(u);
done:
    return st;
}

/* This rank's units. Local. */
static status measure_units(search *g, const candidate *c) {
    status st = ST_OK;
    const comm *ranks = g->in->stage->comm;
    if (g->loaded != c->kept) {
        TRY(denoiser_load(g->denoiser, g->directory, g->kept[c->kept].step));
        g->loaded = c->kept;
    }
    denoiser_choose(g->denoiser, c->steps, c->guidance);
    for (int64_t u = comm_rank(ranks); u < g->slices.units; u += comm_size(ranks))
        TRY(measure_unit(g, u));
done:
    return st;
}

/* Measures a candidate. Sums over units are added in their order: the same bits on any number of
 * ranks. Collective. */
static status measure(search *g, candidate *c) {
    status st = ST_OK;
    const comm *ranks = g->in->stage->comm;
    const int64_t labels = g->referee.config.labels, all = g->slices.units * labels;
    texture_sums made[LABELS_MAX] = {{0}};
    memset(&g->counts, 0, sizeof g->counts);
    memset(g->textures, 0, (size_t)all * sizeof *g->textures);
    TRY(comm_agree(ranks, measure_units(g, c)));
    TRY(comm_sum_i64(ranks, (int64_t *)&g->counts, (int64_t)(sizeof g->counts / sizeof(int64_t))));
    TRY(comm_sum_f64(ranks, (double *)g->textures,
                     all * (int64_t)(sizeof *g->textures / sizeof(double))));
    for (int64_t i = 0; i < all; i++) {
        made[i % labels].noise += g->textures[i].noise;
        made[i % labels].noise_count += g->textures[i].noise_count;
    }
    c->found = guidance_score_of(&g->counts, made, g->slices.real, (int)labels);
done:
    return st;
}

/* Reads the file of candidate n, if an earlier run measured the same one. Local; called on rank 0.
 */
static status read_candidate(const search *g, const char *path, candidate *c, int64_t *found) {
    candidate before;
    status st = part_read(path, g->fingerprint, &before, sizeof before);
    if (st == ST_INTEGRITY) log_warning(g->in->stage->log, "%s: measured again", status_message());
    if (st != ST_OK) return st == ST_INPUT || st == ST_INTEGRITY ? ST_OK : st;
    *found = before.kept == c->kept && before.steps == c->steps && before.guidance == c->guidance;
    if (*found) *c = before;
    return ST_OK;
}

/* Adds a candidate to the table. ST_STOPPED after it if a rank was asked to stop. Collective. */
static status try_candidate(search *g, int64_t kept, double guidance, int64_t steps) {
    status st = ST_OK;
    const stage_context *s = g->in->stage;
    const bool first = comm_rank(s->comm) == 0;
    candidate *c = &g->tried[g->count];
    char name[64], path[PATH_SIZE];
    int64_t found = 0;
    bool stop = false;
    *c = (candidate){.kept = kept, .steps = steps, .guidance = guidance};
    snprintf(name, sizeof name, "candidate-%03" PRId64, g->count);
    st = path_join(path, g->parts, name);
    if (st == ST_OK && first) st = read_candidate(g, path, c, &found);
    TRY(comm_agree(s->comm, st));
    TRY(comm_broadcast(s->comm, &found, sizeof found, 0));
    TRY(comm_broadcast(s->comm, c, sizeof *c, 0));
    if (!found) {
        TRY(measure(g, c));
        if (first) st = part_write(path, g->fingerprint, c, sizeof *c);
        TRY(comm_agree(s->comm, st));
    }
    activity_saved(true);
    g->count++;
    log_progress_set(s->log, g->count, "candidates");
    TRY(stage_should_stop(s, &stop));
    if (stop)
        st = status_fail(ST_STOPPED, "stopped; the candidates for generate.guidance measured so "
                                     "far are kept: run again to resume");
done:
    return st;
}

/* Collective. */
static status try_all(search *g) {
    status st = ST_OK;
    const int64_t steps = g->in->stage->study->generate.steps;
    for (int64_t k = 0; k < GUIDANCES; k++) {
        TRY(try_candidate(g, 0, GUIDANCE[k], steps));
        if (g->tried[k].found.score > g->tried[g->chosen].found.score) g->chosen = k;
    }
    const double guidance = g->tried[g->chosen].guidance;
    for (int64_t k = 1; k < g->kept_count; k++) {
        TRY(try_candidate(g, k, guidance, steps));
        if (g->tried[g->count - 1].found.score > g->tried[g->chosen].found.score)
            g->chosen = g->count - 1;
    }
    if (steps < 2) goto done;
    TRY(try_candidate(g, g->tried[g->chosen].kept, guidance, steps / 2));
    if (g->tried[g->count - 1].found.score >= g->tried[g->chosen].found.score - STEPS_LOSS)
        g->chosen = g->count - 1;
done:
    return st;
}

/* guidance.json. New reference; NULL: out of memory. Local. */
static json_t *record_json(const search *g) {
    json_t *list = json_array();
    for (int64_t i = 0; i < g->count; i++) {
        const candidate *c = &g->tried[i];
        json_array_append_new(
            list, json_pack("{s:I, s:s, s:f, s:I, s:f, s:o, s:f}", "checkpoint_step",
                            (json_int_t)g->kept[c->kept].step, "checkpoint", g->kept[c->kept].seal,
                            "guidance", c->guidance, "sampler_steps", (json_int_t)c->steps, "dice",
                            c->found.dice, "noise_ratio", log_number(c->found.noise_ratio), "score",
                            c->found.score));
    }
    return json_pack("{s:s, s:I, s:o, s:o, s:I}", "formula", GUIDANCE_SCORE, "slices",
                     (json_int_t)g->slices.count, "sources",
                     guidance_slices_sources(g->in, &g->slices), "candidates", list, "chosen",
                     (json_int_t)g->chosen);
}

/* Local; called on rank 0. */
static status publish(const search *g) {
    status st = ST_OK;
    manifest m = {.kind = KIND};
    const candidate *c = &g->tried[g->chosen];
    char path[PATH_SIZE], *text = NULL;
    json_t *record = record_json(g);
    if (record) text = json_dumps(record, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    if (!text) TRY(status_memory(RECORD, 0));
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", g->fingerprint);
    TRY(file_make_dirs(g->output));
    TRY(manifest_remove(g->output));
    TRY(path_join(path, g->output, RECORD));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(manifest_add_file(&m, g->output, RECORD));
    TRY(manifest_write(&m, g->output));
    TRY(file_remove_tree(g->parts));
    log_info(g->in->stage->log,
             "generate: guidance %g, checkpoint of step %" PRId64 ", %" PRId64
             " sampler steps: best of %" PRId64 " candidates on %" PRId64
             " validation slices (Dice %.3f, noise ratio %.2f, score %.3f)",
             c->guidance, g->kept[c->kept].step, c->steps, g->count, g->slices.count, c->found.dice,
             c->found.noise_ratio, c->found.score);
done:
    json_decref(record);
    manifest_free(&m);
    free(text);
    return st;
}

/* Reads the published record. Local; called on rank 0. */
static status read_record(const search *g, char seal[SHA256_HEX], char **text, int64_t *bytes) {
    status st = ST_OK;
    manifest m = {0};
    char path[PATH_SIZE];
    TRY(manifest_read(g->output, KIND, &m));
    TRY(path_join(path, g->output, RECORD));
    TRY(file_read(path, RECORD_MAX, text, bytes));
    memcpy(seal, m.seal, SHA256_HEX);
done:
    manifest_free(&m);
    return st;
}

/* Takes the choice from the text of the record. Local. */
static status take_choice(const search *g, const char *text, int64_t bytes, guidance_choice *out) {
    json_error_t error;
    out->record = json_loadb(text, (size_t)bytes, 0, &error);
    const json_t *c =
        json_array_get(json_object_get(out->record, "candidates"),
                       (size_t)json_integer_value(json_object_get(out->record, "chosen")));
    const char *checkpoint = json_string_value(json_object_get(c, "checkpoint"));
    out->step = json_integer_value(json_object_get(c, "checkpoint_step"));
    out->steps = json_integer_value(json_object_get(c, "sampler_steps"));
    out->guidance = json_number_value(json_object_get(c, "guidance"));
    if (!checkpoint || out->steps < 1 || !(out->guidance > 0))
        return status_fail(ST_INTEGRITY, "%s is no record of a choice: remove it and run again",
                           g->output);
    snprintf(out->checkpoint, sizeof out->checkpoint, "%s", checkpoint);
    return ST_OK;
}

/* Collective. */
static status share_record(const search *g, guidance_choice *out) {
    status st = ST_OK;
    const comm *c = g->in->stage->comm;
    char *text = NULL;
    void *block = NULL;
    int64_t bytes = 0;
    if (comm_rank(c) == 0) st = read_record(g, out->seal, &text, &bytes);
    TRY(comm_agree(c, st));
    block = text;
    text = NULL;
    TRY(comm_broadcast(c, out->seal, sizeof out->seal, 0));
    TRY(comm_broadcast_block(c, &block, &bytes, 0));
    TRY(comm_agree(c, take_choice(g, block, bytes, out)));
done:
    free(text);
    free(block);
    return st;
}

/* Makes the record. Collective. */
static status make_record(search *g) {
    status st = ST_OK;
    const stage_context *s = g->in->stage;
    log_progress_begin(s->log, "guidance", GUIDANCES + g->kept_count);
    TRY(comm_agree(s->comm, open_search(g)));
    TRY(try_all(g));
    log_progress_end(s->log);
    TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? publish(g) : ST_OK));
done:
    log_progress_end(s->log);
    return st;
}

status guidance_choose(const painter_inputs *in, const char *directory, const char *training,
                       guidance_choice *out) {
    status st = ST_OK;
    bool current = false;
    search g = {.in = in, .directory = directory, .loaded = -1};
    *out = (guidance_choice){0};
    TRY(prepare(&g, training));
    TRY(stage_is_current(in->stage, g.output, KIND, g.fingerprint, &current));
    if (!current) TRY(make_record(&g));
    TRY(share_record(&g, out));
done:
    close_search(&g);
    return st;
}

void guidance_choice_free(guidance_choice *c) {
    json_decref(c->record);
    *c = (guidance_choice){0};
}
