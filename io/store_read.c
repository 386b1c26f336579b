/* Reading a store. The manifest is used after its seal was checked, a shard after its hash, a
 * volume after its attributes, shapes and layout were found to match the manifest.
 *
 * Up to OPEN_SHARDS shards stay open (the least recently used is closed first), so that training
 * can read slices in any order. A shard is hashed once per open store, a volume is checked once.
 */
#include "io/store_chunk.h"
#include "io/store_detail.h"
#include "io/store_hdf5.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPEN_SHARDS = 8, WHERE = PATH_SIZE + SHARD_NAME + VOLUME_ID + 16 };

typedef struct shard {
    int64_t index; /* its file's index in the manifest */
    bool hashed;
    hid_t file;   /* -1: closed */
    int64_t used; /* store.reads at its last use */
} shard;

struct store {
    char directory[PATH_SIZE];
    manifest manifest;
    label_set labels;
    store_entry *entries;
    int64_t count;
    shard *shards;
    int64_t shard_count;
    bool *checked; /* by volume: it matches the manifest */
    int64_t reads;
    chunk_decoder decoder;
};

void store_close(store *s) {
    if (!s) return;
    hdf5_lock();
    for (int64_t k = 0; s->shards && k < s->shard_count; k++)
        if (s->shards[k].file >= 0) H5Fclose(s->shards[k].file);
    hdf5_unlock();
    chunk_decoder_free(&s->decoder);
    manifest_free(&s->manifest);
    free(s->entries);
    free(s->shards);
    free(s->checked);
    free(s);
}

/* Index of a file in the manifest, or -1. */
static int64_t find_file(const manifest *m, const char *name) {
    for (int64_t i = 0; i < m->count; i++)
        if (strcmp(m->files[i].name, name) == 0) return i;
    return -1;
}

static status find_shards(store *s) {
    status st;
    char name[SHARD_NAME];
    s->shard_count = s->count > 0 ? s->entries[s->count - 1].shard + 1 : 0;
    TRY(array_alloc(&s->shards, s->shard_count, sizeof *s->shards, "a list of shards"));
    for (int64_t k = 0; k < s->shard_count; k++) s->shards[k].file = -1;
    for (int64_t k = 0; k < s->shard_count; k++) {
        store_shard_name(k, name);
        s->shards[k].index = find_file(&s->manifest, name);
        if (s->shards[k].index < 0)
            TRY(status_fail(ST_INTEGRITY, "%s: %s is not in the manifest", s->directory, name));
    }
done:
    return st;
}

status store_open(const char *directory, store **out) {
    status st;
    store *s = NULL;
    *out = NULL;
    TRY(array_alloc(&s, 1, sizeof *s, "a store"));
    TRY(path_join(s->directory, "", directory));
    TRY(manifest_read(directory, STORE_KIND, &s->manifest));
    TRY(store_detail_read(s->manifest.detail, directory, &s->entries, &s->count, &s->labels));
    TRY(array_alloc(&s->checked, s->count, sizeof *s->checked, "a list of volumes"));
    TRY(find_shards(s));
    *out = s;
    s = NULL;
done:
    store_close(s);
    return st;
}

int64_t store_count(const store *s) { return s->count; }
const store_entry *store_at(const store *s, int64_t i) { return &s->entries[i]; }
const label_set *store_labels(const store *s) { return &s->labels; }
const manifest *store_manifest(const store *s) { return &s->manifest; }

status store_check_same_labels(const store *a, const store *b) {
    bool equal = a->labels.count == b->labels.count;
    for (int k = 0; equal && k < a->labels.count; k++)
        equal = strcmp(a->labels.name[k], b->labels.name[k]) == 0;
    if (equal) return ST_OK;
    return status_fail(ST_INPUT,
                       "the stores to be used together have different labels (%d and %d of them, "
                       "or other names): make them from the same study",
                       a->labels.count, b->labels.count);
}

static void close_least_used(store *s) {
    shard *oldest = NULL;
    int open = 0;
    for (int64_t k = 0; k < s->shard_count; k++) {
        shard *h = &s->shards[k];
        if (h->file < 0) continue;
        open++;
        if (!oldest || h->used < oldest->used) oldest = h;
    }
    if (open < OPEN_SHARDS) return;
    H5Fclose(oldest->file); /* opened for reading: a failure loses nothing */
    oldest->file = -1;
}

/* Compares a file's hash. The message says what to do: a stage checks only the manifest and would
 * find the damaged store current. */
