/* The files of an archive and their headers. A file that cannot be read is a record in the list of
 * faults, and costs no other file. */
#ifndef CTAUG_IO_ARCHIVE_H
#define CTAUG_IO_ARCHIVE_H

#include "io/dicom.h"
#include "io/faults.h"

typedef struct archive {
    dicom_header *headers; /* of all files that could be read, sorted by path; owned */
    int64_t count;
    int64_t files;     /* that the folder holds */
    int64_t not_dicom; /* of them */
} archive;

/* Lists `directory` recursively (without hidden files, following symbolic links to files that stay
 * in it), distributes the reading of headers over the ranks, and returns the same on every rank;
 * archive_free() frees *out. masks: the kind of the files that are taken as segmentations.
 *
 * A header without Series Instance UID gets one, "folder-" and a hash: equal for the files of a
 * folder, wherever the archive lies, that agree in study, frame of reference, Series Number (or
 * Acquisition Number, if they have none), size, and axes of rows and columns.
 *
 * Adds to `faults`: files that are not DICOM; DICOM files that dicom_read_header() refuses, or on
 * which the decoder ends (io/decoder.h); links that lead nowhere or out of the directory; folders
 * that cannot be listed. A faulty slice whose series is known makes a record of that series
 * (FAULT_SERIES), a faulty segmentation one of scope FAULT_SEG. Files named .nii and .nii.gz get
 * the kind DICOM_NIFTI unread. A picture without pixels or without a place, or of another kind by
 * its Image Type or colours, is no slice: a record of the file alone.
 *
 * ST_INPUT if the directory cannot be listed or holds no file. Collective. */
status archive_scan(const comm *c, const char *directory, dicom_kind masks, archive *out,
                    fault_list *faults);
void archive_free(archive *a);

#endif
