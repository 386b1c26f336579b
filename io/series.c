/* Building series in four steps: every rank gets all headers (io/archive.h); the ranks decode the
 * slices that share a place, to know copies from passes; every rank builds the same series
 * (io/series_build.h); segmentations are assigned.
 *
 * File names and Instance Numbers define no order in DICOM. The order of slices is that of their
 * positions, projected onto the normal of the image plane.
 */
#include "io/series.h"

#include "io/activity.h"
#include "io/archive.h"
#include "io/decoder.h"
#include "io/series_build.h"
#include "io/series_content.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTSIDE_HU = -1024 };

/* ---- slices ---- */

static int by_series(const void *left, const void *right) {
    const placed *a = left, *b = right;
    return strcmp(a->header->series_uid, b->header->series_uid);
}

/* The end of the series that begins at `first`. */
static int64_t series_end(const placed *slices, int64_t n, int64_t first) {
    int64_t next = first + 1;
    while (next < n && by_series(&slices[next], &slices[first]) == 0) next++;
    return next;
}

/* ---- segmentations ---- */

/* The attribute by which a segmentation names its series; "": its kind has none. */
static const char *reference_tag(dicom_kind kind) {
    return kind == DICOM_SEG        ? "ReferencedSeriesSequence (0008,1115)"
           : kind == DICOM_RTSTRUCT ? "RTReferencedSeriesSequence (3006,0014)"
                                    : "";
}

static status add_seg_fault(series_list *list, const dicom_header *seg, bool ordinary,
                            const char *reason, const char *advice) {
    return fault_add(&list->faults, &(fault){.scope = FAULT_SEG,
                                             .ordinary = ordinary,
                                             .files = 1,
                                             .text = {[FAULT_PATH] = seg->path,
                                                      [FAULT_UID] = seg->referenced_series_uid,
                                                      [FAULT_TAG] = reference_tag(seg->kind),
                                                      [FAULT_REASON] = reason,
                                                      [FAULT_ADVICE] = advice}});
}

static bool is_left_out(const fault_list *faults, const char *uid) {
    for (int64_t i = 0; i < faults->count; i++)
        if (faults->items[i].scope == FAULT_SERIES &&
            strcmp(faults->items[i].text[FAULT_UID], uid) == 0)
            return true;
    return false;
}

static bool is_of_patient(const series *s, const dicom_header *seg) {
    return strcmp(s->slices[0].person, seg->person) == 0;
}

static bool has_identity(const series *s, const dicom_header *seg) {
    return strcmp(patient_identity(&s->slices[0]), patient_identity(seg)) == 0;
}

static bool has_frame(const series *s, const dicom_header *seg) {
    return strcmp(s->slices[0].frame_of_reference_uid, seg->frame_of_reference_uid) == 0;
}

/* A segmentation of a series that is not in the list. It is a fault if it leaves a patient without
 * any, which segmentations of other series (that were not exported) do not. Nobody knows whose a
 * NIfTI mask is. */
static status add_unmatched(series_list *list, const dicom_header *seg) {
    bool here = false, labelled = false;
    if (seg->kind == DICOM_NIFTI)
        return add_seg_fault(list, seg, true, "no series lies in its folder, nor below", "");
    if (is_left_out(&list->faults, seg->referenced_series_uid))
        return add_seg_fault(list, seg, true, "the series that it refers to is left out", "");
    for (int64_t i = 0; i < list->count; i++) {
        if (!is_of_patient(&list->items[i], seg)) continue;
        here = true;
        labelled |= list->items[i].segmentation_count > 0;
    }
    return add_seg_fault(list, seg, !here || labelled, "refers to a series that is not here",
                         "export the series that it refers to");
}

/* Whether a SEG is one of this series: by the series that it names; if it names none, by patient,
 * frame of reference and geometry. ST_INPUT if the SEG is at fault. */
static status belongs(const series *s, const dicom_header *seg, bool *yes) {
    *yes = strcmp(s->series_uid, seg->referenced_series_uid) == 0;
    if (seg->referenced_series_uid[0] || !is_of_patient(s, seg)) return ST_OK;
    return decoder_seg_fits(seg->path, &s->source, s->slices[0].frame_of_reference_uid, yes);
}

