/* The ingest stage: reads CT series from DICOM files and writes them as a store.
 *
 * Every rank gets the headers of all series. The ranks agree on the label set and on the
 * fingerprint of the output; then each rank reads, labels and writes the volumes that the store
 * assigns to it (volumes.c). The store gets pseudonyms, geometry and voxels only; patient names and
 * file paths are not written to it.
 */
#include "pipeline/ingest/ingest.h"

#include "io/decoder.h"
#include "pipeline/ingest/label_names.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PARTS ".parts-" /* behind the name of the store */

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

/* Lists the input files in an order that follows from their content and, for several mask files of
 * one series, from their names. Local. */
static status list_files(ingest *in) {
    int64_t next = 0;
    for (int64_t i = 0; i < in->list.count; i++)
        in->file_count += ingest_file_count(&in->list.items[i]);
    status st = array_alloc(&in->paths, in->file_count, sizeof *in->paths, "the input files");
    for (int64_t i = 0; i < in->list.count && st == ST_OK; i++) {
        const series *one = &in->list.items[i];
        for (int64_t z = 0; z < one->source.shape[0]; z++)
            if (ingest_begins_file(one, z)) in->paths[next++] = one->slices[z].path;
        for (int64_t j = 0; j < one->segmentation_count; j++)
            in->paths[next++] = one->segmentations[j];
    }
    return st;
}

/* SHA-256 over the content of all slices and mask files. Paths and times are not included, so that
 * a copy of the archive has the same hash. Local. */
static status input_hash(const ingest *in, char hex[SHA256_HEX]) {
    char *text = NULL;
    size_t length = 0;
    const input_file *next = in->files;
    FILE *stream = open_memstream(&text, &length);
    if (!stream) return status_memory("the list of input files", 0);
    for (int64_t i = 0; i < in->list.count; i++) {
        const series *one = &in->list.items[i];
        const int64_t files = ingest_file_count(one), slice_files = files - one->segmentation_count;
        fprintf(stream, "series %s\n", one->pseudonym);
        for (int64_t k = 0; k < files; k++, next++)
            fprintf(stream, "%s %s\n", k < slice_files ? "slice" : "seg", next->sha256);
    }
    const bool failed = ferror(stream);
    status st = ST_OK;
    if (fclose(stream) != 0 || failed)
        st = status_memory("the list of input files", (int64_t)length);
    if (st == ST_OK) st = bytes_sha256(text, (int64_t)length, hex);
    free(text);
    return st;
}

/* Removes the parts of earlier archives and studies beside the store. Local. */
static status remove_old_parts(const ingest *in) {
    status st = ST_OK;
    char folder[PATH_SIZE], path[PATH_SIZE];
    struct dirent *entry;
    TRY(path_join(folder, "", in->directory));
    char *slash = strrchr(folder, '/');
    if (!slash) goto done; /* never: it lies in the run directory */
    *slash = '\0';
    const char *ours = strrchr(in->parts, '/') + 1;
    const size_t length = strlen(slash + 1);
    DIR *d = opendir(folder);
    while (d && st == ST_OK && (entry = readdir(d)))
        if (strncmp(entry->d_name, slash + 1, length) == 0 &&
            strncmp(entry->d_name + length, PARTS, strlen(PARTS)) == 0 &&
            strcmp(entry->d_name, ours) != 0 &&
            (st = path_join(path, folder, entry->d_name)) == ST_OK)
            st = file_remove_tree(path);
    if (d) closedir(d);
done:
    return st;
}

/* Names in->parts after the fingerprint. Local. */
static status name_parts(ingest *in) {
    char name[32];
    snprintf(name, sizeof name, PARTS "%.16s", in->fingerprint);
    if (strlen(in->directory) + strlen(name) >= PATH_SIZE)
        return status_fail(ST_USAGE, "%s: the path is too long", in->directory);
    strcpy(in->parts, in->directory);
    strcat(in->parts, name);
    return comm_rank(in->stage->comm) == 0 ? remove_old_parts(in) : ST_OK;
}

status ingest_fingerprint(ingest *in) {
    static const char *const sections[] = {"ingest"};
    const comm *c = in->stage->comm;
    char upstream[SHA256_HEX];
    status st;
    TRY(comm_agree(c, list_files(in)));
    TRY(input_hashes(in->stage, in->paths, in->file_count, &in->files));
    st = input_hash(in, upstream);
    if (st == ST_OK)
        st = study_fingerprint(in->stage->study, sections, 1, upstream, in->fingerprint);
    if (st == ST_OK) st = name_parts(in);
    TRY(comm_agree(c, st)); /* ranks may differ only in lack of memory */
done:
    return st;
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
                     (json_int_t)in->stored.patients, "series", (json_int_t)in->stored.volumes,
                     "labels", named_table_name(&label_sources, study->ingest.labels), "thresholds",
                     ranges);
}

