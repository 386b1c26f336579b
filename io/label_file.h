/* Files that hold the label masks of a CT series, whatever their format: one door to the readers of
 * DICOM SEG, RT Structure Set and NIfTI. */
#ifndef CTAUG_IO_LABEL_FILE_H
#define CTAUG_IO_LABEL_FILE_H

#include "io/dicom_rtstruct.h"

/* "DICOM SEG", "RT Structure Set" or "NIfTI mask". `kind` is DICOM_SEG, DICOM_RTSTRUCT or
 * DICOM_NIFTI, here and below. Local. */
const char *label_file_word(dicom_kind kind);

/* Adds the names of the structures of the file, as they are written there, to a list. ST_INPUT as
 * dicom_seg_texts(), dicom_rtstruct_texts() or nifti_label_texts(). Local. */
status label_file_texts(const char *path, dicom_kind kind, structure_texts *texts);

/* The grid of a file that lies beside no CT. ST_INPUT as dicom_seg_grid() or nifti_grid(), and for
 * an RT Structure Set, which has none. Local. */
status label_file_grid(const char *path, dicom_kind kind, geometry *space);

/* Adds the structures of the file to the masks of a volume, and contours to *tally. ST_INPUT as
 * dicom_read_seg(), dicom_read_rtstruct() or nifti_read_labels(). Local. */
status label_file_read(const char *path, dicom_kind kind, const seg_target *to,
                       const structure_names *names, masks *out, rtstruct_tally *tally);

/* A file of masks. All pointers here and in label_files are borrowed. */
typedef struct label_file {
    const char *path;
    dicom_kind kind;
    const structure_names *names; /* of its structures */
} label_file;

/* The files of one volume, of any kinds. Their names have one label set. */
typedef struct label_files {
    const label_file *items; /* [count], at least one */
    int64_t count;
    overlap_rule overlap;
} label_files;

/* What was found beside the labels. */
typedef struct label_tally {
    int64_t file;       /* the last one that was begun: that of a failure */
    int64_t overlapped; /* voxels in two or more structures */
    rtstruct_tally contours;
} label_tally;

/* Reads the structures of all files into the whole label map of a volume, z y x. ST_INPUT, naming
 * the file, as label_file_read() and masks_join(). Local. */
status label_files_read(const label_files *files, const seg_target *to, uint8_t *labels,
                        label_tally *tally);

#endif