/* The series of a SEG, NULL if there is none, and in *volumes how many it could be. ST_INPUT if the
 * SEG is at fault. */
static status match_seg(const series_list *list, const dicom_header *seg, series **match,
                        int64_t *volumes) {
    series *found = NULL;
    *match = NULL;
    *volumes = 0;
    for (int64_t i = 0; i < list->count; i++) {
        series *s = &list->items[i];
        bool yes = false;
        status st = belongs(s, seg, &yes);
        if (st != ST_OK) return st;
        if (!yes) continue;
        /* One UID used by two patients: the patient ID decides. */
        if (found && has_identity(found, seg) != has_identity(s, seg)) {
            found = has_identity(s, seg) ? s : found;
            continue;
        }
        /* One series in two frames of reference. */
        if (found && has_frame(found, seg) != has_frame(s, seg)) {
            found = has_frame(s, seg) ? s : found;
            continue;
        }
        found = s;
        ++*volumes;
    }
    *match = found;
    return ST_OK;
}

/* A structure set may name another frame of reference than the series that it refers to. */
static status note_other_frame(series_list *list, const series *s, const dicom_header *mask) {
    const char *ours = s->slices[0].frame_of_reference_uid, *theirs = mask->frame_of_reference_uid;
    if (mask->kind != DICOM_RTSTRUCT || !*ours || !*theirs || strcmp(ours, theirs) == 0)
        return ST_OK;
    return fault_add(&list->faults,
                     &(fault){.scope = FAULT_NOTE,
                              .text = {[FAULT_PATH] = mask->path,
                                       [FAULT_UID] = s->series_uid,
                                       [FAULT_TAG] = "FrameOfReferenceUID (0020,0052)",
                                       [FAULT_REASON] = "names another frame of reference than the "
                                                        "series that it refers to; used all the "
                                                        "same"}});
}

/* Assigns a segmentation to its series; *matched: that there is one, or that it is at fault. One
 * that several volumes may be the series of is at fault, unless `several`: then it says so. */
static status add_segmentation(series_list *list, const dicom_header *seg, bool *matched,
                               bool *several) {
    series *found = NULL;
    int64_t volumes = 0;
    status st = ST_OK;
    if (seg->kind == DICOM_SEG)
        st = match_seg(list, seg, &found, &volumes);
    else
        found = series_match(list, seg, &volumes);
    *matched = st == ST_INPUT || volumes > 0;
    if (st == ST_INPUT)
        return fault_add_message(
            &list->faults,
            &(fault){
                .scope = FAULT_SEG,
                .files = 1,
                .text = {[FAULT_PATH] = seg->path, [FAULT_ADVICE] = "correct the segmentation"}});
    if (st != ST_OK || volumes == 0) return st;
    if (several) *several = volumes > 1;
    if (volumes > 1 && several) return ST_OK;
    if (volumes > 1)
        return add_seg_fault(list, seg, false, "several volumes can be the segmented one",
                             "export the passes as series of their own");
    void *grown =
        realloc(found->segmentations, (size_t)(found->segmentation_count + 1) * PATH_SIZE);
    if (!grown) return status_memory("segmentations", PATH_SIZE);
    found->segmentations = grown;
    memcpy(found->segmentations[found->segmentation_count++], seg->path, PATH_SIZE);
    st = note_other_frame(list, found, seg);
    if (st != ST_OK) return st;
    /* The others lie by their positions, which hold on any grid. */
    if (seg->kind != DICOM_NIFTI || (found->shear[0] == 0 && found->shear[1] == 0)) return ST_OK;
    found->faulty_labels = true;
    return add_seg_fault(list, seg, false,
                         "the series is resampled to a straight grid, its mask is not",
                         "segment the resampled series, or use SEG or RT Structure Sets");
}

/* Assigns all segmentations: first those that match, then the others are judged. Series whose
 * segmentation could not be read have no known labels. open[i]: several volumes may be the series
 * of file i. */