static status check_hash(const store *s, int64_t index) {
    status st = manifest_check_file(&s->manifest, s->directory, index);
    if (st != ST_INTEGRITY) return st;
    return status_fail(st, "%.500s; remove %s and run the stage that made it again",
                       status_message(), s->directory);
}

/* The open file of a shard, which stays owned by the store. */
static status use_shard(store *s, int64_t number, hid_t *file) {
    status st = ST_OK;
    char path[PATH_SIZE];
    shard *h = &s->shards[number];
    if (h->file < 0) {
        close_least_used(s);
        if (!h->hashed) TRY(check_hash(s, h->index));
        h->hashed = true;
        TRY(path_join(path, s->directory, s->manifest.files[h->index].name));
        TRY(hdf5_open(path, &h->file));
    }
    h->used = ++s->reads;
    *file = h->file;
done:
    return st;
}

/* Leaves *value as it is if there is no such attribute. */
static status get_if_there(hid_t group, const char *name, int *value, const char *where) {
    status st;
    const htri_t there = H5Aexists(group, name);
    TRY(hdf5_check(there, ST_INTEGRITY, where, "look for an attribute"));
    if (there) TRY(hdf5_get_attribute(group, name, H5T_NATIVE_INT, 0, NULL, value, where));
done:
    return st;
}

static status check_attributes(hid_t group, const store_entry *e, const char *where) {
    status st;
    const hsize_t three[] = {3, 3};
    geometry g = {0};
    int contrast = -1, labelled = 1, kernel = 0, body = 0;
    TRY(hdf5_get_attribute(group, "spacing", H5T_NATIVE_DOUBLE, 1, three, g.spacing, where));
    TRY(hdf5_get_attribute(group, "origin", H5T_NATIVE_DOUBLE, 1, three, g.origin, where));
    TRY(hdf5_get_attribute(group, "direction", H5T_NATIVE_DOUBLE, 2, three, g.direction, where));
    TRY(hdf5_get_attribute(group, "contrast", H5T_NATIVE_INT, 0, NULL, &contrast, where));
    TRY(get_if_there(group, "labelled", &labelled, where));
    TRY(get_if_there(group, "kernel", &kernel, where));
    TRY(get_if_there(group, "body", &body, where));
    bool same = contrast == e->contrast && labelled == !e->unlabelled &&
                kernel == (int)e->traits.kernel && body == (int)e->traits.body;
    for (int k = 0; k < 3; k++)
        same &= g.spacing[k] == e->space.spacing[k] && g.origin[k] == e->space.origin[k];
    for (int k = 0; k < 9; k++) same &= g.direction[k] == e->space.direction[k];
    if (!same)
        TRY(status_fail(ST_INTEGRITY, "%s: its attributes are not those in the manifest", where));
done:
    return st;
}

static status check_dataset(hid_t group, const char *name, hid_t type, const store_entry *e,
                            const char *where) {
    status st;
    const int64_t *n = e->space.shape;
    const hsize_t shape[] = {(hsize_t)n[0], (hsize_t)n[1], (hsize_t)n[2]};
    const hsize_t chunk[] = {1, shape[1], shape[2]};
    hid_t dataset = -1;
    TRY(hdf5_check(dataset = H5Dopen2(group, name, H5P_DEFAULT), ST_INTEGRITY, where,
                   "open a dataset"));
    TRY(hdf5_check_dataset(dataset, name, type, 3, shape, chunk, where));
done:
    if (dataset >= 0) H5Dclose(dataset);
    return st;
}

/* Opens the group of volume i, which then matches the manifest; the caller closes it. `where` gets
 * the name of the volume for messages. */
static status open_volume(store *s, int64_t i, char where[WHERE], hid_t *group) {
    status st;
    char shard_name[SHARD_NAME], name[VOLUME_ID + 16];
    hid_t file = -1, found = -1;
    const store_entry *e = &s->entries[i];
    store_shard_name(e->shard, shard_name);
    snprintf(where, WHERE, "%s/%s: volume %s", s->directory, shard_name, e->id);
    TRY(use_shard(s, e->shard, &file));
    snprintf(name, sizeof name, "/volumes/%s", e->id);
    TRY(hdf5_check(found = H5Gopen2(file, name, H5P_DEFAULT), ST_INTEGRITY, where, "open it"));
    if (!s->checked[i]) {
        TRY(check_attributes(found, e, where));
        TRY(check_dataset(found, "ct", H5T_STD_I16LE, e, where));
        TRY(check_dataset(found, "labels", H5T_STD_U8LE, e, where));
        s->checked[i] = true;
    }
    *group = found;
    found = -1;
done:
    if (found >= 0) H5Gclose(found);
    return st;
}

