/* Files that hold the label masks of a CT series, whatever their format: one door to the readers of
 * DICOM SEG, RT Structure Set and NIfTI. */
#ifndef CTAUG_IO_LABEL_FILE_H
#define CTAUG_IO_LABEL_FILE_H

#include "io/dicom_rtstruct.h"

/* "DICOM SEG", "RT Structure Set" or "NIfTI mask". `kind` is DICOM_SEG, DICOM_RTSTRUCT or
 * DICOM_NIFTI, here and below. Local. */
const char *label_file_word(dicom_kind kind);

/* Appends the structures of the file that are not in `set` ("background" first if it is empty).
 * ST_INPUT as dicom_seg_labels(), dicom_rtstruct_labels() or nifti_label_names(). Local. */
status label_file_names(const char *path, dicom_kind kind, label_set *set);

/* Writes the structures of the file into labels (z y x, geometry `space`), over what is there, and
 * appends their names; adds contours to *tally. ST_INPUT as dicom_read_seg(),
 * dicom_read_rtstruct() or nifti_read_labels(). Local. */
status label_file_read(const char *path, dicom_kind kind, const geometry *space, label_set *set,
                       uint8_t *labels, rtstruct_tally *tally);

#endif
