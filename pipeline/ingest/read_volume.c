/* Decoding and labelling a volume, and what becomes of it.
 *
 * Nothing but the results is written: another thread may read the next volume while one is stored.
 */
#include "pipeline/ingest/ingest.h"

#include <string.h>

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
static status quarantine(const ingest *in, int64_t i, fault_scope scope, const char *path,
                         volume_outcome *out) {
    const series *one = &in->list.items[i];
    const bool keep = scope == FAULT_SEG && in->stage->study->ingest.unlabelled == UNLABELLED_KEEP;
    if (out->counts.fate != LEFT_OUT) out->counts.fate = keep ? STORED_UNLABELLED : LEFT_OUT;
    return fault_add_message(
        &out->faults,
        &(fault){.scope = scope,
                 .files = scope == FAULT_SEG ? 1 : one->source.shape[0],
                 .text = {[FAULT_PATH] = path,
                          [FAULT_UID] = one->series_uid,
                          [FAULT_ADVICE] = scope == FAULT_SEG ? "correct the segmentation"
                                                              : "export the series again"}});
}

/* Reads the labels of volume i, if they come from files; all 0 if these are at fault. Local. */
static status read_labels(const ingest *in, int64_t i, volume *v, volume_outcome *out) {
    const series *one = &in->list.items[i];
    label_tally found = {0};
    status st = ST_OK;
    if (!in->from_seg || series_is_unlabelled(one) || out->counts.fate == STORED_UNLABELLED)
        return ST_OK;
    st = mask_labels_read(&in->masks, one, v, &found);
    if (st == ST_INPUT) {
        st = quarantine(in, i, FAULT_SEG, one->segmentations[found.file], out);
        memset(v->labels, 0, (size_t)(v->space.shape[0] * v->space.shape[1] * v->space.shape[2]));
        return st;
    }
    out->counts.overlapped = found.overlapped;
    out->counts.contours = found.contours;
    return st;
}

/* Decodes volume i and its labels. Local. */
static status decode(const ingest *in, int64_t i, volume *v, volume_outcome *out) {
    const series *one = &in->list.items[i];
    status st = series_read(one, v);
    if (st == ST_INPUT) return quarantine(in, i, FAULT_SERIES, file_at_fault(one), out);
    TRY(st);
    TRY(read_labels(in, i, v, out));
    st = check_files(in, i);
    if (st == ST_INPUT) st = quarantine(in, i, FAULT_SERIES, file_at_fault(one), out);
done:
    return st;
}

status ingest_read_volume(const ingest *in, int64_t i, volume *v, volume_outcome *out) {
    int64_t voxels = 0;
    status st;
    *out = (volume_outcome){.counts.fate = in->fates[i]};
    TRY(decode(in, i, v, out));
    if (out->counts.fate == LEFT_OUT) goto done;
    TRY(geometry_voxels(&v->space, &voxels));
    for (int64_t k = 0; !in->from_seg && k < voxels; k++)
        v->labels[k] = in->label_of_hu[v->hu[k] + HU_ZERO];
    TRY(series_turn(&in->list.items[i], v));
    for (int64_t k = 0; k < voxels; k++) out->counts.label_voxels[v->labels[k]]++;
done:
    return st;
}
