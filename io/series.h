/* Turns a folder of DICOM files into volumes: groups CT slices into series, orders them by
 * ImagePositionPatient along the normal of ImageOrientationPatient, computes the slice spacing from
 * the positions (never from Slice Thickness), and assigns to each series the segmentations that
 * refer to it. */
#ifndef CTAUG_IO_SERIES_H
#define CTAUG_IO_SERIES_H

#include "io/comm.h"
#include "io/dicom.h"

typedef struct series {
    char series_uid[DICOM_UID];
    /* "p-" + 16 hex digits of SHA-256(patient ID) + "-" + 8 of SHA-256(series UID); the study UID
     * replaces an empty patient ID. */
    char pseudonym[VOLUME_ID];
    geometry space;
    int contrast;
    dicom_header *slices;             /* in order; space.shape[0] of them */
    char (*segmentations)[PATH_SIZE]; /* the files with label masks of this series */
    int64_t segmentation_count;
    char *unmatched_segmentation; /* path of a file with masks of this patient that refers to no
                                     series of the list; NULL: none */
} series;

typedef struct series_list {
    series *items; /* sorted by pseudonym */
    int64_t count;
    int64_t single_count;   /* series of a single slice, which are excluded */
    char single[PATH_SIZE]; /* the file of one of them */
    dicom_kind masks;       /* the kind of the segmentations */
    int64_t
        other_frame_count; /* structure sets that name another frame of reference than their CT */
    char other_frame[PATH_SIZE]; /* one of them */
} series_list;

/* Lists `directory` recursively (sorted, without hidden files, following symbolic links to files),
 * distributes the reading of headers over the ranks, and returns the same list on every rank;
 * series_list_free() frees it.
 *
 * ST_INPUT, naming the file or folder: an empty or missing directory; a file that is not DICOM; a
 * series with unequal sizes or orientations, duplicate positions, or a missing slice (spacing
 * uneven by more than 1 % + 0.01 mm); compressed slices that claim more voxels than 1 GiB and 200
 * times their bytes can hold; a sheared stack (tilted gantry: more than a pixel from first
 * to last slice); no CT series of 2 or more slices.
 *
 * `masks` is the kind of the files that are taken as segmentations: DICOM_SEG, DICOM_RTSTRUCT or
 * DICOM_NIFTI (files named .nii and .nii.gz, which are never read as DICOM). Series of a single
 * slice are excluded and counted in the list. Other files that are not CT, and segmentations that
 * series_match() gives no series, are counted in *left_out. Collective. */
status series_scan(const comm *c, const char *directory, dicom_kind masks, series_list *out,
                   int64_t *left_out);
void series_list_free(series_list *list);

/* The series of the list that a file with label masks belongs to; NULL if there is none, or more
 * than one by the first rule that holds for any:
 * - SEG and RT Structure Set: the series that it refers to;
 * - RT Structure Set: a series of the same patient and frame of reference;
 * - NIfTI: the series in its folder; the series in the folders below.
 * Local. */
series *series_match(const series_list *list, const dicom_header *mask);

/* Counts the series that no SEG refers to, as series_keep_segmented() does, and removes none.
 * Local.
 */
status series_find_unsegmented(const series_list *list, int64_t *count, char path[PATH_SIZE]);

/* Removes the series that no SEG refers to (a phase or kernel that nobody segmented): *count is
 * their number, `path` a file of one of them. ST_INPUT if all SEG files of a patient refer to
 * series that are not in the list, or if no series remains. Local. */
status series_keep_segmented(series_list *list, int64_t *count, char path[PATH_SIZE]);

/* Decodes the slices, in order, into a new volume (volume_free()); labels are all 0. Local. */
status series_read(const series *s, volume *out);

#endif
