/* Writing a store. Every rank writes its own shards under temporary names; after all ranks have
 * agreed that every shard is on disk the shards are renamed and the manifest is written.
 *
 * Order of publication; the ranks agree after each of the first three steps:
 *
 *   1. temporaries closed, fsynced, hashed
 *   2. manifest of the older store removed
 *   3. shards renamed
 *   4. index written, stale shards removed, manifest written
 *
 * A run that is killed in between leaves the older store or a directory without a manifest, never a
 * mixture of two stores.
 */
#include "io/activity.h"
#include "io/store_pack.h"
#include "io/store_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void store_writer_free(store_writer *w) {
    if (!w) return;
    hdf5_lock();
    if (w->volumes >= 0) H5Gclose(w->volumes);
    hdf5_drop(&w->file);
    hdf5_unlock();
    json_decref(w->provenance);
    free(w->entries);
    free(w->fates);
    free(w->wanted);
    free(w->finished);
    free(w);
}

/* Assigns volumes to shards in order; a new shard begins where the next volume would exceed the
 * target. */
static void plan_shards(store_writer *w, int64_t shard_bytes) {
    int64_t filled = 0;
    w->shards = w->count > 0 ? 1 : 0;
    for (int64_t i = 0; i < w->count; i++) {
        const int64_t *shape = w->entries[i].space.shape; /* product at most 2^40: checked */
        int64_t bytes = shape[0] * shape[1] * shape[2] * 3;
        if (filled > 0 && filled + bytes > shard_bytes) {
            w->shards++;
            filled = 0;
        }
        filled += bytes;
        w->entries[i].shard = w->shards - 1;
    }
}

/* The rank that writes a shard. */
static int owner(const store_writer *w, int64_t shard) { return (int)(shard % comm_size(w->comm)); }

status store_writer_prepare(const comm *c, const store_plan *plan, store_writer **out) {
    status st;
    store_writer *w = NULL;
    TRY(array_alloc(&w, 1, sizeof *w, "a store writer"));
    *w = (store_writer){.comm = c, .open_shard = -1, .file = -1, .volumes = -1};
    TRY(path_join(w->directory, "", plan->directory));
    if (plan->parts) TRY(path_join(w->parts, "", plan->parts));
    snprintf(w->fingerprint, sizeof w->fingerprint, "%s", plan->fingerprint);
    w->labels = *plan->labels;
    w->count = plan->count;
    if (plan->shard_bytes < 1)
        TRY(status_fail(ST_INTERNAL, "%s: shards of %" PRId64 " bytes", plan->directory,
                        plan->shard_bytes));
    if (plan->provenance && !(w->provenance = json_deep_copy(plan->provenance)))
        TRY(status_memory("a store's provenance", 0));
    TRY(array_alloc(&w->entries, plan->count, sizeof *w->entries, "a list of volumes"));
    for (int64_t i = 0; i < plan->count; i++) {
        w->entries[i] = plan->entries[i];
        memset(w->entries[i].structures, 0, sizeof w->entries[i].structures);
        w->entries[i].shard = 0; /* assigned after the check, which refuses sizes that overflow */
    }
    TRY(store_detail_check(w->entries, w->count, &w->labels, ST_INPUT, plan->directory));
    plan_shards(w, plan->shard_bytes);
    w->planned = w->shards;
    TRY(array_alloc(&w->fates, plan->count, sizeof *w->fates, "a list of volumes"));
    TRY(array_alloc(&w->finished, w->shards / comm_size(c) + 1, sizeof *w->finished, "shards"));
    *out = w;
    w = NULL;
done:
    store_writer_free(w);
    return st;
}

status store_writer_check_same(const store_writer *w) {
    status st, local;
    json_t *detail = NULL;
    char *text = NULL, hex[SHA256_HEX] = "";
    bool equal = false;
    local = store_detail_make(w->entries, w->count, &w->labels, NULL, &detail);
    if (local == ST_OK && !(text = json_dumps(detail, JSON_COMPACT | JSON_SORT_KEYS)))
        local = status_memory("a list of volumes", 0);
    if (local == ST_OK) local = bytes_sha256(text, (int64_t)strlen(text), hex);
    TRY(comm_agree(w->comm, local));
    hex[16] = 0;
    TRY(comm_all_equal(w->comm, strtoull(hex, NULL, 16), &equal));
    if (!equal)
        TRY(status_fail(ST_INTERNAL, "%s: the ranks were given different lists of volumes",
                        w->directory));
done:
    free(text);
    json_decref(detail);
    return st;
}

