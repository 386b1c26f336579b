/* From a folder of files to volumes: groups CT slices in series, orders them along the normal of
 * ImageOrientationPatient by ImagePositionPatient, takes the spacing from there (never from Slice
 * Thickness), and joins the segmentations that refer to each series. */
#ifndef CTAUG_IO_SERIES_H
#define CTAUG_IO_SERIES_H

#include "io/comm.h"
#include "io/dicom.h"

typedef struct series {
    char series_uid[DICOM_UID];
    char pseudonym[VOLUME_ID]; /* "p-" + 16 hex digits of SHA-256(patient ID) + "-" + 8 of (series
                                  UID); the study UID stands for an empty patient ID */
    geometry space;
    int contrast;
    dicom_header *slices; /* ordered; space.shape[0] of them */
    char (*segmentations)[PATH_SIZE];
    int64_t segmentation_count;
    char *stray; /* a SEG of this patient that refers to no series of the list; NULL: none */
} series;

typedef struct series_list {
    series *items; /* sorted by pseudonym */
    int64_t count;
    int64_t single_count;   /* series of a single slice, which are left out */
    char single[PATH_SIZE]; /* the file of one of them */
} series_list;

/* Walks `directory` recursively (sorted; hidden files skipped; symbolic links to files followed),
 * the headers read in turn by the ranks, and returns the same list on every rank. ST_INPUT, naming
 * what is at fault: an empty or missing directory; a file that is not DICOM; a series with unequal
 * sizes, orientations, duplicate positions, or a slice missing (uneven spacing beyond 1 % and
 * 0.01 mm); a sheared stack (tilted gantry: more than a pixel from first to last slice); no CT
 * series of 2 or more slices. Series of a single slice are left out and counted in the list; DICOM
 * that is neither CT nor SEG, and SEG of a series that is not there, in *left_out. Collective. */
status series_scan(const comm *c, const char *directory, series_list *out, int64_t *left_out);
void series_list_free(series_list *list);

/* Takes out the series that no SEG refers to (a phase or kernel that nobody segmented): their
 * number in *count, a file of one of them in `path`. ST_INPUT if the patient's only SEG refers to
 * another series, which is not there; or if none is left. Local. */
status series_keep_segmented(series_list *list, int64_t *count, char path[PATH_SIZE]);

/* Decodes the slices, in order, into a new volume (volume_free()); labels are all 0. Local. */
status series_read(const series *s, volume *out);

#endif
