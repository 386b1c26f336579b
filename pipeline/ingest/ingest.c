/* The ingest stage: reads CT series from DICOM files and writes them as a store.
 *
 * Every rank gets the headers of all series. The ranks agree on the label set and on the
 * fingerprint of the output; then each rank reads, labels and writes the volumes that the store
 * assigns to it. Volumes are processed in rounds: in round k every rank handles its k-th volume,
 * then all ranks agree on the status and check for a stop request. Ranks own different numbers of
 * volumes; the rounds ensure that every rank enters every Collective call. The store gets
 * pseudonyms, geometry and voxels only; patient names and file paths are not written to it.
 */
#include "io/activity.h"
#include "io/label_file.h"
#include "io/series.h"
#include "io/store.h"
#include "pipeline/ingest/input_hashes.h"
#include "pipeline/stage.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HU_VALUES = 65536, HU_ZERO = 32768 };

typedef struct ingest {
    const stage_context *stage;
    char directory[PATH_SIZE], fingerprint[SHA256_HEX];
    series_list list;
    const char **paths; /* of all input files: the slices and mask files of each series in turn */
    input_file *files;  /* of `paths` */
    int64_t file_count;
    int64_t left_out, without_seg, patients, slices, voxels;
    label_set labels;
    bool from_seg; /* labels come from files: SEG, RT Structure Sets or NIfTI */
    rtstruct_tally contours;
    uint8_t label_of_hu[HU_VALUES]; /* labels from thresholds only: label of h at h + HU_ZERO */
    int64_t label_voxels[LABELS_MAX];
} ingest;

/* *index = index of `name` in the set; a new name is appended. ST_INPUT if the set is full. Local.
 */
static status label_add(label_set *set, const char *name, int *index) {
    *index = label_find(set, name);
    if (*index >= 0) return ST_OK;
    if (set->count >= LABELS_MAX)
        return status_fail(ST_INPUT,
                           "label '%s' is one structure too many: a store holds at most %d; leave "
                           "some segments out",
                           name, STRUCTURES_MAX);
    *index = set->count++;
    snprintf(set->name[*index], LABEL_NAME, "%s", name);
    return ST_OK;
}

/* A label set of the background alone. Local. */
static label_set label_background(void) {
    label_set set = {.count = 1, .name = {"background"}};
    return set;
}

/* Label set and look-up table for labels from HU ranges. Where ranges overlap, the later one takes
 * precedence. Local. */
