/* Decoding, labelling and writing the volumes.
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
#include "pipeline/ingest/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool ingest_begins_file(const series *one, int64_t z) {
    return z == 0 || strcmp(one->slices[z].path, one->slices[z - 1].path) != 0;
}

int64_t ingest_file_count(const series *one) {
    int64_t count = one->segmentation_count;
    for (int64_t z = 0; z < one->source.shape[0]; z++) count += ingest_begins_file(one, z);
    return count;
}

/* That the files of series i are still those that were hashed. Local. */
static status check_files(const ingest *in, int64_t i) {
    int64_t first = 0;
    for (int64_t k = 0; k < i; k++) first += ingest_file_count(&in->list.items[k]);
    const int64_t end = first + ingest_file_count(&in->list.items[i]);
    for (int64_t k = first; k < end; k++) {
        status st = input_file_check(&in->files[k], in->paths[k]);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

/* The file of a series that status_message() begins with, or its first slice. Local. */
static const char *file_at_fault(const series *one) {
    for (int64_t z = 0; z < one->source.shape[0]; z++)
        if (fault_message_is_of(one->slices[z].path)) return one->slices[z].path;
    return one->slices[0].path;
}

/* Records that volume i, or only its labels, cannot be stored for the reason in status_message().
 * Local. */
static status quarantine(ingest *in, int64_t i, fault_scope scope, const char *path) {
    const series *one = &in->list.items[i];
    const bool keep = scope == FAULT_SEG && in->stage->study->ingest.unlabelled == UNLABELLED_KEEP;
    status st = fault_add_message(
        &in->late,
        &(fault){.scope = scope,
                 .files = scope == FAULT_SEG ? 1 : one->source.shape[0],
                 .text = {[FAULT_PATH] = path,
                          [FAULT_UID] = one->series_uid,
                          [FAULT_ADVICE] = scope == FAULT_SEG ? "correct the segmentation"
                                                              : "export the series again"}});
    if (in->fates[i] != LEFT_OUT) in->fates[i] = keep ? STORED_UNLABELLED : LEFT_OUT;
    return st;
}

/* Decodes volume i and its labels. What is at fault is recorded; in->fates[i] says what is left.
 * Local. */
static status decode(ingest *in, int64_t i, volume *v) {
    const series *one = &in->list.items[i];
    const char *path = NULL;
    status st = series_read(one, v);
    if (st == ST_INPUT) return quarantine(in, i, FAULT_SERIES, file_at_fault(one));
    TRY(st);
    if (in->from_seg && !series_is_unlabelled(one) && in->fates[i] != STORED_UNLABELLED)
        st = mask_labels_read(&in->masks, one, v, &path);
    if (st == ST_INPUT) {
        st = quarantine(in, i, FAULT_SEG, path);
        memset(v->labels, 0, (size_t)(v->space.shape[0] * v->space.shape[1] * v->space.shape[2]));
    }
    TRY(st);
    st = check_files(in, i);
    if (st == ST_INPUT) st = quarantine(in, i, FAULT_SERIES, file_at_fault(one));
done:
    return st;
}

status ingest_read_volume(ingest *in, int64_t i, volume *v) {
    int64_t voxels = 0;
    status st;
    TRY(decode(in, i, v));
    if (in->fates[i] == LEFT_OUT) goto done;
    TRY(geometry_voxels(&v->space, &voxels));
    for (int64_t k = 0; !in->from_seg && k < voxels; k++)
        v->labels[k] = in->label_of_hu[v->hu[k] + HU_ZERO];
    TRY(series_turn(&in->list.items[i], v));
    for (int64_t k = 0; k < voxels; k++) in->label_voxels[v->labels[k]]++;
done:
    return st;
}

/* ---- parts ---- */

/* The numbers that volumes add to. */
enum { COUNTS = LABELS_MAX + 4, FATE = COUNTS, NUMBERS };

static void add_counts(ingest *in, const int64_t *n) {
    for (int k = 0; k < LABELS_MAX; k++) in->label_voxels[k] += n[k];
    in->masks.overlapped += n[LABELS_MAX];
    in->masks.contours.painted += n[LABELS_MAX + 1];
    in->masks.contours.not_closed += n[LABELS_MAX + 2];
    in->masks.contours.off_slices += n[LABELS_MAX + 3];
}

static void get_counts(const ingest *in, int64_t *n) {
    const rtstruct_tally *c = &in->masks.contours;
    memcpy(n, in->label_voxels, sizeof in->label_voxels);
    n[LABELS_MAX] = in->masks.overlapped;
    n[LABELS_MAX + 1] = c->painted;
    n[LABELS_MAX + 2] = c->not_closed;
    n[LABELS_MAX + 3] = c->off_slices;
}

static status outcome_path(const ingest *in, int64_t i, char out[PATH_SIZE]) {
    char name[32];
    snprintf(name, sizeof name, "outcome-%08" PRId64, i);
    return path_join(out, in->parts, name);
}

/* Keeps what became of volume i: `before` and `faults` are the counts and the number of faults
 * before it. Local. */
static status save_outcome(const ingest *in, int64_t i, const int64_t *before, int64_t faults) {
    status st;
    char path[PATH_SIZE], *text = NULL, *all = NULL;
    int64_t numbers[NUMBERS], length = 0;
    const fault_list found = {in->late.items + faults, in->late.count - faults, 0};
    const mode_t mask = umask(077); /* also with --share: faults hold paths */
    get_counts(in, numbers);
    for (int k = 0; k < COUNTS; k++) numbers[k] -= before[k];
    numbers[FATE] = in->fates[i];
    TRY(outcome_path(in, i, path));
    TRY(faults_encode(&found, &text, &length));
    TRY(array_alloc(&all, (int64_t)sizeof numbers + length, 1, "a part"));
    memcpy(all, numbers, sizeof numbers);
    memcpy(all + sizeof numbers, text, (size_t)length);
    TRY(part_write(path, in->fingerprint, all, (int64_t)sizeof numbers + length));
done:
    umask(mask);
    free(text);
    free(all);
    return st;
}

/* Takes volume i from its parts, if they are there and whole. Local. */
static status take_volume(ingest *in, store_writer *w, int64_t i, bool *taken) {
    status st;
    char path[PATH_SIZE];
    void *data = NULL;
    int64_t numbers[NUMBERS], bytes = 0;
    *taken = false;
    TRY(outcome_path(in, i, path));
    st = part_load(path, in->fingerprint, &data, &bytes);
    if (st == ST_OK && bytes < (int64_t)sizeof numbers) st = ST_INTEGRITY;
    if (st == ST_INPUT || st == ST_INTEGRITY) return free(data), ST_OK; /* made again */
    TRY(st);
    memcpy(numbers, data, sizeof numbers);
    if (numbers[FATE] == LEFT_OUT)
        TRY(store_writer_drop(w, i));
    else
        TRY(store_writer_take(w, i, taken));
    if (numbers[FATE] != LEFT_OUT && !*taken) goto done;
    TRY(faults_decode(&in->late, (char *)data + sizeof numbers, bytes - (int64_t)sizeof numbers));
    add_counts(in, numbers);
    in->fates[i] = numbers[FATE];
    *taken = true;
done:
    free(data);
    return st;
}

/* ---- writing ---- */

static status make_volume(ingest *in, store_writer *w, int64_t i) {
    volume v = {0};
    int64_t before[COUNTS];
    const int64_t faults = in->late.count;
    status st;
    get_counts(in, before);
    TRY(ingest_read_volume(in, i, &v));
    if (in->fates[i] == LEFT_OUT) TRY(store_writer_drop(w, i));
    if (in->fates[i] == STORED_UNLABELLED) TRY(store_writer_unlabel(w, i));
    if (in->fates[i] != LEFT_OUT) TRY(store_writer_put(w, i, &v));
    TRY(save_outcome(in, i, before, faults));
    in->decoded++;
done:
    volume_free(&v);
    return st;
}

static status write_volume(ingest *in, store_writer *w, int64_t i) {
    bool taken = false;
    status st = take_volume(in, w, i, &taken);
    if (st == ST_OK && !taken) st = make_volume(in, w, i);
    activity_step(i);
    return st;
}

status ingest_volumes(ingest *in, store_writer *w) {
    const stage_context *s = in->stage;
    int64_t mine = 0, bytes = 0, rounds = 0, finished = 0, next = 0;
    void *gathered = NULL;
    status st = ST_OK;
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
            local = write_volume(in, w, next++);
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
    free(gathered);
    return st;
}