static status add_segmentations(series_list *list, const archive *files, bool *open) {
    status st = ST_OK;
    bool *matched = NULL;
    TRY(array_alloc(&matched, files->count, sizeof *matched, "segmentations"));
    for (int64_t i = 0; i < list->faults.count; i++) {
        const fault *f = &list->faults.items[i];
        for (int64_t k = 0; f->scope == FAULT_SEG && k < list->count; k++)
            if (strcmp(list->items[k].series_uid, f->text[FAULT_UID]) == 0)
                list->items[k].faulty_labels = true;
    }
    for (int64_t i = 0; i < files->count; i++)
        if (files->headers[i].kind == list->masks)
            TRY(add_segmentation(list, &files->headers[i], &matched[i], &open[i]));
    for (int64_t i = 0; i < files->count; i++)
        if (files->headers[i].kind == list->masks && !matched[i])
            TRY(add_unmatched(list, &files->headers[i]));
done:
    free(matched);
    return st;
}

/* Assigns those that were left open, after copies of series were dropped. */
static status add_open(series_list *list, const archive *files, const bool *open) {
    status st = ST_OK;
    bool matched = false;
    for (int64_t i = 0; i < files->count && st == ST_OK; i++)
        if (open[i]) st = add_segmentation(list, &files->headers[i], &matched, NULL);
    return st;
}

/* ---- all series ---- */

static int by_pseudonym(const void *left, const void *right) {
    const series *a = left, *b = right;
    return strcmp(a->pseudonym, b->pseudonym);
}

/* Pseudonyms are cut hashes: of two that are equal the second series is left out. */
static status drop_equal_pseudonyms(series_list *list) {
    status st = ST_OK;
    int64_t kept = 0;
    if (list->count > 1) qsort(list->items, (size_t)list->count, sizeof *list->items, by_pseudonym);
    for (int64_t i = 0; i < list->count; i++) {
        series *s = &list->items[i];
        if (kept == 0 || by_pseudonym(&list->items[kept - 1], s) != 0) {
            list->items[kept++] = *s;
            continue;
        }
        if (st == ST_OK)
            st = fault_add(&list->faults,
                           &(fault){.scope = FAULT_SERIES,
                                    .files = s->source.shape[0],
                                    .text = {[FAULT_PATH] = s->slices[0].path,
                                             [FAULT_UID] = s->series_uid,
                                             [FAULT_REASON] = "gets the pseudonym of another "
                                                              "series",
                                             [FAULT_ADVICE] = "give it another UID"}});
        build_free(s);
    }
    list->count = kept;
    return st;
}

/* Sets the person of all headers; a note for each merge of patients. Local. */
static status find_patients(const archive *files, series_list *out) {
    status st;
    patient_merge *merges = NULL;
    TRY(patients_find(files->headers, files->count, &merges, &out->merges));
    for (int64_t i = 0; i < out->merges; i++) {
        char reason[PATH_SIZE + 128];
        snprintf(reason, sizeof reason, "taken for one patient with %s: %s", merges[i].second,
                 patient_merge_text(merges[i].reason));
        TRY(fault_add(&out->faults, &(fault){.scope = FAULT_NOTE,
                                             .text = {[FAULT_PATH] = merges[i].first,
                                                      [FAULT_TAG] = "PatientID (0010,0020)",
                                                      [FAULT_REASON] = reason}}));
    }
done:
    free(merges);
    return st;
}

/* The CT slices, series by series. The caller frees *out. */
static status place_slices(const archive *files, placed **out, int64_t *count) {
    status st = array_alloc(out, files->count, sizeof **out, "slices");
    *count = 0;
    for (int64_t i = 0; i < files->count && st == ST_OK; i++)
        if (files->headers[i].kind == DICOM_CT)
            (*out)[(*count)++] = (placed){.header = &files->headers[i]};
    if (st != ST_OK || *count == 0) return st;
    qsort(*out, (size_t)*count, sizeof **out, by_series);
    for (int64_t i = 0, next; i < *count; i = next) {
        next = series_end(*out, *count, i);
        build_arrange(*out + i, next - i);
    }
    return st;
}

