/* Encodes slices file by file, and reads them with the files that were asked for open. */
#include "pipeline/common/latents.h"

#include "io/alloc.h"
#include "io/record_file.h"
#include "model/hu_map.h"
#include "model/warp.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/file_set.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/data/tissue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Records of a file; files that a set of slices has open at most. */
enum { PART = 128, OPEN_MAX = 64, SETS = 3, FIELDS = 2 };

/* The slices of one kind, and how their records are read. The validation is read on another thread
 * than the training slices, so each set has files of its own. */
typedef struct latent_set {
    struct latents *of;
    slices *slices;
    int64_t first, count, each; /* its first record; slices; records of a slice */
    record_file **files;        /* [files of the store]; NULL: not open */
    bool *checked;              /* [files of the store]: its hash was compared */
    int64_t open;               /* how many are */
} latent_set;

struct latents {
    const stage_context *stage;
    latent_set sets[SETS];
    int n; /* sets */
    int64_t records, labels, size;
    file_set files;
    record_field fields[FIELDS];
};

/* Local. */
static void add_set(latents *l, slices *of, int64_t each) {
    if (!of) return;
    l->sets[l->n++] = (latent_set){
        .of = l, .slices = of, .first = l->records, .count = slices_count(of), .each = each};
    l->records += slices_count(of) * each;
}

/* Local. */
static status name_store(latents *l, const char *store) {
    status st = ST_OK;
    char autoencoder[SHA256_HEX], name[64];
    TRY(published_seal(l->stage, &codec_published, autoencoder));
    TRY(fingerprint_of_latents(l->stage->study, store, autoencoder, l->files.fingerprint));
    snprintf(name, sizeof name, "latents/%.16s", l->files.fingerprint);
    TRY(stage_path(l->stage, name, l->files.folder));
done:
    return st;
}

status latents_open(const stage_context *stage, training_data *data, latents **out) {
    status st = ST_OK;
    latents *l = NULL;
    const study *s = stage->study;
    const int64_t side = s->data.size / s->autoencode.factor;
    *out = NULL;
    TRY(array_alloc(&l, 1, sizeof *l, "the latents"));
    l->stage = stage;
    l->labels = store_labels(data->store)->count;
    l->size = s->data.size;
    if (l->labels + TISSUES > UINT8_MAX + 1)
        TRY(status_fail(ST_INPUT, "model.space latent: the store has %" PRId64 " labels; %d fit",
                        l->labels, UINT8_MAX + 1 - TISSUES));
    add_set(l, data->train, 1 + s->train.copies);
    add_set(l, data->unlabelled, 1 + s->train.copies);
    add_set(l, data->validation, 1);
    l->files =
        (file_set){.stage = stage, .kind = "latents", .files = (l->records + PART - 1) / PART};
    l->fields[0] = (record_field){.name = "latent", .shape = {side, side, s->autoencode.z}};
    l->fields[1] = (record_field){.name = "codes", .bytes = true, .shape = {l->size, l->size, 1}};
    for (int i = 0; i < l->n; i++) {
        TRY(array_alloc(&l->sets[i].files, l->files.files, sizeof(record_file *), "files"));
        TRY(array_alloc(&l->sets[i].checked, l->files.files, sizeof(bool), "files"));
    }
    TRY(name_store(l, store_manifest(data->store)->seal));
    *out = l;
    l = NULL;
done:
    latents_close(l);
    return st;
}

void latents_close(latents *l) {
    if (!l) return;
    for (int i = 0; i < l->n; i++) {
        for (int64_t k = 0; l->sets[i].files && k < l->files.files; k++)
            record_file_close(l->sets[i].files[k]);
        free(l->sets[i].files);
        free(l->sets[i].checked);
    }
    free(l);
}

static int64_t records_in(const latents *l, int64_t file) {
    const int64_t left = l->records - file * PART;
    return left < PART ? left : PART;
}

/* ---- making ---- */

typedef struct encoding {
    latents *latents;
    codec *codec;
    float *latent;  /* [PART][values] */
    uint8_t *codes; /* [PART][size * size] */
    float *image;   /* [size * size] */
} encoding;

/* file_maker.open */
static status open_encoding(void *context) {
    status st = ST_OK;
    encoding *e = context;
    const int64_t pixels = e->latents->size * e->latents->size;
    TRY(codec_open(e->latents->stage, &e->codec));
    TRY(array_alloc(&e->latent, PART * codec_values(e->codec), sizeof(float), "latents"));
    TRY(array_alloc(&e->codes, PART * pixels, 1, "label maps"));
    TRY(array_alloc(&e->image, pixels, sizeof(float), "a slice"));
    for (int i = 0; i < e->latents->n; i++) slices_map_hu(e->latents->sets[i].slices);
done:
    return st;
}

