/* What the study says of labels, for the decoder, and what the decoder counts. */
#include "pipeline/ingest/mask_labels.h"

#include "io/decoder.h"
#include "pipeline/ingest/label_names.h"

#include <inttypes.h>

/* The kind of the files that hold label masks. */
static dicom_kind mask_kind(label_source source) {
    return source == LABELS_FROM_RTSTRUCT ? DICOM_RTSTRUCT
           : source == LABELS_FROM_NIFTI  ? DICOM_NIFTI
                                          : DICOM_SEG;
}

void mask_labels_begin(const study *study, mask_labels *out) {
    *out = (mask_labels){.study = study, .kind = mask_kind(study->ingest.labels)};
    study_texts_at(&study->ingest.structures, out->rules);
    study_texts_at(&study->ingest.order, out->order);
    out->overlap = (overlap_rule){.kind = study->ingest.overlap,
                                  .order = out->order,
                                  .order_count = study->ingest.order.count};
}

void mask_labels_free(mask_labels *m) { structure_names_free(&m->names); }

/* Warns of names of the study that no structure has. Local. */
static void warn_of_missing(journal *log, const mask_labels *m) {
    const study *study = m->study;
    char name[LABEL_NAME];
    if (m->names.renamed > 0)
        log_warning(log,
                    "%" PRId64 " names in segmentations are neither in ingest.structures nor names "
                    "that ctaug knows: they are called structure-N",
                    m->names.renamed);
    if (m->names.left_out > 0)
        log_info(log, "%" PRId64 " names in segmentations are not in ingest.structures: left out",
                 m->names.left_out);
    for (int i = 0; i < study->ingest.structures.count; i++) {
        structure_rule_name(m->rules[i], name);
        if (label_find(&m->names.set, name) < 0)
            log_warning(log, "ingest.structures: no structure is '%s'", name);
    }
    for (int i = 0; i < study->ingest.order.count; i++)
        if (label_find(&m->names.set, m->order[i]) < 0)
            log_warning(log, "ingest.order: no structure is '%s'", m->order[i]);
}

status mask_labels_plan(const comm *c, journal *log, series_list *list, mask_labels *m) {
    status st = names_of_segs(c, list, m->rules, m->study->ingest.structures.count, &m->names);
    if (st == ST_OK && comm_rank(c) == 0) warn_of_missing(log, m);
    return st;
}

status mask_labels_read(const mask_labels *m, const series *one, volume *v, label_tally *found) {
    const seg_target to = {.space = &v->space,
                           .frame_of_reference_uid = one->slices[0].frame_of_reference_uid,
                           .fractional = m->study->ingest.fractional};
    label_file *files = NULL;
    status st;
    TRY(array_alloc(&files, one->segmentation_count, sizeof *files, "files of masks"));
    for (int64_t k = 0; k < one->segmentation_count; k++)
        files[k] = (label_file){one->segmentations[k], m->kind, &m->names};
    st = decoder_read_labels(&(label_files){files, one->segmentation_count, m->overlap}, &to,
                             v->labels, found);
done:
    free(files);
    return st;
}

status mask_labels_sum(const comm *c, mask_labels *m) {
    rtstruct_tally *n = &m->contours;
    int64_t counts[] = {m->overlapped, n->painted, n->not_closed, n->off_slices};
    status st = comm_sum_i64(c, counts, 4);
    m->overlapped = counts[0];
    *n = (rtstruct_tally){counts[1], counts[2], counts[3]};
    return st;
}

void mask_labels_warn(const comm *c, journal *log, const mask_labels *m) {
    const rtstruct_tally *n = &m->contours;
    if (comm_rank(c) != 0) return;
    if (m->overlapped > 0)
        log_warning(log,
                    "%" PRId64 " voxels lie in two or more structures: overlaps are joined by "
                    "ingest.overlap: %s",
                    m->overlapped, m->overlap.kind == OVERLAP_ORDER ? "order" : "smaller-wins");
    if (n->not_closed + n->off_slices == 0) return;
    log_warning(log,
                "%" PRId64 " contours were painted; %" PRId64 " lie on no slice, and %" PRId64
                " are points or not closed: not painted",
                n->painted, n->off_slices, n->not_closed);
}
