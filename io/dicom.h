/* C interface to DICOM files, which DCMTK reads and writes. No C++ exception crosses it.
 *
 * Reading supports CT Image Storage (uncompressed, RLE, JPEG lossless and lossy, JPEG-LS, as DCMTK
 * decodes them) and Segmentation Storage (BINARY); io/dicom_rtstruct.h has RT Structure Sets. HU
 * are stored value * Rescale Slope + Rescale Intercept (PS3.3 C.7.6.3, C.11.1), never a rendered
 * image. Writing produces CT Image Storage and Segmentation Storage from a volume, for `ctaug
 * phantom` and `ctaug export`.
 */
#ifndef CTAUG_IO_DICOM_H
#define CTAUG_IO_DICOM_H

#include "io/file.h"
#include "io/volume.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DICOM_UID = 65, DICOM_TEXT = 65 };

/* DICOM_NIFTI is no DICOM, but a NIfTI file that lies among the DICOM files; io/series.c gives it.
 */
typedef enum dicom_kind {
    DICOM_OTHER,
    DICOM_CT,
    DICOM_SEG,
    DICOM_RTSTRUCT,
    DICOM_NIFTI
} dicom_kind;

/* The attributes of a file that grouping, ordering and geometry need. */
typedef struct dicom_header {
    char path[PATH_SIZE];
    dicom_kind kind;
    char patient_id[DICOM_TEXT];
    char study_uid[DICOM_UID], series_uid[DICOM_UID], sop_uid[DICOM_UID];
    char referenced_series_uid[DICOM_UID]; /* SEG, RTSTRUCT ("": it names none) */
    char frame_uid[DICOM_UID];             /* of CT, RTSTRUCT: frame of reference; "": not named */
    int64_t rows, columns;
    double position[3];      /* ImagePositionPatient, mm */
    double orientation[6];   /* ImageOrientationPatient: row, then column direction */
    double pixel_spacing[2]; /* mm between rows, between columns */
    int contrast;            /* ContrastBolusAgent present and not empty */
    int64_t file_bytes;      /* 0 if the kind is DICOM_OTHER */
    int compressed;          /* the pixels are, or the whole file: more pixels than bytes */
} dicom_header;

/* "DCMTK 3.6.7": name and version of the library. Local. */
const char *dicom_library_version(void);

/* Both reading functions refuse with ST_INPUT, before they allocate what follows from the claims of
 * a file: what dicom_prescan() refuses; rows, columns and frames that the file is too short for, or
 * that come to more than 1000 times its size (8 MiB are always accepted) if it is compressed. */

/* Reads a header without decoding pixels. Other SOP classes, localizers and maps whose Rescale Type
 * is not HU succeed with kind DICOM_OTHER. ST_INPUT, naming the file: it is not DICOM; a CT without
 * position, orientation, spacing or rescale values (naming the tag); Enhanced (multi-frame) CT,
 * since skipping it silently would lose patients. Local. */
status dicom_read_header(const char *path, dicom_header *out);

/* Decodes a CT slice to HU, rounded and clamped to int16: hu[rows*columns]. Pixels with the Pixel
 * Padding Value are raised to at least -1024 HU. ST_INPUT naming the file if the pixel array is
 * truncated, compressed with another number of rows or columns, or cannot be decoded. Local. */
status dicom_read_ct(const dicom_header *h, int16_t *hu);

/* Writes the segments of a SEG into labels (z y x, geometry `space`). A frame belongs to the slice
 * whose position is within half a slice spacing. Segment labels that are not in `set` are appended
 * to it ("background" first if it is empty). Where segments overlap the highest Segment Number
 * wins. ST_INPUT if rows, columns, orientation, pixel spacing (1 %) or position in the plane (half
 * a pixel) do not match `space`, if a frame lies on no slice, if a segment is named as label 0 is
 * ("background", which would erase others), or if `set` would hold more than STRUCTURES_MAX
 * structures. Local. */
status dicom_read_seg(const char *path, const geometry *space, label_set *set, uint8_t *labels);

/* Appends the segment labels of a SEG that are not in `set`, as dicom_read_seg() does. Local. */
status dicom_seg_labels(const char *path, label_set *set);

/* Identity of a written examination. UIDs (2.25.<hash>) are derived from `seed_text` alone, so that
 * writing twice gives the same bytes. */
typedef struct dicom_identity {
    char patient_id[DICOM_TEXT];
    char description[DICOM_TEXT]; /* Series Description, e.g. "ctaug phantom" */
    char seed_text[256];
} dicom_identity;

/* Writes directory/ct-0000.dcm ... (one file per slice, Explicit VR Little Endian, int16, slope 1,
 * intercept 0) and, if `set` is not NULL, directory/seg.dcm: BINARY, one segment for each label of
 * `set` that occurs, geometry in functional groups, references to the CT; no file if no label
 * occurs. Replaces existing files of these names, keeps all other files. Local. */
status dicom_write_volume(const char *directory, const dicom_identity *who, const volume *v,
                          const label_set *set);

#ifdef __cplusplus
}
#endif
#endif
