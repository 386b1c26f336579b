/* Mending a store: the damaged shards are written again, with the bytes that the manifest vouches
 * for. Nothing else is touched, and the manifest stays: what follows from the store stays current.
 */
#include "io/store_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Index of a file in the manifest, or -1. */
static int64_t find_file(const manifest *m, const char *name) {
    for (int64_t i = 0; i < m->count; i++)
        if (strcmp(m->files[i].name, name) == 0) return i;
    return -1;
}

static bool is_damaged(const manifest *m, const char *directory, int64_t file) {
    return file < 0 || manifest_check_size(m, directory, file) != ST_OK ||
           manifest_check_file(m, directory, file) != ST_OK;
}

/* A writer of the store that the manifest describes, with the shards as they are there. Local. */
static status make_writer(const comm *c, const char *directory, const manifest *m,
                          store_writer **out) {
    status st;
    label_set labels;
    store_entry *entries = NULL;
    int64_t count = 0;
    store_writer *w = NULL;
    TRY(store_detail_read(m->detail, directory, &entries, &count, &labels));
    const store_plan plan = {.directory = directory,
                             .fingerprint = m->fingerprint,
                             .labels = &labels,
                             .entries = entries,
                             .count = count,
                             .shard_bytes = 1}; /* as many shards as there may be */
    TRY(store_writer_prepare(c, &plan, &w));
    for (int64_t i = 0; i < count; i++) w->entries[i].shard = entries[i].shard;
    w->shards = w->planned = count > 0 ? entries[count - 1].shard + 1 : 0;
    TRY(array_alloc(&w->wanted, w->shards, sizeof *w->wanted, "shards"));
    *out = w;
    w = NULL;
done:
    free(entries);
    store_writer_free(w);
    return st;
}

/* Sets w->wanted; *damaged: the number of damaged files, with the index. The ranks share the
 * hashing. Collective. */
static status find_damaged(store_writer *w, const manifest *m, int64_t *damaged) {
    status st;
    int64_t *found = NULL;
    char name[SHARD_NAME];
    TRY(comm_agree(w->comm, array_alloc(&found, w->shards + 1, sizeof *found, "shards")));
    for (int64_t s = comm_rank(w->comm); s <= w->shards; s += comm_size(w->comm)) {
        store_shard_name(s, name);
        found[s] = is_damaged(m, w->directory, find_file(m, s < w->shards ? name : STORE_INDEX));
    }
    TRY(comm_sum_i64(w->comm, found, w->shards + 1));
    *damaged = 0;
    for (int64_t s = 0; s <= w->shards; s++) *damaged += found[s];
    for (int64_t s = 0; s < w->shards; s++) w->wanted[s] = found[s] != 0;
done:
    free(found);
    return st;
}

status store_mend_open(const comm *c, const char *directory, const char *fingerprint,
                       store_writer **out, int64_t *damaged) {
    status st, local;
    manifest m = {0};
    store_writer *w = NULL;
    *out = NULL;
    *damaged = 0;
    local = manifest_read_alone(directory, STORE_KIND, &m);
    if (local == ST_OK && strcmp(m.fingerprint, fingerprint) != 0)
        local = status_fail(ST_INPUT,
                            "%s: made from another archive or study than there are now: it cannot "
                            "be mended, only made again",
                            directory);
    if (local == ST_OK) local = make_writer(c, directory, &m, &w);
    TRY(comm_agree(c, local));
    TRY(store_writer_check_same(w));
    if (comm_rank(c) == 0) local = file_remove_temporaries(directory);
    TRY(comm_agree(c, local));
    TRY(find_damaged(w, &m, damaged));
    *out = w;
    w = NULL;
done:
    manifest_free(&m);
    store_writer_free(w);
    return st;
}

int64_t store_writer_count(const store_writer *w) { return w->count; }
const store_entry *store_writer_at(const store_writer *w, int64_t i) { return &w->entries[i]; }

/* Puts a shard that was made again in its place, if it is what the manifest vouches for. Local. */
static status publish(const store_writer *w, const manifest *m, const manifest_file *made) {
    status st;
    char path[PATH_SIZE], temporary[PATH_SIZE];
    const int64_t file = find_file(m, made->name);
    TRY(store_writer_paths(w, made->name, path, temporary));
    if (file < 0 || strcmp(m->files[file].sha256, made->sha256) != 0)
        TRY(status_fail(ST_INTEGRITY,
                        "%s: made again, it is not what it was: another version of ctaug or of its "
                        "libraries has written it; the whole store has to be made again",
                        path));
    TRY(file_publish(temporary, path));
done:
    return st;
}

/* The index follows from the manifest alone. Local; for rank 0. */
static status mend_index(const store_writer *w, const manifest *m) {
    const int64_t file = find_file(m, STORE_INDEX);
    if (!is_damaged(m, w->directory, file)) return ST_OK;
    status st = store_writer_index(w);
    if (st == ST_OK && file >= 0) st = manifest_check_file(m, w->directory, file);
    return st;
}

status store_mend_finish(store_writer *w, status local) {
    status st;
    manifest m = {0};
    if (local == ST_OK) local = store_writer_end_shards(w);
    if (local == ST_OK) local = manifest_read_alone(w->directory, STORE_KIND, &m);
    TRY(comm_agree(w->comm, local));
    for (int64_t k = 0; k < w->n_finished; k++) {
        const status one = publish(w, &m, &w->finished[k]);
        if (one != ST_OK) local = one;
    }
    if (local == ST_OK && comm_rank(w->comm) == 0) local = mend_index(w, &m);
    TRY(comm_agree(w->comm, local));
done:
    if (st != ST_OK) store_writer_drop_temporaries(w);
    manifest_free(&m);
    store_writer_free(w);
    return st;
}
