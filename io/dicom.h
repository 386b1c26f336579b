/* DICOM, behind C: what DCMTK reads and writes for us. No exception crosses this header.
 *
 * Reading takes CT Image Storage (uncompressed, RLE, JPEG lossless and lossy, JPEG-LS as DCMTK
 * decodes them) and Segmentation Storage (BINARY). HU are stored values * Rescale Slope + Rescale
 * Intercept (PS3.3 C.7.6.3, C.11.1), never a rendered image. Writing makes CT Image Storage and
 * Segmentation Storage from a volume; `ctaug phantom` and `ctaug export` share it.
 */
#ifndef CTAUG_IO_DICOM_H
#define CTAUG_IO_DICOM_H

#include "io/file.h"
#include "io/volume.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DICOM_UID = 65, DICOM_TEXT = 65 };

typedef enum dicom_kind { DICOM_OTHER, DICOM_CT, DICOM_SEG } dicom_kind;

/* The header of one file: all that ordering and geometry need. */
typedef struct dicom_header {
    char path[PATH_SIZE];
    dicom_kind kind;
    char patient_id[DICOM_TEXT];
    char study_uid[DICOM_UID], series_uid[DICOM_UID], sop_uid[DICOM_UID];
    char referenced_series_uid[DICOM_UID]; /* SEG only */
    int64_t rows, columns;
    double position[3];      /* ImagePositionPatient, mm */
    double orientation[6];   /* ImageOrientationPatient: row, then column direction */
    double pixel_spacing[2]; /* mm between rows, between columns */
    int contrast;            /* ContrastBolusAgent present and not empty */
} dicom_header;

/* "DCMTK 3.6.7". Local. */
const char *dicom_library_version(void);

/* Reads a header without decoding pixels. A file that is not DICOM is ST_INPUT naming it; DICOM of
 * another class succeeds with kind DICOM_OTHER, and so do localizers and maps whose Rescale Type is
 * not HU. A CT lacking position, orientation, spacing or rescale values is ST_INPUT naming the tag.
 * Enhanced (multi-frame) CT is ST_INPUT too: leaving it out quietly would lose patients. Local. */
status dicom_read_header(const char *path, dicom_header *out);

/* Decodes one CT slice to HU, rounded and clamped to int16: hu[rows*columns]. Pixels that hold the
 * Pixel Padding Value are at least -1024. A truncated or undecodable pixel array is ST_INPUT naming
 * the file. Local. */
status dicom_read_ct(const dicom_header *h, int16_t *hu);

/* Paints the segments of a SEG into labels (z y x, geometry `space`): each frame goes to the slice
 * whose position is within half a slice spacing of it. Segment labels are looked up in `set` and
 * appended to it when new ("background" first if it is empty). Where segments overlap the highest
 * Segment Number wins. ST_INPUT if rows, columns, orientation, pixel spacing (1 %) or the place in
 * the plane (half a pixel) do not fit, or if a frame lies on no slice. Local. */
status dicom_read_seg(const char *path, const geometry *space, label_set *set, uint8_t *labels);

/* Just the segment labels of a SEG, appended to set when new, as dicom_read_seg() does. Local. */
status dicom_seg_labels(const char *path, label_set *set);

/* What identifies a written examination. UIDs follow from `seed_text` alone (2.25.<hash>), so that
 * writing twice gives the same bytes. */
typedef struct dicom_identity {
    char patient_id[DICOM_TEXT];
    char description[DICOM_TEXT]; /* Series Description, e.g. "ctaug phantom" */
    char seed_text[256];
} dicom_identity;

/* Writes directory/ct-0000.dcm ... (one slice a file, Explicit VR Little Endian, int16, slope 1,
 * intercept 0) and, if `set` is not NULL, directory/seg.dcm (BINARY, one segment a label in set
 * that occurs, frames with the geometry in functional groups, referencing the CT; no file if no
 * label occurs). Files that are there already are replaced, others left. Local. */
status dicom_write_volume(const char *directory, const dicom_identity *who, const volume *v,
                          const label_set *set);

#ifdef __cplusplus
}
#endif
#endif