/* Whether a series is left out because of one of its files; adds its other `files` to that record.
 * Local. */
static bool count_with_series(fault_list *faults, int64_t known, const char *uid, int64_t files) {
    for (int64_t i = 0; i < known; i++) {
        fault *f = &faults->items[i];
        if (f->scope != FAULT_SERIES || strcmp(f->text[FAULT_UID], uid) != 0) continue;
        f->files += files;
        return true;
    }
    return false;
}

/* Builds the series of all slices. Local. */
static status build_all(const series_policy *policy, placed *slices, int64_t n, series_list *out) {
    status st;
    const int64_t known = out->faults.count;
    TRY(array_alloc(&out->items, n, sizeof *out->items, "the list of series"));
    for (int64_t i = 0, next; i < n; i = next) {
        next = series_end(slices, n, i);
        if (count_with_series(&out->faults, known, slices[i].header->series_uid, next - i))
            continue;
        TRY(build_series(policy, &slices[i], next - i, out));
    }
    TRY(drop_equal_pseudonyms(out));
done:
    return st;
}

/* SHA-256 over which series have which segmentations, and over the number of faults. Local. */
static status hash_list(const series_list *list, char hex[SHA256_HEX]) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return status_memory("a list of series", 0);
    for (int64_t i = 0; i < list->count; i++) {
        const series *one = &list->items[i];
        fprintf(f, "%s %" PRId64 "\n", one->series_uid, one->space.shape[0]);
        for (int64_t k = 0; k < one->segmentation_count; k++)
            fprintf(f, "%s\n", one->segmentations[k]);
    }
    fprintf(f, "%" PRId64 " faults\n", list->faults.count);
    status st = fclose(f) == 0 ? bytes_sha256(text, (int64_t)bytes, hex)
                               : status_memory("a list of series", (int64_t)bytes);
    free(text);
    return st;
}

/* ST_INTERNAL unless all ranks have the same list: the decoder of one of them may have reached its
 * limits where those of others did not. Collective. */
static status agree_on_list(const comm *c, const series_list *list) {
    char mine[SHA256_HEX] = "", first[SHA256_HEX] = "";
    status st = ST_OK;
    TRY(comm_agree(c, hash_list(list, mine)));
    memcpy(first, mine, sizeof first);
    TRY(comm_broadcast(c, first, sizeof first, 0));
    if (strcmp(mine, first) != 0)
        st = status_fail(ST_INTERNAL,
                         "rank %d could not decode a segmentation that others could: "
                         "run again",
                         comm_rank(c));
    st = comm_agree(c, st);
done:
    return st;
}

status series_scan(const comm *c, const char *directory, const series_policy *policy,
                   series_list *out) {
    status st;
    archive files = {0};
    placed *slices = NULL;
    bool *open = NULL;
    int64_t count = 0;
    *out = (series_list){.masks = policy->masks};
    TRY(archive_scan(c, directory, policy->masks, &files, &out->faults));
    out->files = files.files;
    out->not_dicom = files.not_dicom;
    for (int64_t i = 0; i < files.count; i++)
        out->others += files.headers[i].kind != DICOM_CT && files.headers[i].kind != policy->masks;
    TRY(comm_agree(c, find_patients(&files, out)));
    TRY(comm_agree(c, place_slices(&files, &slices, &count)));
    TRY(content_of_shared_places(c, slices, count, &out->faults));
    st = build_all(policy, slices, count, out);
    if (st == ST_OK) st = array_alloc(&open, files.count, sizeof *open, "segmentations");
    if (st == ST_OK) st = add_segmentations(out, &files, open);
    TRY(comm_agree(c, st));
    TRY(agree_on_list(c, out));
    TRY(content_drop_copies(c, out));
    TRY(comm_agree(c, add_open(out, &files, open)));
done:
    free(open);
    if (st != ST_OK) series_list_free(out);
    free(slices);
    archive_free(&files);
    return st;
}

bool series_is_unlabelled(const series *s) {
    return s->segmentation_count == 0 || s->faulty_labels;
}

void series_keep_labelled(series_list *list) {
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++)
        if (series_is_unlabelled(&list->items[i]))
            build_free(&list->items[i]);
        else
            list->items[kept++] = list->items[i];
    list->count = kept;
}

