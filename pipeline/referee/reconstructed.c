/* Lets the referee segment validation slices and their reconstructions. */
#include "pipeline/referee/reconstructed.h"

#include "io/alloc.h"
#include "model/hu_map.h"
#include "model/warp.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/referee/validation_dice.h"
#include "pipeline/segmenter/referee.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND "reconstructed"
#define RESULT "dice.json"

typedef struct reconstructing {
    const stage_context *stage;
    store *store;
    validation_set plain, made; /* slices, and their reconstructions */
    slices *mapped;             /* the slices in the numbers of the autoencoder */
    codec *codec;
    float *image, *latent;
    segmenter net;
    double dice[2][LABELS_MAX]; /* on the slices, on the reconstructions */
    char output[PATH_SIZE], fingerprint[SHA256_HEX];
} reconstructing;

/* slice_replacement.read: the reconstruction of a slice, in the window. */
static status reconstruct(void *context, int64_t k, int64_t copy, slice_sample *sample) {
    status st = ST_OK;
    reconstructing *r = context;
    const study *s = r->stage->study;
    slice_sample real = {.image = r->image, .labels = sample->labels};
    (void)copy;
    TRY(slices_get(r->mapped, k, &real));
    TRY(codec_encode(r->codec, r->image, r->latent));
    TRY(codec_decode(r->codec, r->latent, sample->image));
    for (int64_t i = 0; i < s->data.size * s->data.size; i++)
        sample->image[i] = window_apply((float)hu_map_from((double)sample->image[i]),
                                        s->data.window[0], s->data.window[1]);
done:
    return st;
}

/* Local. */
static status open_all(reconstructing *r, const split *sp) {
    status st = ST_OK;
    const study *s = r->stage->study;
    const slice_source source = {.from = r->store,
                                 .runs = sp->runs[SPLIT_VALIDATION],
                                 .run_count = sp->run_count[SPLIT_VALIDATION]};
    const slice_replacement with = {.read = reconstruct, .context = r};
    TRY(validation_open(s, r->store, sp, &r->plain));
    TRY(validation_open(s, r->store, sp, &r->made));
    TRY(slices_open(s, &source, 1, &r->mapped));
    slices_map_hu(r->mapped);
    slices_replace(r->made.slices, &with);
    TRY(codec_open(r->stage, &r->codec));
    TRY(array_alloc(&r->image, s->data.size * s->data.size, sizeof(float), "a slice"));
    TRY(array_alloc(&r->latent, codec_values(r->codec), sizeof(float), "a latent"));
    TRY(referee_open(r->stage, store_labels(r->store), &r->net));
done:
    return st;
}

static void close_all(reconstructing *r) {
    segmenter_close(&r->net);
    codec_close(r->codec);
    slices_close(r->mapped);
    validation_close(&r->plain);
    validation_close(&r->made);
    free(r->image);
    free(r->latent);
}

/* New reference; NULL: out of memory. Local. */
static json_t *result_json(const reconstructing *r) {
    const label_set *labels = store_labels(r->store);
    json_t *dice = json_object();
    for (int k = 1; k < labels->count; k++)
        json_object_set_new(dice, labels->name[k],
                            json_pack("{s:o, s:o}", "slices", log_number(r->dice[0][k]),
                                      "reconstructed", log_number(r->dice[1][k])));
    return json_pack("{s:I, s:o}", "patients", (json_int_t)r->plain.patients, "dice", dice);
}

/* Local; called on rank 0. */
static status publish(const reconstructing *r) {
    status st = ST_OK;
    char path[PATH_SIZE];
    manifest m = {.kind = KIND};
    json_t *all = result_json(r);
    char *text = all ? json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(all);
    if (!text) TRY(status_memory(RESULT, 0));
    memcpy(m.fingerprint, r->fingerprint, sizeof m.fingerprint);
    TRY(file_make_dirs(r->output));
    TRY(manifest_remove(r->output));
    TRY(path_join(path, r->output, RESULT));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(manifest_add_file(&m, r->output, RESULT));
    TRY(manifest_write(&m, r->output));
done:
    manifest_free(&m);
    free(text);
    return st;
}

static void log_result(const reconstructing *r) {
    const label_set *labels = store_labels(r->store);
    for (int k = 1; k < labels->count; k++)
        if (isfinite(r->dice[0][k]))
            log_info(r->stage->log,
                     "referee: Dice %-16s %.3f  on reconstructed slices, %.3f on the slices",
                     labels->name[k], r->dice[1][k], r->dice[0][k]);
    log_event(r->stage->log, "reconstructed", result_json(r));
}

/* Local. */
static status name_output(reconstructing *r) {
    status st = ST_OK;
    char referee[SHA256_HEX], autoencoder[SHA256_HEX], upstream[2 * SHA256_HEX + 32];
    TRY(published_seal(r->stage, &codec_published, autoencoder));
    TRY(fingerprint_of_referee(r->stage->study, store_manifest(r->store)->seal, referee));
    snprintf(upstream, sizeof upstream, "reconstructed %s %s", referee, autoencoder);
    TRY(study_fingerprint(r->stage->study, NULL, 0, upstream, r->fingerprint));
    TRY(stage_path(r->stage, KIND, r->output));
done:
    return st;
}

status reconstructed_dice(const stage_context *stage, store *from, const split *sp) {
    status st = ST_OK;
    const comm *c = stage->comm;
    bool current = false;
    reconstructing r = {.stage = stage, .store = from};
    if (stage->study->model.space == SPACE_PIXEL) goto done;
    TRY(comm_agree(c, name_output(&r)));
    TRY(stage_is_current(stage, r.output, KIND, r.fingerprint, &current));
    if (current) goto done;
    stage_works(stage);
    TRY(comm_agree(c, open_all(&r, sp)));
    const int labels = store_labels(from)->count;
    TRY(validation_dice(stage, &r.net, &r.plain, labels, r.dice[0]));
    TRY(validation_dice(stage, &r.net, &r.made, labels, r.dice[1]));
    TRY(comm_agree(c, comm_rank(c) == 0 ? publish(&r) : ST_OK));
    log_result(&r);
done:
    close_all(&r);
    return st;
}
