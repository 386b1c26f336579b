/* Writing the volumes, each while the next one is read by a thread of its own.
 *
 * Volumes are processed in rounds: in round k every rank handles its k-th volume, then all ranks
 * agree on the status and check for a stop request. Ranks own different numbers of volumes; the
 * rounds ensure that every rank enters every Collective call.
 *
 * What is known of a finished volume beside its voxels (its fate, its faults, its counts) is kept
 * in a part of its own, written after that of the voxels. A run that was stopped or killed goes on
 * from these parts, whatever the number of ranks.
 */
#include "io/activity.h"
#include "io/part_file.h"
#include "pipeline/data/prefetch.h"
#include "pipeline/ingest/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- parts ---- */

static status outcome_path(const ingest *in, int64_t i, char out[PATH_SIZE]) {
    char name[32];
    snprintf(name, sizeof name, "outcome-%08" PRId64, i);
    return path_join(out, in->parts, name);
}

/* Adds what became of volume i to what is known of all. Local. */
static status add_outcome(ingest *in, int64_t i, const volume_outcome *o) {
    const rtstruct_tally *c = &o->counts.contours;
    status st = ST_OK;
    for (int k = 0; k < LABELS_MAX; k++) in->label_voxels[k] += o->counts.label_voxels[k];
    in->masks.overlapped += o->counts.overlapped;
    in->masks.contours.painted += c->painted;
    in->masks.contours.not_closed += c->not_closed;
    in->masks.contours.off_slices += c->off_slices;
    in->fates[i] = o->counts.fate;
    for (int64_t k = 0; k < o->faults.count && st == ST_OK; k++)
        st = fault_add(&in->late, &o->faults.items[k]);
    return st;
}

/* Keeps what became of volume i. Local. */
static status save_outcome(const ingest *in, int64_t i, const volume_outcome *o) {
    status st;
    char path[PATH_SIZE], *text = NULL, *all = NULL;
    int64_t length = 0;
    const int64_t counts = sizeof o->counts;
    const mode_t mask = umask(077); /* also with --share: faults hold paths */
    TRY(outcome_path(in, i, path));
    TRY(faults_encode(&o->faults, &text, &length));
    TRY(array_alloc(&all, counts + length, 1, "a part"));
    memcpy(all, &o->counts, (size_t)counts);
    memcpy(all + counts, text, (size_t)length);
    TRY(part_write(path, in->fingerprint, all, counts + length));
done:
    umask(mask);
    free(text);
    free(all);
    return st;
}

/* What became of volume i, if a part says it. faults_free() frees out->faults. Local. */
static status load_outcome(const ingest *in, int64_t i, volume_outcome *out, bool *loaded) {
    status st;
    char path[PATH_SIZE];
    void *data = NULL;
    int64_t bytes = 0;
    const int64_t counts = sizeof out->counts;
    *loaded = false;
    TRY(outcome_path(in, i, path));
    st = part_load(path, in->fingerprint, &data, &bytes);
    if (st == ST_OK && bytes < counts) st = ST_INTEGRITY;
    if (st == ST_INPUT || st == ST_INTEGRITY) return free(data), ST_OK; /* made again */
    TRY(st);
    memcpy(&out->counts, data, (size_t)counts);
    TRY(faults_decode(&out->faults, (char *)data + counts, bytes - counts));
    *loaded = true;
done:
    free(data);
    return st;
}

/* Takes volume i from its parts, if they are there and whole. Local. */
static status take_volume(ingest *in, store_writer *w, int64_t i, bool *taken) {
    volume_outcome o = {0};
    status st;
    TRY(load_outcome(in, i, &o, taken));
    if (!*taken) goto done;
    if (o.counts.fate == LEFT_OUT)
        TRY(store_writer_drop(w, i));
    else
        TRY(store_writer_take(w, i, taken));
    if (*taken) TRY(add_outcome(in, i, &o));
done:
    faults_free(&o.faults);
    return st;
}

/* ---- reading ahead ---- */

/* The volume that is read last, by the thread of `ahead` or by this one. */
typedef struct reading {
    const ingest *in;
    prefetch *ahead;
    volume v;
    volume_outcome outcome;
} reading;

