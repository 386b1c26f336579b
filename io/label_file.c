/* The choice of the reader by the kind of the file. */
#include "io/label_file.h"
#include "io/nifti_read.h"

const char *label_file_word(dicom_kind kind) {
    return kind == DICOM_RTSTRUCT ? "RT Structure Set"
           : kind == DICOM_NIFTI  ? "NIfTI mask"
                                  : "DICOM SEG";
}

status label_file_names(const char *path, dicom_kind kind, label_set *set) {
    if (kind == DICOM_RTSTRUCT) return dicom_rtstruct_labels(path, set);
    if (kind == DICOM_NIFTI) return nifti_label_names(path, set);
    return dicom_seg_labels(path, set);
}

status label_file_read(const char *path, dicom_kind kind, const geometry *space, label_set *set,
                       uint8_t *labels, rtstruct_tally *tally) {
    if (kind == DICOM_RTSTRUCT) return dicom_read_rtstruct(path, space, set, labels, tally);
    if (kind == DICOM_NIFTI) return nifti_read_labels(path, space, set, labels);
    return dicom_read_seg(path, space, set, labels);
}