status store_writer_open(const comm *c, const store_plan *plan, store_writer **out) {
    status st, local;
    store_writer *w = NULL;
    *out = NULL;
    local = store_writer_prepare(c, plan, &w);
    if (local == ST_OK && comm_rank(c) == 0) {
        local = file_make_dirs(plan->directory);
        if (local == ST_OK) local = file_remove_temporaries(plan->directory);
        if (local == ST_OK && plan->parts) local = file_make_dirs(plan->parts);
        if (local == ST_OK && plan->parts) local = file_remove_temporaries(plan->parts);
    }
    TRY(comm_agree(c, local));
    TRY(store_writer_check_same(w));
    *out = w;
    w = NULL;
done:
    store_writer_free(w);
    return st;
}

bool store_writer_is_mine(const store_writer *w, int64_t i) {
    const int64_t shard = w->entries[i].shard;
    return owner(w, shard) == comm_rank(w->comm) && (!w->wanted || w->wanted[shard]);
}

status store_writer_paths(const store_writer *w, const char *name, char path[PATH_SIZE],
                          char temporary[PATH_SIZE]) {
    status st;
    char tagged[sizeof((manifest_file *)0)->name + 32];
    snprintf(tagged, sizeof tagged, "%s.tmp.%ld", name, (long)getpid());
    TRY(path_join(path, w->directory, name));
    TRY(path_join(temporary, w->directory, tagged));
done:
    return st;
}

/* Creates the group "volumes". Its attribute "labels" serves readers of a single file. */
static status make_volumes_group(hid_t file, const label_set *labels, const char *path,
                                 hid_t *group) {
    status st;
    const hsize_t count[] = {(hsize_t)labels->count};
    hid_t text = -1;
    TRY(hdf5_make_group(file, "volumes", path, group));
    TRY(hdf5_check(text = H5Tcopy(H5T_C_S1), ST_INTERNAL, path, "describe text"));
    TRY(hdf5_check(H5Tset_size(text, LABEL_NAME), ST_INTERNAL, path, "describe text"));
    TRY(hdf5_check(H5Tset_strpad(text, H5T_STR_NULLPAD), ST_INTERNAL, path, "describe text"));
    TRY(hdf5_check(H5Tset_cset(text, H5T_CSET_UTF8), ST_INTERNAL, path, "describe text"));
    TRY(hdf5_put_attribute(*group, "labels", text, text, 1, count, labels->name, path));
done:
    if (text >= 0) H5Tclose(text);
    return st;
}

static status close_shard(store_writer *w) {
    status st = ST_OK;
    char name[SHARD_NAME], path[PATH_SIZE], temporary[PATH_SIZE];
    manifest_file *f = &w->finished[w->n_finished];
    if (w->open_shard < 0) return ST_OK;
    store_shard_name(w->open_shard, name);
    w->open_shard = -1;
    TRY(store_writer_paths(w, name, path, temporary));
    hid_t group = w->volumes;
    w->volumes = -1;
    TRY(hdf5_check(H5Gclose(group), ST_STORAGE, temporary, "write"));
    TRY(hdf5_finish(&w->file, temporary));
    TRY(file_size(temporary, &f->bytes));
    TRY(file_sha256(temporary, f->sha256));
    snprintf(f->name, sizeof f->name, "%s", name);
    w->n_finished++;
done:
    return st;
}

static status open_shard(store_writer *w, int64_t shard) {
    status st;
    char name[SHARD_NAME], path[PATH_SIZE], temporary[PATH_SIZE];
    TRY(close_shard(w));
    store_shard_name(shard, name);
    TRY(store_writer_paths(w, name, path, temporary));
    TRY(hdf5_create(temporary, &w->file));
    w->open_shard = shard;
    TRY(make_volumes_group(w->file, &w->labels, temporary, &w->volumes));
done:
    return st;
}