static status labels_from_thresholds(ingest *in) {
    const study *study = in->stage->study;
    in->labels = label_background();
    if (study->ingest.threshold_count < 1)
        return status_fail(ST_USAGE, "ingest.labels is thresholds, but ingest.thresholds is empty: "
                                     "name ranges such as \"bone: 300..3071\"");
    for (int t = 0; t < study->ingest.threshold_count; t++) {
        const study_threshold *range = &study->ingest.thresholds[t];
        int label = 0;
        status st = label_add(&in->labels, range->name, &label);
        if (st != ST_OK) return st;
        int low = range->low < INT16_MIN ? INT16_MIN : range->low;
        int high = range->high > INT16_MAX ? INT16_MAX : range->high;
        for (int hu = low; hu <= high; hu++) in->label_of_hu[hu + HU_ZERO] = (uint8_t)label;
    }
    return ST_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

/* Label set of the structures in all mask files, sorted by name, so that a label's value depends
 * on the names alone and not on the order of the patients. Collective. */
static status labels_from_segs(ingest *in) {
    const comm *c = in->stage->comm;
    label_set mine = label_background();
    const char(*names)[LABEL_NAME] = NULL;
    void *gathered = NULL;
    int64_t bytes = 0;
    status st = ST_OK;
    for (int64_t i = comm_rank(c); i < in->list.count && st == ST_OK; i += comm_size(c)) {
        const series *one = &in->list.items[i];
        for (int64_t j = 0; j < one->segmentation_count && st == ST_OK; j++)
            st = label_file_names(one->segmentations[j], in->list.masks, &mine);
    }
    TRY(comm_agree(c, st));
    /* Only the names that are there travel, not the array with room for LABELS_MAX. */
    TRY(comm_all_gather(c, mine.name[1], (mine.count - 1) * (int64_t)LABEL_NAME, &gathered, &bytes,
                        NULL));
    names = gathered;
    in->labels = label_background();
    for (int64_t k = 0; k < bytes / LABEL_NAME; k++) {
        int label = 0;
        TRY(label_add(&in->labels, names[k], &label));
    }
    qsort(in->labels.name[1], (size_t)in->labels.count - 1, LABEL_NAME, by_name);
done:
    free(gathered);
    return st;
}

static int64_t file_count(const series *one) {
    return one->space.shape[0] + one->segmentation_count;
}

/* Lists the input files in an order that follows from their content and, for several SEG files of
 * one series, from their names. Local. */
static status list_files(ingest *in) {
    int64_t next = 0;
    for (int64_t i = 0; i < in->list.count; i++) in->file_count += file_count(&in->list.items[i]);
    status st = array_alloc(&in->paths, in->file_count, sizeof *in->paths, "the input files");
    for (int64_t i = 0; i < in->list.count && st == ST_OK; i++) {
        const series *one = &in->list.items[i];
        for (int64_t z = 0; z < one->space.shape[0]; z++) in->paths[next++] = one->slices[z].path;
        for (int64_t j = 0; j < one->segmentation_count; j++)
            in->paths[next++] = one->segmentations[j];
    }
    return st;
}

/* SHA-256 over the content of all slices and SEG files. Paths and times are not included, so that a
 * copy of the archive has the same hash. Local. */
static status input_hash(const ingest *in, char hex[SHA256_HEX]) {
    char *text = NULL;
    size_t length = 0;
    const input_file *next = in->files;
    FILE *stream = open_memstream(&text, &length);
    if (!stream) return status_memory("the list of input files", 0);
    for (int64_t i = 0; i < in->list.count; i++) {
        const series *one = &in->list.items[i];
        fprintf(stream, "series %s\n", one->pseudonym);
        for (int64_t k = 0; k < file_count(one); k++, next++)
            fprintf(stream, "%s %s\n", k < one->space.shape[0] ? "slice" : "seg", next->sha256);
    }
    const bool failed = ferror(stream);
    status st = ST_OK;
    if (fclose(stream) != 0 || failed)
        st = status_memory("the list of input files", (int64_t)length);
    if (st == ST_OK) st = bytes_sha256(text, (int64_t)length, hex);
    free(text);
    return st;
}

/* Computes in->fingerprint of the output and checks whether the published store already has it.
 * Collective. */
static status is_current(ingest *in, bool *current) {
    static const char *const sections[] = {"ingest"};
    const comm *c = in->stage->comm;
    char upstream[SHA256_HEX];
    status st;
    TRY(comm_agree(c, list_files(in)));
    TRY(input_hashes(in->stage, in->paths, in->file_count, &in->files));
    st = input_hash(in, upstream);
    if (st == ST_OK)
        st = study_fingerprint(in->stage->study, sections, 1, upstream, in->fingerprint);
    TRY(comm_agree(c, st)); /* ranks may differ only in lack of memory */
    TRY(stage_is_current(in->stage, in->directory, "store", in->fingerprint, current));
done:
    return st;
}

/* That the files of series i are still those that were hashed. Local. */
static status check_files(const ingest *in, int64_t i) {
    int64_t first = 0;
    for (int64_t k = 0; k < i; k++) first += file_count(&in->list.items[k]);
    for (int64_t k = first; k < first + file_count(&in->list.items[i]); k++) {
        status st = input_file_check(&in->files[k], in->paths[k]);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

/* The provenance entry of the store's manifest. NULL if out of memory. New reference. Local. */
static json_t *provenance(const ingest *in) {
    const study *study = in->stage->study;
    json_t *ranges = json_array();
    for (int t = 0; !in->from_seg && t < study->ingest.threshold_count; t++) {
        const study_threshold *range = &study->ingest.thresholds[t];
        json_array_append_new(ranges,
                              json_sprintf("%s: %d..%d", range->name, range->low, range->high));
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:s, s:o}", "tool", "ctaug", "version",
                     CTAUG_VERSION, "source", "dicom", "synthetic", 0, "patients",
                     (json_int_t)in->patients, "series", (json_int_t)in->list.count, "labels",
                     named_table_name(&label_sources, study->ingest.labels), "thresholds", ranges);
}

/* Reads, labels and writes volume i; adds to in->label_voxels. Local. */
static status ingest_volume(ingest *in, store_writer *w, int64_t i) {
    const series *one = &in->list.items[i];
    volume v = {0};
    int64_t voxels = 0;
    const int known = in->labels.count;
    status st = ST_OK;
    TRY(series_read(one, &v));
    TRY(geometry_voxels(&v.space, &voxels));
    for (int64_t k = 0; in->from_seg && k < one->segmentation_count; k++) {
        TRY(label_file_read(one->segmentations[k], in->list.masks, &v.space, &in->labels, v.labels,
                            &in->contours));
        if (in->labels.count != known)
            TRY(status_fail(ST_INPUT, "%s: changed while it was read: structure '%s' is new",
                            one->segmentations[k], in->labels.name[in->labels.count - 1]));
    }
    TRY(check_files(in, i));
    for (int64_t k = 0; !in->from_seg && k < voxels; k++)
        v.labels[k] = in->label_of_hu[v.hu[k] + HU_ZERO];
    for (int64_t k = 0; k < voxels; k++) in->label_voxels[v.labels[k]]++;
    TRY(store_writer_put(w, i, &v));
    activity_step(i);
done:
    volume_free(&v);
    return st;
}

/* Writes all volumes in rounds (see the first comment). A stop request is checked before each
 * round. A stopped ingest keeps nothing, since a store is published only when it is complete.
 * Collective. */
static status write_volumes(ingest *in, store_writer *w) {
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
                            " volumes; an incomplete store is not kept: run again",
                            finished, in->list.count));
        status local = ST_OK;
        if (round < mine) {
            while (!store_writer_is_mine(w, next)) next++;
            local = ingest_volume(in, w, next++);
        }
        TRY(comm_agree(s->comm, local));
        for (int r = 0; r < comm_size(s->comm); r++) finished += round < owned[r];
        log_progress_set(s->log, finished, "volumes");
    }
    int64_t contours[] = {in->contours.painted, in->contours.not_closed, in->contours.off_slices};
    TRY(comm_sum_i64(s->comm, in->label_voxels, in->labels.count));
    TRY(comm_sum_i64(s->comm, contours, 3));
    in->contours = (rtstruct_tally){contours[0], contours[1], contours[2]};
