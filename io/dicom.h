/* C interface to DICOM files, which DCMTK reads and writes. No C++ exception crosses it.
 *
 * Reading supports CT Image Storage (uncompressed, RLE, JPEG lossless and lossy, JPEG-LS, as DCMTK
 * decodes them) and Segmentation Storage. HU are stored value * Rescale Slope + Rescale
 * Intercept (PS3.3 C.7.6.3, C.11.1), never a rendered image. Writing produces CT Image Storage and
 * Segmentation Storage from a volume, for `ctaug phantom` and `ctaug export`.
 */
#ifndef CTAUG_IO_DICOM_H
#define CTAUG_IO_DICOM_H

#include "io/file.h"
#include "io/masks.h"
#include "io/structures.h"
#include "io/volume.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DICOM_UID = 65, DICOM_TEXT = 65 };

typedef enum dicom_kind { DICOM_OTHER, DICOM_CT, DICOM_SEG } dicom_kind;

/* The attributes of a file that grouping, ordering and geometry need. */
typedef struct dicom_header {
    char path[PATH_SIZE];
    dicom_kind kind;
    char patient_id[DICOM_TEXT];
    char study_uid[DICOM_UID], series_uid[DICOM_UID], sop_uid[DICOM_UID];
    char frame_of_reference[DICOM_UID];    /* FrameOfReferenceUID; empty: not given */
    char referenced_series_uid[DICOM_UID]; /* SEG only; empty: dicom_seg_fits() can tell */
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

/* The CT that a SEG is laid upon. */
typedef struct seg_target {
    const geometry *space;
    const char *frame_of_reference; /* of the CT; "" if it has none */
    double fractional;              /* part of MaximumFractionalValue from which a pixel counts */
} seg_target;

/* Adds the segments of a SEG to the masks of a volume: BINARY, FRACTIONAL and LABELMAP
 * (Segmentation and Label Map Segmentation Storage), uncompressed, deflated or in RLE. Frames come
 * in any order; slices without a frame are not marked. Voxels take the nearest pixel, so that a
 * frame may be cut, mirrored, turned in its plane, finer or coarser. `names` says what a segment is
 * called, and which are left out.
 *
 * ST_INPUT naming the file and the fault, and showing no label: no frames; another Frame of
 * Reference UID than the CT's (a missing one is accepted); a plane that is not that of the slices
 * (0.3 degrees); frames between slices, or of a coarser stack; marked pixels on no slice of the CT,
 * or all of them outside of its picture; pixels of a segment that is not there; a segment whose
 * label is not in `names`; damaged pixels. Local. */
status dicom_read_seg(const char *path, const seg_target *to, const structure_names *names,
                      masks *out);

/* Adds the segment labels of a SEG, in UTF-8, to a list. ST_INPUT if a label is missing, empty or
 * no text, or a segment number occurs twice. Local. */
status dicom_seg_texts(const char *path, structure_texts *texts);

/* For a SEG that names no series: whether it may be one of this CT, by its Frame of Reference UID
 * (equal; where one of the two is missing, geometry decides) and its geometry: every frame on a
 * slice and within the picture, as dicom_read_seg() asks. Pixels are not read. ST_INPUT if the
 * file's form or frames are at fault. Local. */
status dicom_seg_fits(const char *path, const geometry *space, const char *frame_of_reference,
                      bool *fits);

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