static status check_volume(const store_writer *w, int64_t i, const volume *v) {
    const store_entry *e = &w->entries[i];
    const int64_t *shape = v->space.shape;
    if (i < w->next || !store_writer_is_mine(w, i))
        return status_fail(ST_INTERNAL, "%s: volume %s is written out of turn or by another rank",
                           w->directory, e->id);
    if (strcmp(v->id, e->id) != 0 || memcmp(&v->space, &e->space, sizeof e->space) != 0 ||
        v->contrast != e->contrast || v->traits.kernel != e->traits.kernel ||
        v->traits.body != e->traits.body)
        return status_fail(ST_INTERNAL,
                           "%s: volume %s is not the planned %s (id, geometry, "
                           "contrast, traits)",
                           w->directory, v->id, e->id);
    int max = label_max(v->labels, shape[0] * shape[1] * shape[2]);
    if (e->unlabelled && max > 0)
        return status_fail(ST_INTERNAL, "%s: volume %s has labels, but counts as unlabelled",
                           w->directory, e->id);
    if (max >= w->labels.count)
        return status_fail(ST_INPUT, "%s: volume %s has label value %d, but there are %d labels",
                           w->directory, e->id, max, w->labels.count);
    return ST_OK;
}

static status put_attributes(hid_t group, const store_entry *e, const char *path) {
    status st;
    const hsize_t three[] = {3, 3};
    const int labelled = !e->unlabelled, kernel = (int)e->traits.kernel, body = (int)e->traits.body;
    TRY(hdf5_put_attribute(group, "spacing", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, three,
                           e->space.spacing, path));
    TRY(hdf5_put_attribute(group, "origin", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, three,
                           e->space.origin, path));
    TRY(hdf5_put_attribute(group, "direction", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 2, three,
                           e->space.direction, path));
    TRY(hdf5_put_attribute(group, "contrast", H5T_STD_I32LE, H5T_NATIVE_INT, 0, NULL, &e->contrast,
                           path));
    TRY(hdf5_put_attribute(group, "labelled", H5T_STD_I32LE, H5T_NATIVE_INT, 0, NULL, &labelled,
                           path));
    if (kernel)
        TRY(hdf5_put_attribute(group, "kernel", H5T_STD_I32LE, H5T_NATIVE_INT, 0, NULL, &kernel,
                               path));
    if (body)
        TRY(hdf5_put_attribute(group, "body", H5T_STD_I32LE, H5T_NATIVE_INT, 0, NULL, &body, path));
done:
    return st;
}

/* Every rank knows the structures of its own volumes. Collective. */
static status share_structures(store_writer *w) {
    enum { WORDS = LABELS_MAX / 64 };
    int64_t *all = NULL;
    status st = array_alloc(&all, w->count * WORDS, sizeof *all, "a list of structures");
    TRY(comm_agree(w->comm, st));
    for (int64_t i = 0; i < w->count; i++)
        memcpy(all + i * WORDS, w->entries[i].structures, sizeof w->entries[i].structures);
    TRY(comm_sum_i64(w->comm, all, w->count * WORDS)); /* one rank each has bits */
    for (int64_t i = 0; i < w->count; i++)
        memcpy(w->entries[i].structures, all + i * WORDS, sizeof w->entries[i].structures);
done:
    free(all);
    return st;
}

/* Writes a packed volume i into its shard. */
static status put(store_writer *w, int64_t i, const packed_volume *p) {
    status st;
    store_entry *e = &w->entries[i];
    char name[SHARD_NAME], path[PATH_SIZE], temporary[PATH_SIZE];
    hsize_t shape[3], chunk[3];
    hid_t group = -1;
    const uint8_t *labels = p->bytes;
    for (int64_t k = 0; k < p->slices; k++) labels += p->sizes[k];
    for (int k = 0; k < 3; k++) chunk[k] = shape[k] = (hsize_t)e->space.shape[k];
    chunk[0] = 1;
    if (e->shard != w->open_shard) TRY(open_shard(w, e->shard));
    store_shard_name(e->shard, name);
    TRY(store_writer_paths(w, name, path, temporary));
    TRY(hdf5_make_group(w->volumes, e->id, temporary, &group));
    TRY(put_attributes(group, e, temporary));
    TRY(hdf5_write_packed(group, "ct", H5T_STD_I16LE, 3, shape, chunk, p->sizes, p->bytes,
                          temporary));
    TRY(hdf5_write_packed(group, "labels", H5T_STD_U8LE, 3, shape, chunk, p->sizes + p->slices,
                          labels, temporary));
    memcpy(e->structures, p->structures, sizeof e->structures);
    w->next = i + 1;
done:
    if (group >= 0 && H5Gclose(group) < 0 && st == ST_OK)
        st = hdf5_check(-1, ST_STORAGE, temporary, "write");
    return st;
}

static status part_path(const store_writer *w, int64_t i, char out[PATH_SIZE]) {
    char name[32];
    snprintf(name, sizeof name, "volume-%08" PRId64, i);
    return path_join(out, w->parts, name);
}