/* Local. */
static bool has_segmentation(const series *s, const char *path) {
    for (int64_t j = 0; j < s->segmentation_count; j++)
        if (strcmp(s->segmentations[j], path) == 0) return true;
    return false;
}

status series_share_faults(const comm *c, series_list *list, fault_list *found) {
    status st;
    TRY(faults_gather(c, found));
    for (int64_t k = 0; k < found->count && st == ST_OK; k++) {
        const fault *f = &found->items[k];
        st = fault_add(&list->faults, f);
        for (int64_t i = 0; i < list->count && f->scope == FAULT_SEG; i++)
            list->items[i].faulty_labels |= has_segmentation(&list->items[i], f->text[FAULT_PATH]);
    }
    TRY(comm_agree(c, st));
done:
    return st;
}

void series_list_free(series_list *list) {
    for (int64_t i = 0; i < list->count; i++) build_free(&list->items[i]);
    free(list->items);
    faults_free(&list->faults);
    *list = (series_list){0};
}

/* ---- voxels ---- */

/* Slice z of a sheared series on the straight grid, in which it lies `shift` pixels (x, y) further:
 * linear between pixels, air outside. */
static void straighten(const int16_t *from, const dicom_header *h, const double shift[2],
                       const geometry *grid, int16_t *to) {
    for (int64_t y = 0; y < grid->shape[1]; y++)
        for (int64_t x = 0; x < grid->shape[2]; x++) {
            const double u = (double)x - shift[0], v = (double)y - shift[1];
            const double left = floor(u), top = floor(v);
            double sum = 0;
            for (int k = 0; k < 4; k++) {
                const double px = left + (k & 1), py = top + (k >> 1);
                const double weight = (1 - fabs(u - px)) * (1 - fabs(v - py));
                const bool inside =
                    px >= 0 && py >= 0 && px < (double)h->columns && py < (double)h->rows;
                const int64_t at = inside ? (int64_t)py * h->columns + (int64_t)px : 0;
                sum += weight * (inside ? from[at] : OUTSIDE_HU);
            }
            to[y * grid->shape[2] + x] = (int16_t)floor(sum + 0.5);
        }
}

/* Decodes the slices of a sheared series onto the straight grid. */
static status read_sheared(const series *s, volume *out) {
    status st = ST_OK;
    int16_t *slice = NULL;
    const geometry *grid = &s->source;
    const double last = (double)(grid->shape[0] - 1);
    TRY(array_alloc(&slice, s->slices[0].rows * s->slices[0].columns, sizeof *slice, "a slice"));
    for (int64_t z = 0; z < grid->shape[0]; z++) {
        double shift[2];
        for (int axis = 0; axis < 2; axis++) {
            const double pixel = grid->spacing[2 - axis], all = s->shear[axis] / pixel;
            const double grown = all < 0 ? ceil(-all) : 0; /* pixels before the first column */
            shift[axis] = grown + all * (double)z / last;
        }
        TRY(decoder_read_ct(&s->slices[z], slice));
        straighten(slice, &s->slices[z], shift, grid,
                   out->hu + z * grid->shape[1] * grid->shape[2]);
        activity_progress();
    }
done:
    free(slice);
    return st;
}

status series_read(const series *s, volume *out) {
    status st;
    const int64_t pixels = s->source.shape[1] * s->source.shape[2];
    *out = (volume){.space = s->source, .contrast = s->contrast, .traits = s->traits};
    memcpy(out->id, s->pseudonym, sizeof out->id);
    TRY(volume_alloc(out));
    if (s->shear[0] != 0 || s->shear[1] != 0) {
        TRY(read_sheared(s, out));
        goto done;
    }
    for (int64_t z = 0; z < s->source.shape[0]; z++) {
        TRY(decoder_read_ct(&s->slices[z], out->hu + z * pixels));
        activity_progress();
    }
done:
    if (st != ST_OK) volume_free(out);
    return st;
}

status series_turn(const series *s, volume *v) { return turn_volume(&s->lie, v); }