/* Counts what is stored. Series are sorted by pseudonym, hence those of one patient are neighbours.
 * Local, with the same result on all ranks. */
static status count_stored(ingest *in) {
    const char *before = "";
    size_t before_length = 0;
    in->stored = (stored_counts){0};
    in->voxels = 0;
    for (int64_t i = 0; i < in->list.count; i++) {
        const series *one = &in->list.items[i];
        int64_t voxels = 0;
        if (in->fates[i] == LEFT_OUT) continue;
        status st = geometry_voxels(&one->space, &voxels);
        if (st != ST_OK) return st;
        const char *dash = strrchr(one->pseudonym, '-');
        size_t length = dash ? (size_t)(dash - one->pseudonym) : strlen(one->pseudonym);
        in->stored.patients +=
            length != before_length || strncmp(before, one->pseudonym, length) != 0;
        before = one->pseudonym;
        before_length = length;
        in->stored.volumes++;
        in->stored.slices += one->source.shape[0];
        in->stored.unlabelled +=
            in->from_seg && (series_is_unlabelled(one) || in->fates[i] == STORED_UNLABELLED);
        in->voxels += voxels;
    }
    return ST_OK;
}

/* ST_INPUT if nothing is left, or if anything is at fault and that is not wanted. Local. */
static status judge(const ingest *in) {
    const stage_context *s = in->stage;
    const int64_t faults = findings_faults(&in->list.faults);
    if (in->stored.volumes == 0 && in->without_seg > 0)
        return status_fail(ST_INPUT,
                           "nothing is left to store: no %s that can be used refers to any of "
                           "%" PRId64 " CT series; add some, or set ingest.labels to thresholds",
                           label_file_word(in->list.masks), in->without_seg);
    if (in->stored.volumes == 0)
        return status_fail(ST_INPUT,
                           "nothing is left to store: of %" PRId64 " files (%" PRId64
                           " not DICOM, %" PRId64 " other DICOM objects) none makes a CT volume "
                           "that can be used; the reasons are above and in " INGEST_REPORT,
                           in->list.files, in->list.not_dicom, in->list.others);
    if (faults > 0 && (s->strict || s->study->ingest.strict == SWITCH_ON))
        return status_fail(ST_INPUT,
                           "%" PRId64 " faults in the archive, and nothing is stored because of "
                           "--strict or ingest.strict: see above and " INGEST_REPORT,
                           faults);
    return ST_OK;
}

/* Writes all findings. Collective. */
static status write_findings(const ingest *in) {
    status st = ST_OK;
    if (comm_rank(in->stage->comm) == 0)
        st = findings_write(in->stage, &in->list, in->scanned, &in->stored, in->fingerprint);
    return comm_agree(in->stage->comm, st);
}

/* After the last of the decoding, or when the store is current: the late findings. Collective. */
static status conclude(const ingest *in) {
    findings_print(in->stage, &in->list.faults, in->scanned);
    status st = write_findings(in);
    if (st != ST_OK) return st;
    findings_sum(in->stage, &in->list, &in->stored);
    return judge(in);
}

/* The store's provenance, after volumes were left out. Local. */
static status describe(const ingest *in, store_writer *w) {
    json_t *origin = provenance(in);
    if (!origin) return status_memory("the provenance of the store", 0);
    status st = store_writer_describe(w, origin);
    json_decref(origin);
    return st;
}

/* Opens, fills and publishes the store. Collective. */
static status write_store(ingest *in) {
    const stage_context *s = in->stage;
    store_writer *w = NULL;
    store_entry *entries = NULL;
    status st = array_alloc(&entries, in->list.count, sizeof *entries, "the list of volumes");
    TRY(comm_agree(s->comm, st));
    for (int64_t i = 0; i < in->list.count; i++) {
        const series *one = &in->list.items[i];
        snprintf(entries[i].id, sizeof entries[i].id, "%s", one->pseudonym);
        entries[i].space = one->space;
        entries[i].contrast = one->contrast;
        entries[i].traits = one->traits;
        entries[i].unlabelled = in->from_seg && series_is_unlabelled(one);
    }
    store_plan plan = {.directory = in->directory,
                       .fingerprint = in->fingerprint,
                       .parts = in->parts,
                       .labels = &in->labels,
                       .entries = entries,
                       .count = in->list.count,
                       .shard_bytes = s->study->ingest.shard_mib * 1024 * 1024};
    TRY(store_writer_open(s->comm, &plan, &w));
    log_progress_begin(s->log, "ingest", in->list.count);
    st = ingest_volumes(in, w);
    if (st == ST_OK) st = count_stored(in);
    if (st == ST_OK) st = conclude(in);
    if (st == ST_OK) st = describe(in, w);
    st = store_writer_finish(w, st);
    log_progress_end(s->log);
done:
    free(entries);
    return st;
}