status store_writer_put(store_writer *w, int64_t i, const volume *v) {
    status st;
    char path[PATH_SIZE];
    packed_volume packed = {0};
    TRY(check_volume(w, i, v));
    TRY(pack_volume(v, w->entries[i].unlabelled, &packed));
    hdf5_lock();
    st = put(w, i, &packed);
    hdf5_unlock();
    TRY(st);
    if (w->parts[0]) {
        TRY(part_path(w, i, path));
        TRY(pack_save(path, w->fingerprint, &packed));
        activity_saved(true);
    }
done:
    pack_free(&packed);
    return st;
}

status store_writer_take(store_writer *w, int64_t i, bool *taken) {
    status st;
    char path[PATH_SIZE];
    packed_volume packed = {0};
    *taken = false;
    if (!w->parts[0]) return ST_OK;
    TRY(part_path(w, i, path));
    st = pack_load(path, w->fingerprint, w->entries[i].space.shape[0], &packed);
    if (st == ST_INPUT || st == ST_INTEGRITY) return ST_OK; /* to be made again */
    TRY(st);
    if (packed.unlabelled && !w->entries[i].unlabelled) TRY(store_writer_unlabel(w, i));
    hdf5_lock();
    st = put(w, i, &packed);
    hdf5_unlock();
    TRY(st);
    *taken = true;
done:
    pack_free(&packed);
    return st;
}

static status set_fate(store_writer *w, int64_t i, int64_t fate) {
    if (i < w->next || !store_writer_is_mine(w, i))
        return status_fail(ST_INTERNAL, "%s: volume %s is written, or belongs to another rank",
                           w->directory, w->entries[i].id);
    w->fates[i] = fate;
    if (fate == FATE_UNLABELLED) w->entries[i].unlabelled = true;
    return ST_OK;
}

status store_writer_drop(store_writer *w, int64_t i) { return set_fate(w, i, FATE_DROPPED); }
status store_writer_unlabel(store_writer *w, int64_t i) { return set_fate(w, i, FATE_UNLABELLED); }

status store_writer_describe(store_writer *w, const json_t *provenance) {
    json_t *copy = json_deep_copy(provenance);
    if (!copy) return status_memory("a store's provenance", 0);
    json_decref(w->provenance);
    w->provenance = copy;
    return ST_OK;
}

status store_writer_end_shards(store_writer *w) {
    for (int64_t i = w->next; i < w->count; i++)
        if (store_writer_is_mine(w, i) && w->fates[i] != FATE_DROPPED)
            return status_fail(ST_INTERNAL, "%s: volume %s was never written", w->directory,
                               w->entries[i].id);
    hdf5_lock();
    status st = close_shard(w);
    hdf5_unlock();
    return st;
}

/* Removes the volumes that were dropped on any rank from the list, and numbers the shards that are
 * left: now[s] is the number of the planned shard s. Collective. */
static status settle(store_writer *w, int64_t *now) {
    status st;
    int64_t kept = 0, planned = -1;
    TRY(comm_sum_i64(w->comm, w->fates, w->count));
    w->shards = 0;
    for (int64_t i = 0; i < w->count; i++) {
        if (w->fates[i] == FATE_DROPPED) continue;
        store_entry *e = &w->entries[kept++];
        *e = w->entries[i];
        e->unlabelled |= w->fates[i] == FATE_UNLABELLED;
        if (e->shard != planned) w->shards++;
        planned = e->shard;
        e->shard = now[planned] = w->shards - 1;
    }
    w->count = kept;
done:
    return st;
}

/* Gives the shards of this rank, w->finished, their final names. */
static status rename_shards(store_writer *w, const int64_t *now) {
    status st = ST_OK;
    char path[PATH_SIZE], temporary[PATH_SIZE], planned[PATH_SIZE];
    for (int64_t k = 0, s = comm_rank(w->comm); k < w->n_finished; s += comm_size(w->comm)) {
        char name[SHARD_NAME];
        store_shard_name(s, name);
        if (strcmp(name, w->finished[k].name) != 0) continue;
        TRY(store_writer_paths(w, name, planned, temporary));
        store_shard_name(now[s], name);
        TRY(path_join(path, w->directory, name));
        TRY(file_publish(temporary, path));
        snprintf(w->finished[k++].name, sizeof w->finished->name, "%s", name);
    }
done:
    return st;
}