done:
    free(gathered);
    return st;
}

/* Opens, fills and publishes the store. Collective. */
static status write_store(ingest *in) {
    const stage_context *s = in->stage;
    store_writer *w = NULL;
    store_entry *entries = NULL;
    json_t *origin = provenance(in);
    status st = array_alloc(&entries, in->list.count, sizeof *entries, "the list of volumes");
    if (st == ST_OK && !origin) st = status_memory("the provenance of the store", 0);
    TRY(comm_agree(s->comm, st));
    for (int64_t i = 0; i < in->list.count; i++) {
        const series *one = &in->list.items[i];
        snprintf(entries[i].id, sizeof entries[i].id, "%s", one->pseudonym);
        entries[i].space = one->space;
        entries[i].contrast = one->contrast;
        entries[i].unlabelled = in->from_seg && one->segmentation_count == 0;
    }
    store_plan plan = {.directory = in->directory,
                       .fingerprint = in->fingerprint,
                       .labels = &in->labels,
                       .provenance = origin,
                       .entries = entries,
                       .count = in->list.count,
                       .shard_bytes = s->study->ingest.shard_mib * 1024 * 1024};
    TRY(store_writer_open(s->comm, &plan, &w));
    log_progress_begin(s->log, "ingest", in->list.count);
    st = write_volumes(in, w);
    st = store_writer_finish(w, st);
    log_progress_end(s->log);
done:
    free(entries);
    json_decref(origin);
    return st;
}

/* With labels from SEG, finds the series that no SEG refers to: archives also hold patients whom
 * nobody segmented, other contrast phases and reconstruction kernels. ingest.unlabelled decides
 * whether they are removed or stored as unlabelled volumes. Rank 0 logs a warning for those left
 * out and for the single-slice series (scouts) that the scan left out. Local, with the same result
 * on all ranks. */
static status choose_series(ingest *in) {
    status st = ST_OK;
    char path[PATH_SIZE] = "";
    bool first = comm_rank(in->stage->comm) == 0;
    if (first && in->list.single_count > 0)
        log_warning(in->stage->log, "%" PRId64 " CT series of a single slice left out, such as %s",
                    in->list.single_count, in->list.single);
    const bool keep = in->stage->study->ingest.unlabelled == UNLABELLED_KEEP;
    if (in->from_seg && keep)
        TRY(series_find_unsegmented(&in->list, &in->without_seg, path));
    else if (in->from_seg)
        TRY(series_keep_segmented(&in->list, &in->without_seg, path));
    if (first && keep && in->without_seg > 0)
        log_info(in->stage->log,
                 "%" PRId64 " CT series that no %s refers to are stored as unlabelled",
                 in->without_seg, label_file_word(in->list.masks));
    else if (first && in->without_seg > 0)
        log_warning(in->stage->log,
                    "%" PRId64 " CT series that no %s refers to left out, such as %s",
                    in->without_seg, label_file_word(in->list.masks), path);
    if (first && in->list.other_frame_count > 0)
        log_warning(in->stage->log,
                    "%" PRId64 " structure sets name another frame of reference than the series "
                    "that they refer to, and are used all the same, such as %s",
                    in->list.other_frame_count, in->list.other_frame);
done:
    return st;
}

/* Counts patients, slices and voxels from the headers. Series are sorted by pseudonym, hence those
 * of one patient are neighbours. Local, with the same result on all ranks. */