/* Slices z .. z+n-1 of a dataset; `width` is the size of a value in bytes. */
static status read_slices(store *s, hid_t group, const char *name, int width, const store_entry *e,
                          int64_t z, int64_t n, uint8_t *data, const char *where) {
    status st;
    int64_t pixels = e->space.shape[1] * e->space.shape[2];
    hid_t dataset = -1;
    TRY(hdf5_check(dataset = H5Dopen2(group, name, H5P_DEFAULT), ST_INTEGRITY, where,
                   "open a dataset"));
    for (int64_t k = 0; k < n; k++)
        TRY(chunk_read(&s->decoder, dataset, z + k, pixels, width, data + k * pixels * width,
                       where));
done:
    if (dataset >= 0) H5Dclose(dataset);
    return st;
}

/* Networks use labels as indices: every value must have a name. An unlabelled volume has none. */
static status check_labels(const store *s, const store_entry *e, const uint8_t *labels, int64_t n,
                           const char *where) {
    int max = label_max(labels, n);
    if (e->unlabelled && max > 0)
        return status_fail(ST_INTEGRITY, "%s: label value %d, but it counts as unlabelled", where,
                           max);
    if (max < s->labels.count) return ST_OK;
    return status_fail(ST_INTEGRITY, "%s: label value %d, but there are %d labels", where, max,
                       s->labels.count);
}

/* Either of hu and labels may be NULL. */
static status read_part(store *s, hid_t group, const store_entry *e, int64_t z, int64_t n,
                        int16_t *hu, uint8_t *labels, const char *where) {
    status st = ST_OK;
    if (hu) TRY(read_slices(s, group, "ct", 2, e, z, n, (uint8_t *)hu, where));
    if (labels) {
        TRY(read_slices(s, group, "labels", 1, e, z, n, labels, where));
        TRY(check_labels(s, e, labels, n * e->space.shape[1] * e->space.shape[2], where));
    }
done:
    return st;
}

status store_read_slice(store *s, int64_t i, int64_t z, int16_t *hu, uint8_t *labels) {
    status st;
    hid_t group = -1;
    char where[WHERE];
    const store_entry *e = &s->entries[i];
    hdf5_lock();
    TRY(open_volume(s, i, where, &group));
    if (z < 0 || z >= e->space.shape[0])
        TRY(status_fail(ST_INTERNAL, "%s: has no slice %" PRId64, where, z));
    TRY(read_part(s, group, e, z, 1, hu, labels, where));
done:
    if (group >= 0) H5Gclose(group);
    hdf5_unlock();
    return st;
}

status store_read_volume(store *s, int64_t i, volume *out) {
    status st;
    hid_t group = -1;
    char where[WHERE];
    const store_entry *e = &s->entries[i];
    *out = (volume){.space = e->space, .contrast = e->contrast, .traits = e->traits};
    snprintf(out->id, sizeof out->id, "%s", e->id);
    hdf5_lock();
    TRY(open_volume(s, i, where, &group));
    TRY(volume_alloc(out)); /* after open_volume(), which has checked the shapes in the file */
    TRY(read_part(s, group, e, 0, e->space.shape[0], out->hu, out->labels, where));
done:
    if (group >= 0) H5Gclose(group);
    hdf5_unlock();
    if (st != ST_OK) volume_free(out);
    return st;
}

/* Reads a volume slice by slice: it may be larger than memory. */
static status verify_volume(store *s, int64_t i) {
    status st;
    const int64_t *n = s->entries[i].space.shape;
    int16_t *hu = NULL;
    uint8_t *labels = NULL;
    TRY(array_alloc(&hu, n[1] * n[2], sizeof *hu, "a slice"));
    TRY(array_alloc(&labels, n[1] * n[2], sizeof *labels, "a slice"));
    for (int64_t z = 0; z < n[0]; z++) TRY(store_read_slice(s, i, z, hu, labels));
done:
    free(labels);
    free(hu);
    return st;
}

status store_verify(const char *directory) {
    status st;
    store *s = NULL;
    TRY(store_open(directory, &s));
    for (int64_t k = 0; k < s->manifest.count; k++) TRY(check_hash(s, k));
    for (int64_t k = 0; k < s->shard_count; k++) s->shards[k].hashed = true;
    for (int64_t i = 0; i < s->count; i++) TRY(verify_volume(s, i));
done:
    store_close(s);
    return st;
}