static void close_encoding(encoding *e) {
    codec_close(e->codec);
    free(e->latent);
    free(e->codes);
    free(e->image);
}

/* Adds the tissues to the labels of a slice that has slices_map_hu(); its image is then windowed.
 * Local. */
static void add_tissues(const latents *l, slice_sample *slice) {
    const double *window = l->stage->study->data.window;
    const int64_t pixels = l->size * l->size;
    for (int64_t i = 0; i < pixels; i++)
        slice->image[i] =
            window_apply((float)hu_map_from((double)slice->image[i]), window[0], window[1]);
    for (int64_t i = 0; i < pixels; i++) {
        if (slice->labels[i] != 0) continue;
        const tissue kind = tissue_at(slice->image, l->size, i, window);
        if (kind != TISSUE_AIR) slice->labels[i] = (uint8_t)(l->labels + kind);
    }
}

/* Makes record i of the store as number `at` of its file. Local. */
static status encode(encoding *e, int64_t i, int64_t at) {
    status st = ST_OK;
    const latents *l = e->latents;
    const study *s = l->stage->study;
    const latent_set *set = l->sets;
    while (i >= set->first + set->count * set->each) set++;
    const int64_t k = (i - set->first) / set->each, copy = (i - set->first) % set->each;
    slice_sample slice = {.image = e->image, .labels = e->codes + at * l->size * l->size};
    if (copy == 0)
        TRY(slices_get(set->slices, k, &slice));
    else
        TRY(slices_augment(set->slices, (uint64_t)s->seed, (copy - 1) * set->count + k, k, &slice));
    TRY(codec_encode(e->codec, slice.image, e->latent + at * codec_values(e->codec)));
    if (s->model.tissue == SWITCH_ON) add_tissues(l, &slice);
done:
    return st;
}

/* file_maker.make */
static status make_file(void *context, int64_t file, const char *path) {
    status st = ST_OK;
    encoding *e = context;
    const latents *l = e->latents;
    const int64_t n = records_in(l, file);
    const void *const data[FIELDS] = {e->latent, e->codes};
    for (int64_t at = 0; at < n; at++) TRY(encode(e, file * PART + at, at));
    TRY(record_file_write(path, l->fields, FIELDS, n, data));
done:
    return st;
}

status latents_make(latents *l) {
    encoding e = {.latents = l};
    char what[96];
    snprintf(what, sizeof what, "train: latents of %" PRId64 " slices and augmented copies",
             l->records);
    const file_maker maker = {
        .open = open_encoding, .make = make_file, .context = &e, .what = what};
    const study *s = l->stage->study;
    const status st =
        file_set_make(&l->files, &maker,
                      json_pack("{s:I, s:I, s:I, s:I}", "records", (json_int_t)l->records, "copies",
                                (json_int_t)s->train.copies, "size", (json_int_t)l->size, "labels",
                                (json_int_t)l->labels));
    close_encoding(&e);
    return st;
}

status latents_mend(latents *l) {
    bool published = false;
    const status st = file_set_is_there(&l->files, &published);
    return st == ST_OK && published ? latents_make(l) : st;
}

/* ---- reading ---- */

/* Opens a file of the store; one of the others is closed if too many are open. Local. */
static status open_file(latent_set *set, int64_t file) {
    status st = ST_OK;
    const latents *l = set->of;
    char path[PATH_SIZE];
    for (int64_t k = 0; set->open >= OPEN_MAX && k < l->files.files; k++) {
        if (!set->files[k]) continue;
        record_file_close(set->files[k]);
        set->files[k] = NULL;
        set->open--;
    }
    TRY(set->checked[file] ? file_set_path(&l->files, file, path)
                           : file_set_check(&l->files, file, path));
    set->checked[file] = true;
    TRY(record_file_open(path, l->fields, FIELDS, records_in(l, file), &set->files[file]));
    set->open++;
done:
    return st;
}

/* slice_replacement.read */
static status read_latent(void *context, int64_t k, int64_t copy, slice_sample *sample) {
    status st = ST_OK;
    latent_set *set = context;
    const int64_t i = set->first + k * set->each + copy % set->each, file = i / PART;
    void *const data[FIELDS] = {sample->image, sample->labels};
    if (!set->files[file]) TRY(open_file(set, file));
    TRY(record_file_read(set->files[file], i % PART, data));
done:
    return st;
}

void latents_use(latents *l) {
    for (int i = 0; i < l->n; i++) {
        const slice_replacement with = {
            .latent = true, .read = read_latent, .context = &l->sets[i]};
        slices_replace(l->sets[i].slices, &with);
    }
}