static status count_input(ingest *in) {
    const char *before = "";
    size_t before_length = 0;
    for (int64_t i = 0; i < in->list.count; i++) {
        const series *one = &in->list.items[i];
        int64_t voxels = 0;
        status st = geometry_voxels(&one->space, &voxels);
        if (st != ST_OK) return st;
        const char *dash = strrchr(one->pseudonym, '-');
        size_t length = dash ? (size_t)(dash - one->pseudonym) : strlen(one->pseudonym);
        in->patients += length != before_length || strncmp(before, one->pseudonym, length) != 0;
        before = one->pseudonym;
        before_length = length;
        in->slices += one->space.shape[0];
        in->voxels += voxels;
    }
    return ST_OK;
}

/* Says what was not painted of RT Structure Sets. Local. */
static void log_contours(const ingest *in) {
    const rtstruct_tally *n = &in->contours;
    if (comm_rank(in->stage->comm) != 0 || n->not_closed + n->off_slices == 0) return;
    log_warning(in->stage->log,
                "%" PRId64 " contours were painted; %" PRId64 " lie on no slice, and %" PRId64
                " are points or not closed: not painted",
                n->painted, n->off_slices, n->not_closed);
}

/* Logs the result: an event, summary lines and a warning for each label without voxels. Local. */
static void log_summary(const ingest *in) {
    const stage_context *s = in->stage;
    double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {0, 0, 0};
    json_t *counts = json_object();
    for (int64_t i = 0; i < in->list.count; i++) {
        for (int axis = 0; axis < 3; axis++) {
            low[axis] = fmin(low[axis], in->list.items[i].space.spacing[axis]);
            high[axis] = fmax(high[axis], in->list.items[i].space.spacing[axis]);
        }
    }
    for (int k = 0; k < in->labels.count; k++) {
        json_object_set_new(counts, in->labels.name[k], json_integer(in->label_voxels[k]));
        if (k > 0 && in->label_voxels[k] == 0 && comm_rank(s->comm) == 0)
            log_warning(s->log, "label '%s' marks no voxel", in->labels.name[k]);
    }
    log_event(
        s->log, "ingest",
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:[f,f,f], s:[f,f,f]}",
                  "store", in->directory, "fingerprint", in->fingerprint, "patients",
                  (json_int_t)in->patients, "volumes", (json_int_t)in->list.count, "slices",
                  (json_int_t)in->slices, "voxels", (json_int_t)in->voxels, "left_out",
                  (json_int_t)in->left_out, "single_slice_series",
                  (json_int_t)in->list.single_count, "series_without_seg",
                  (json_int_t)in->without_seg, "labels_from",
                  named_table_name(&label_sources, s->study->ingest.labels), "label_voxels", counts,
                  "spacing_min", low[0], low[1], low[2], "spacing_max", high[0], high[1], high[2]));
    if (in->left_out > 0)
        log_info(s->log, "%" PRId64 " files are neither CT images nor %s: left out", in->left_out,
                 label_file_word(in->list.masks));
    log_contours(in);
    log_info(s->log,
             "store: %s: %" PRId64 " volumes of %" PRId64 " patients, %" PRId64
             " slices, %d structures",
             in->directory, in->list.count, in->patients, in->slices, in->labels.count - 1);
}

/* The kind of the files that hold label masks. */
static dicom_kind mask_kind(label_source source) {
    return source == LABELS_FROM_RTSTRUCT ? DICOM_RTSTRUCT
           : source == LABELS_FROM_NIFTI  ? DICOM_NIFTI
                                          : DICOM_SEG;
}

status ingest_stage(const stage_context *s) {
    ingest *in = NULL;
    bool current = false;
    status st = array_alloc(&in, 1, sizeof *in, "ingest");
    if (st == ST_OK) st = stage_path(s, "store", in->directory);
    if (st == ST_OK && s->study->ingest.dicom[0] == 0)
        st = status_fail(ST_USAGE, "ingest.dicom is empty: name the folder with the CT series");
    TRY(comm_agree(s->comm, st));
    in->stage = s;
    in->from_seg = s->study->ingest.labels != LABELS_FROM_THRESHOLDS;
    TRY(series_scan(s->comm, s->study->ingest.dicom, mask_kind(s->study->ingest.labels), &in->list,
                    &in->left_out));
    TRY(comm_agree(s->comm, choose_series(in)));
    TRY(comm_agree(s->comm, count_input(in)));
    TRY(is_current(in, &current));
    if (current) {
        log_info(s->log, "store: %s is current", in->directory);
    } else {
        st = in->from_seg ? labels_from_segs(in) : labels_from_thresholds(in);
        TRY(comm_agree(s->comm, st));
        TRY(write_store(in));
        log_summary(in);
    }
    stage_log_next(s, study_needs_referee(s->study) ? "referee" : "train");
done:
    if (in) {
        series_list_free(&in->list);
        free(in->paths);
        free(in->files);
    }
    free(in);
    return st;
}