static void drop_reading(reading *r) {
    volume_free(&r->v);
    faults_free(&r->outcome.faults);
    r->v = (volume){0};
    r->outcome = (volume_outcome){0};
}

static status read_next(void *context, int64_t i, int64_t slot) {
    reading *r = context;
    (void)slot; /* there is one */
    drop_reading(r);
    return ingest_read_volume(r->in, i, &r->v, &r->outcome);
}

/* Begins to read the volume of this rank that follows volume i, unless it has been kept. Local. */
static status read_ahead(reading *r, const store_writer *w, int64_t i) {
    char path[PATH_SIZE];
    do i++;
    while (i < r->in->list.count && !store_writer_is_mine(w, i));
    if (i == r->in->list.count) return ST_OK;
    status st = outcome_path(r->in, i, path);
    if (st == ST_OK && !file_exists(path)) prefetch_announce(r->ahead, i, 1);
    return st;
}

/* ---- writing ---- */

/* Local. */
static status store_volume(ingest *in, store_writer *w, int64_t i, const volume *v,
                           const volume_outcome *o) {
    status st = ST_OK;
    if (o->counts.fate == LEFT_OUT) TRY(store_writer_drop(w, i));
    if (o->counts.fate == STORED_UNLABELLED) TRY(store_writer_unlabel(w, i));
    if (o->counts.fate != LEFT_OUT) TRY(store_writer_put(w, i, v));
    TRY(save_outcome(in, i, o));
    TRY(add_outcome(in, i, o));
    in->decoded++;
done:
    return st;
}

/* Two volumes are in memory: this one, and the next one, which is read meanwhile. Local. */
static status make_volume(ingest *in, store_writer *w, int64_t i, reading *r) {
    status st = prefetch_take(r->ahead, i, 1);
    volume v = r->v;
    volume_outcome o = r->outcome;
    r->v = (volume){0};
    r->outcome = (volume_outcome){0};
    TRY(st);
    TRY(read_ahead(r, w, i));
    TRY(store_volume(in, w, i, &v, &o));
done:
    volume_free(&v);
    faults_free(&o.faults);
    return st;
}

static status write_volume(ingest *in, store_writer *w, int64_t i, reading *r) {
    bool taken = false;
    status st = take_volume(in, w, i, &taken);
    if (st == ST_OK && !taken) st = make_volume(in, w, i, r);
    activity_step(i);
    return st;
}

status ingest_volumes(ingest *in, store_writer *w) {
    const stage_context *s = in->stage;
    int64_t mine = 0, bytes = 0, rounds = 0, finished = 0, next = 0;
    void *gathered = NULL;
    reading r = {.in = in};
    status st = ST_OK;
    TRY(comm_agree(s->comm, prefetch_open(read_next, &r, &r.ahead)));
    for (int64_t i = 0; i < in->list.count; i++) mine += store_writer_is_mine(w, i);
    TRY(comm_all_gather(s->comm, &mine, sizeof mine, &gathered, &bytes, NULL));
    const int64_t *owned = gathered;
    for (int r = 0; r < comm_size(s->comm); r++) rounds = owned[r] > rounds ? owned[r] : rounds;
    for (int64_t round = 0; round < rounds; round++) {
        bool stop = false;
        TRY(stage_should_stop(s, &stop));
        if (stop)
            TRY(status_fail(ST_STOPPED,
                            "stopped after %" PRId64 " of %" PRId64
                            " volumes; run again to go on with the next one",
                            finished, in->list.count));
        status local = ST_OK;
        if (round < mine) {
            while (!store_writer_is_mine(w, next)) next++;
            local = write_volume(in, w, next++, &r);
        }
        TRY(comm_agree(s->comm, local));
        for (int r = 0; r < comm_size(s->comm); r++) finished += round < owned[r];
        log_progress_set(s->log, finished, "volumes");
    }
    TRY(comm_sum_i64(s->comm, in->label_voxels, in->labels.count));
    TRY(comm_sum_i64(s->comm, in->fates, in->list.count));
    TRY(comm_sum_i64(s->comm, &in->decoded, 1));
    TRY(series_share_faults(s->comm, &in->list, &in->late));
    TRY(mask_labels_sum(s->comm, &in->masks));
done:
    prefetch_close(r.ahead);
    drop_reading(&r);
    free(gathered);
    return st;
}
