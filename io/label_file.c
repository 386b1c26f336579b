/* The choice of the reader by the kind of the file. Masks of all files of a volume are collected,
 * then joined by the rule for overlaps. */
#include "io/label_file.h"
#include "io/nifti_read.h"

const char *label_file_word(dicom_kind kind) {
    return kind == DICOM_RTSTRUCT ? "RT Structure Set"
           : kind == DICOM_NIFTI  ? "NIfTI mask"
                                  : "DICOM SEG";
}

status label_file_texts(const char *path, dicom_kind kind, structure_texts *texts) {
    if (kind == DICOM_RTSTRUCT) return dicom_rtstruct_texts(path, texts);
    if (kind == DICOM_NIFTI) return nifti_label_texts(path, texts);
    return dicom_seg_texts(path, texts);
}

status label_file_grid(const char *path, dicom_kind kind, geometry *space) {
    if (kind == DICOM_NIFTI) return nifti_grid(path, space);
    if (kind == DICOM_SEG) return dicom_seg_grid(path, space);
    return status_fail(ST_INPUT,
                       "%s: contours have no grid of their own: the series that they were drawn on "
                       "has to lie beside them",
                       path);
}

status label_file_read(const char *path, dicom_kind kind, const seg_target *to,
                       const structure_names *names, masks *out, rtstruct_tally *tally) {
    if (kind == DICOM_RTSTRUCT) return dicom_read_rtstruct(path, to->space, names, out, tally);
    if (kind == DICOM_NIFTI) return nifti_read_labels(path, to->space, names, out);
    return dicom_read_seg(path, to, names, out);
}

status label_files_read(const label_files *files, const seg_target *to, uint8_t *labels,
                        label_tally *tally) {
    masks *all = NULL;
    status st;
    *tally = (label_tally){0};
    TRY(masks_new(to->space, &all));
    for (int64_t k = 0; k < files->count; k++) {
        const label_file *file = &files->items[k];
        tally->file = k;
        TRY(label_file_read(file->path, file->kind, to, file->names, all, &tally->contours));
    }
    st = masks_join(all, &files->overlap, &files->items[0].names->set, labels, &tally->overlapped);
    if (st == ST_INPUT)
        st = status_fail(st, "%s: %s", files->items[tally->file].path, status_message());
done:
    masks_free(all);
    return st;
}
