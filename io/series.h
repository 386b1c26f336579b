/* Turns a folder of DICOM files into volumes: groups CT slices into series, orders them by
 * ImagePositionPatient along the normal of ImageOrientationPatient, computes the slice spacing from
 * the positions (never from Slice Thickness), and assigns to each series the segmentations that
 * refer to it. What cannot be stored is left out and listed; it costs no sound series. */
#ifndef CTAUG_IO_SERIES_H
#define CTAUG_IO_SERIES_H

#include "io/comm.h"
#include "io/dicom.h"
#include "io/faults.h"
#include "io/patients.h"
#include "io/pseudonym.h"
#include "io/turn.h"

/* One volume of the archive: a series, or a pass of one. */
typedef struct series {
    char series_uid[DICOM_UID];
    /* Of the person (io/patients.h) and of the series UID (io/pseudonym.h), with the number of the
     * volume behind the UID if it is not the first of its series. */
    char pseudonym[VOLUME_ID];
    geometry source; /* as the slices lie: slice 0 is the first along the normal */
    turn lie;        /* from there to `space` */
    geometry space;  /* as it is stored: z to the head, y to the back, x to the left */
    int contrast;
    scan_traits traits; /* known if all slices tell the same */
    double shear[2]; /* mm by which the last slice is shifted along rows and along columns against
                        the first; resampled to 0 by series_read() */
    dicom_header *slices;             /* in order; source.shape[0] of them */
    char (*segmentations)[PATH_SIZE]; /* the files with label masks of this series */
    int64_t segmentation_count;
    bool faulty_labels; /* one of its segmentations cannot be used: the labels are not known */
} series;

typedef struct series_list {
    series *items; /* sorted by pseudonym */
    int64_t count;
    dicom_kind masks; /* the kind of the segmentations */
    fault_list faults;
    int64_t files, not_dicom; /* that the folder holds; of them */
    int64_t others;           /* files that are neither CT slices nor of the kind `masks` */
    int64_t single_count;     /* series of a single slice, which are excluded */
    int64_t merges;           /* patients under several IDs, or without one: notes say which */
} series_list;

/* The key of the pseudonyms, the keys ingest.gaps, ingest.tilt and ingest.orientation (all false:
 * refuse, refuse, axial), and the kind of the files that are taken as segmentations: DICOM_SEG,
 * DICOM_RTSTRUCT or DICOM_NIFTI (files named .nii and .nii.gz, which are never read as DICOM). */
typedef struct series_policy {
    const pseudonym_key *key; /* borrowed */
    bool split_gaps, shear, any_orientation;
    dicom_kind masks;
} series_policy;

/* Scans the files below `directory` (io/archive.h) on all ranks and returns the same list on every
 * rank; series_list_free() frees it.
 *
 * Left out by series: slices that are at fault or cannot be decoded where that is needed; gaps,
 * steps that change and slices beside their place, unless split_gaps; a drift of the image plane of
 * more than a pixel from first to last slice, unless it is steady and `shear`; coronal and sagittal
 * stacks, unless any_orientation; two different slices at one place that nothing parts into whole
 * passes; a patient ID that differs within the series, unless each patient's slices are whole;
 * slices in another frame of reference that are no stack of their own;
 * compressed slices that claim more voxels than 1 GiB and 200 times their bytes can hold; a single
 * slice. Left out by file: copies of slices; scouts and other pictures that the series is whole
 * without. Left out by segmentation: what refers to no series here, or to one of several volumes.
 *
 * ST_INPUT if the directory is empty or missing. Collective. */
status series_scan(const comm *c, const char *directory, const series_policy *policy,
                   series_list *out);
void series_list_free(series_list *list);

/* The series of the list that an RT Structure Set or a NIfTI mask belongs to; NULL if there is
 * none, or more than one by the first rule that holds for any, which is *count:
 * - RT Structure Set: the series that it refers to, rather of its frame of reference and patient;
 * - RT Structure Set: a series of the same patient and frame of reference;
 * - NIfTI: the series in its folder; the series in the folders below.
 * Local. */
series *series_match(const series_list *list, const dicom_header *mask, int64_t *count);

/* Whether the labels of a series are not known: no segmentation refers to it, or one is at fault.
 * Local. */
bool series_is_unlabelled(const series *s);

/* Removes the series whose labels are not known. Local. */
void series_keep_labelled(series_list *list);

/* Appends what the ranks found, each for itself, to the faults of the list, and marks the series
 * whose segmentation is among it. Collective. */
status series_share_faults(const comm *c, series_list *list, fault_list *found);

/* Decodes the slices, in order, into a new volume (volume_free()) of geometry `source`; labels are
 * all 0. Local. */
status series_read(const series *s, volume *out);

/* Turns such a volume to `space`, with its labels. Local. */
status series_turn(const series *s, volume *v);

#endif
