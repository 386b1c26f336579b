/* The choice of the reader by the kind of the file. */
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