/* Removes the series without known labels, unless ingest.unlabelled keeps them: archives also hold
 * patients whom nobody segmented, other contrast phases and reconstruction kernels. Local, with the
 * same result on all ranks. */
static status choose_series(ingest *in) {
    const bool first = comm_rank(in->stage->comm) == 0;
    const bool keep = in->stage->study->ingest.unlabelled == UNLABELLED_KEEP;
    const char *word = label_file_word(in->list.masks);
    char reason[64];
    snprintf(reason, sizeof reason, "no %s refers to it", word);
    for (int64_t i = 0; i < in->list.count && in->from_seg; i++) {
        const series *one = &in->list.items[i];
        if (!series_is_unlabelled(one)) continue;
        in->without_seg++;
        if (keep) continue;
        status st = fault_add(
            &in->list.faults,
            &(fault){.scope = FAULT_SERIES,
                     .ordinary = true,
                     .files = one->source.shape[0],
                     .text = {[FAULT_PATH] = one->slices[0].path,
                              [FAULT_UID] = one->series_uid,
                              [FAULT_REASON] =
                                  one->faulty_labels ? "its segmentation cannot be used" : reason,
                              [FAULT_ADVICE] = "segment it, or set ingest.unlabelled: keep"}});
        if (st != ST_OK) return st;
    }
    if (in->from_seg && !keep) series_keep_labelled(&in->list);
    if (first && in->without_seg > 0)
        log_info(in->stage->log, "%" PRId64 " CT series that no %s refers to %s", in->without_seg,
                 word, keep ? "are stored as unlabelled" : "left out");
    if (first && in->list.single_count > 0)
        log_info(in->stage->log, "%" PRId64 " CT series of a single slice left out",
                 in->list.single_count);
    return ST_OK;
}

/* Logs the result: an event, summary lines and a warning for each label without voxels. Local. */
static void log_summary(const ingest *in) {
    const stage_context *s = in->stage;
    double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {0, 0, 0};
    json_t *counts = json_object();
    for (int64_t i = 0; i < in->list.count; i++) {
        for (int axis = 0; axis < 3 && in->fates[i] != LEFT_OUT; axis++) {
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
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:I, s:[f,f,f], "
                  "s:[f,f,f], s:I}",
                  "fingerprint", in->fingerprint, "patients", (json_int_t)in->stored.patients,
                  "patients_merged", (json_int_t)in->list.merges, "volumes",
                  (json_int_t)in->stored.volumes, "slices", (json_int_t)in->stored.slices, "voxels",
                  (json_int_t)in->voxels, "left_out", (json_int_t)in->list.others, "faults",
                  (json_int_t)findings_faults(&in->list.faults), "single_slice_series",
                  (json_int_t)in->list.single_count, "series_without_seg",
                  (json_int_t)in->without_seg, "labels_from",
                  named_table_name(&label_sources, s->study->ingest.labels), "label_voxels", counts,
                  "overlapped_voxels", (json_int_t)in->masks.overlapped, "spacing_min", low[0],
                  low[1], low[2], "spacing_max", high[0], high[1], high[2], "decoded",
                  (json_int_t)in->decoded));
    if (in->decoded < in->list.count)
        log_info(s->log, "%" PRId64 " of %" PRId64 " volumes were decoded before the run stopped",
                 in->list.count - in->decoded, in->list.count);
    mask_labels_warn(s->comm, s->log, &in->masks);
    if (in->list.others > 0)
        log_info(s->log, "%" PRId64 " files are neither CT images nor %s: left out",
                 in->list.others, label_file_word(in->list.masks));
    log_info(s->log,
             "store: %s: %" PRId64 " volumes of %" PRId64 " patients, %" PRId64
             " slices, %d structures",
             in->directory, in->stored.volumes, in->stored.patients, in->stored.slices,
             in->labels.count - 1);
}

/* From the folder to the list of what is to be stored, with its labels, and all that can be said of
 * it without decoding. Collective. */
static status plan(ingest *in) {
    const stage_context *s = in->stage;
    const struct series_policy policy = {.key = &in->key,
                                         .split_gaps = s->study->ingest.gaps == GAPS_SPLIT,
                                         .shear = s->study->ingest.tilt == TILT_SHEAR,
                                         .any_orientation =
                                             s->study->ingest.orientation == ORIENTATION_ANY,
                                         .masks = in->masks.kind};
    status st;
    TRY(series_scan(s->comm, s->study->ingest.dicom, &policy, &in->list));
    st = in->from_seg ? mask_labels_plan(s->comm, s->log, &in->list, &in->masks)
                      : labels_from_thresholds(in);
    TRY(comm_agree(s->comm, st));
    if (in->from_seg) in->labels = in->masks.names.set;
    st = choose_series(in);
    if (st == ST_OK)
        st = array_alloc(&in->fates, in->list.count, sizeof *in->fates, "the list of volumes");
    if (st == ST_OK) st = count_stored(in);
    in->scanned = in->list.faults.count;
    TRY(comm_agree(s->comm, st));
done:
    return st;
}