status store_writer_index(const store_writer *w) {
    status st;
    char name[SHARD_NAME], target[VOLUME_ID + 16], path[PATH_SIZE], temporary[PATH_SIZE];
    hid_t file = -1, volumes = -1;
    hdf5_lock();
    TRY(store_writer_paths(w, STORE_INDEX, path, temporary));
    TRY(hdf5_create(temporary, &file));
    TRY(make_volumes_group(file, &w->labels, temporary, &volumes));
    for (int64_t i = 0; i < w->count; i++) {
        store_shard_name(w->entries[i].shard, name);
        snprintf(target, sizeof target, "/volumes/%s", w->entries[i].id);
        TRY(hdf5_check(
            H5Lcreate_external(name, target, volumes, w->entries[i].id, H5P_DEFAULT, H5P_DEFAULT),
            ST_STORAGE, temporary, "link a volume"));
    }
    hid_t closing = volumes;
    volumes = -1;
    TRY(hdf5_check(H5Gclose(closing), ST_STORAGE, temporary, "write"));
    TRY(hdf5_finish(&file, temporary));
    TRY(file_publish(temporary, path));
done:
    if (volumes >= 0) H5Gclose(volumes);
    hdf5_drop(&file);
    hdf5_unlock();
    if (st != ST_OK) unlink(temporary);
    return st;
}

/* Removes the shards of an older store with more of them, the last one first: an interrupted
 * removal then leaves no gap that would hide the rest from the next run. */
static status remove_stale_shards(const store_writer *w) {
    status st = ST_OK;
    char name[SHARD_NAME], path[PATH_SIZE];
    int64_t end = w->shards;
    for (;; end++) {
        store_shard_name(end, name);
        TRY(path_join(path, w->directory, name));
        if (!file_exists(path)) break;
    }
    while (end-- > w->shards) {
        store_shard_name(end, name);
        TRY(path_join(path, w->directory, name));
        TRY(file_remove_tree(path));
    }
done:
    return st;
}

static int compare_files(const void *a, const void *b) {
    return strcmp(((const manifest_file *)a)->name, ((const manifest_file *)b)->name);
}

/* Step 4, on rank 0. Takes ownership of `shards`. */
static status publish_manifest(const store_writer *w, manifest_file *shards, int64_t count) {
    status st;
    manifest m = {.kind = STORE_KIND, .files = shards, .count = count};
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", w->fingerprint);
    qsort(m.files, (size_t)m.count, sizeof *m.files, compare_files);
    TRY(store_writer_index(w));
    TRY(manifest_add_file(&m, w->directory, STORE_INDEX));
    TRY(remove_stale_shards(w));
    TRY(store_detail_make(w->entries, w->count, &w->labels, w->provenance, &m.detail));
    TRY(manifest_write(&m, w->directory));
done:
    manifest_free(&m);
    return st;
}

void store_writer_drop_temporaries(const store_writer *w) {
    char name[SHARD_NAME], path[PATH_SIZE], temporary[PATH_SIZE];
    for (int64_t s = comm_rank(w->comm); s < w->planned; s += comm_size(w->comm)) {
        store_shard_name(s, name);
        if (store_writer_paths(w, name, path, temporary) == ST_OK) unlink(temporary);
    }
}

status store_writer_finish(store_writer *w, status local) {
    status st;
    void *shards = NULL;
    int64_t bytes = 0, *now = NULL;
    bool first = comm_rank(w->comm) == 0;
    if (local == ST_OK) local = store_writer_end_shards(w);
    if (local == ST_OK) local = array_alloc(&now, w->shards, sizeof *now, "shards");
    TRY(comm_agree(w->comm, local));
    TRY(settle(w, now));
    TRY(share_structures(w));
    /* From here on the shards of an older store are replaced. */
    TRY(comm_agree(w->comm, first ? manifest_remove(w->directory) : ST_OK));
    TRY(comm_agree(w->comm, rename_shards(w, now)));
    TRY(comm_all_gather(w->comm, w->finished, w->n_finished * (int64_t)sizeof *w->finished, &shards,
                        &bytes, NULL));
    local = ST_OK;
    if (first) {
        local = publish_manifest(w, shards, bytes / (int64_t)sizeof *w->finished);
        shards = NULL;
    }
    TRY(comm_agree(w->comm, local));
    if (first && w->parts[0]) local = file_remove_tree(w->parts);
    TRY(comm_agree(w->comm, local));
done:
    free(shards);
    free(now);
    if (st != ST_OK) store_writer_drop_temporaries(w);
    store_writer_free(w);
    return st;
}