/* After the scan: prints what it found, and judges. *go: whether there is more to do. Collective.
 */
static status conclude_scan(const ingest *in, bool *go) {
    const stage_context *s = in->stage;
    status st = judge(in);
    char why[512];
    snprintf(why, sizeof why, "%s", status_message());
    findings_print(s, &in->list.faults, 0);
    *go = st == ST_OK && !s->check;
    if (*go) return ST_OK;
    const status written = write_findings(in);
    if (written != ST_OK) return written;
    findings_sum(s, &in->list, &in->stored);
    if (st != ST_OK) return status_fail(st, "%s", why);
    log_info(s->log,
             "check: %" PRId64 " volumes of %" PRId64 " patients, %" PRId64
             " slices can be stored as far as the headers tell",
             in->stored.volumes, in->stored.patients, in->stored.slices);
    return ST_OK;
}

/* Counts what a current store holds: all of the list but what the late findings left out. Local. */
static status recount(ingest *in) {
    const bool keep = in->stage->study->ingest.unlabelled == UNLABELLED_KEEP;
    for (int64_t k = in->scanned; k < in->list.faults.count; k++) {
        const fault *f = &in->list.faults.items[k];
        for (int64_t i = 0; i < in->list.count; i++)
            if (strcmp(in->list.items[i].series_uid, f->text[FAULT_UID]) == 0)
                in->fates[i] = f->scope == FAULT_SEG && keep ? STORED_UNLABELLED : LEFT_OUT;
    }
    return count_stored(in);
}

/* The key of the pseudonyms. Collective. */
static status read_key(ingest *in) {
    const stage_context *s = in->stage;
    char path[PATH_SIZE] = "";
    bool made = false;
    status st = ST_OK;
    if (s->study->ingest.key[0])
        st = path_join(path, "", s->study->ingest.key);
    else if (comm_rank(s->comm) == 0)
        st = pseudonym_key_place(path);
    TRY(comm_agree(s->comm, st));
    TRY(pseudonym_key_open(s->comm, path, s->study->out, &in->key, &made));
    if (made)
        log_info(s->log,
                 "ingest: new key for pseudonyms: %s; keep it secret, and keep it: without it the "
                 "same patients get other pseudonyms",
                 path);
done:
    return st;
}

status ingest_open(const stage_context *s, ingest **out) {
    ingest *in = NULL;
    status st = array_alloc(&in, 1, sizeof *in, "ingest");
    *out = in;
    if (st == ST_OK) st = stage_path(s, "store", in->directory);
    if (st == ST_OK && s->study->ingest.dicom[0] == 0)
        st = status_fail(ST_USAGE, "ingest.dicom is empty: name the folder with the CT series");
    TRY(comm_agree(s->comm, st));
    in->stage = s;
    in->from_seg = s->study->ingest.labels != LABELS_FROM_THRESHOLDS;
    TRY(read_key(in));
    TRY(comm_agree(s->comm, decoder_begin()));
    mask_labels_begin(s->study, &in->masks);
    TRY(plan(in));
done:
    return st;
}

void ingest_close(ingest *in) {
    decoder_end();
    if (!in) return;
    pseudonym_key_forget(&in->key);
    series_list_free(&in->list);
    faults_free(&in->late);
    free(in->fates);
    free(in->paths);
    free(in->files);
    mask_labels_free(&in->masks);
    free(in);
}

status ingest_stage(const stage_context *s) {
    ingest *in = NULL;
    bool current = false, go = false;
    status st;
    TRY(ingest_open(s, &in));
    TRY(conclude_scan(in, &go));
    if (!go) goto done;
    TRY(ingest_fingerprint(in));
    TRY(stage_is_current(s, in->directory, "store", in->fingerprint, &current));
    if (current) {
        TRY(findings_recall(s, in->fingerprint, &in->list.faults));
        TRY(recount(in));
        TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? file_remove_tree(in->parts) : ST_OK));
        TRY(conclude(in));
        log_info(s->log, "store: %s is current", in->directory);
    } else {
        TRY(write_findings(in));
        TRY(write_store(in));
        log_summary(in);
    }
    if (s->study->model.space == SPACE_LATENT)
        stage_log_next(s, "autoencode");
    else
        stage_log_training(s, true);
done:
    ingest_close(in);
    return st;
}
