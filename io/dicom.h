/* C interface to DICOM files, which DCMTK reads and writes. No C++ exception crosses it.
 *
 * Reading supports CT Image Storage and Enhanced CT Image Storage (uncompressed, RLE, JPEG lossless
 * and lossy, JPEG-LS as DCMTK decodes them; JPEG 2000 by OpenJPEG) and Segmentation Storage;
 * io/dicom_rtstruct.h has RT Structure Sets. HU are stored value * Rescale Slope + Rescale
 * Intercept (PS3.3 C.7.6.3, C.11.1), never a rendered image. Writing produces CT Image Storage and
 * Segmentation Storage from a volume, for `ctaug phantom` and `ctaug export`.
 */
#ifndef CTAUG_IO_DICOM_H
#define CTAUG_IO_DICOM_H

#include "io/file.h"
#include "io/masks.h"
#include "io/structure_codes.h"
#include "io/structures.h"
#include "io/volume.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DICOM_UID = 65, DICOM_TEXT = 65, DICOM_NOTE = 256, DICOM_NO_NUMBER = -1 };
enum { DICOM_ID = 257, DICOM_PERSON = DICOM_ID + 8 };

/* DICOM_NIFTI is no DICOM, but a NIfTI file that lies among the DICOM files; io/archive.c gives it.
 */
typedef enum dicom_kind {
    DICOM_OTHER,
    DICOM_CT,
    DICOM_SEG,
    DICOM_RTSTRUCT,
    DICOM_NIFTI
} dicom_kind;

/* What a CT image shows, by Image Type, Burned In Annotation and Photometric Interpretation. */
typedef enum dicom_picture {
    PICTURE_SLICE,
    PICTURE_SCOUT,      /* a localizer */
    PICTURE_PROJECTION, /* a MIP slab or another projection of several slices */
    PICTURE_PAGE,       /* a protocol, dose or screen page */
    PICTURE_ANNOTATED,  /* text is burned into the pixels */
    PICTURE_COLOUR,     /* a page or screen in colours */
} dicom_picture;

/* Attributes whose values tell the passes and phases of one series apart, in this order. */
enum { DICOM_PASS_KEYS = 8, DICOM_PASS_TEXT = 24 };

/* The attributes of a file that grouping, ordering and geometry need. Text is empty and a number
 * DICOM_NO_NUMBER where the file has none; text that is too long is cut. */
typedef struct dicom_header {
    char path[PATH_SIZE];
    int64_t frame;  /* of the file, from 0 */
    int64_t frames; /* of the file; 1 for CT Image Storage */
    dicom_kind kind;
    bool ct_class; /* stored as CT, though it may be DICOM_OTHER: a localizer, or not in HU */
    char patient_id[DICOM_ID]; /* UTF-8, trimmed (io/dicom_patient_id.hpp); may be empty */
    uint64_t patient_id_form;  /* how it is written in the file */
    char person[DICOM_PERSON]; /* set by patients_find() */
    char study_uid[DICOM_UID];
    char series_uid[DICOM_UID]; /* if the file has none, archive_scan() makes one */
    char sop_uid[DICOM_UID];
    char frame_of_reference_uid[DICOM_UID]; /* empty: not given */
    char referenced_series_uid[DICOM_UID];  /* SEG, RTSTRUCT; empty: it names none */
    int64_t acquisition_number, instance_number, series_number;
    int64_t rows, columns;
    double position[3];      /* ImagePositionPatient, mm */
    double orientation[6];   /* ImageOrientationPatient: row, then column direction */
    double pixel_spacing[2]; /* mm between rows, between columns */
    int contrast;            /* a contrast agent is named, other than NONE and the like */
    int64_t file_bytes;      /* 0 if the kind is DICOM_OTHER */
    int compressed;          /* the pixels are, or the whole file: more pixels than bytes */
    /* What was read otherwise than it is written ("decimal commas in ..."), several things divided
     * by "; ". With DICOM_OTHER: why it is no CT slice. No value of the file is repeated in it. */
    char note[DICOM_NOTE];
    /* From io/dicom_traits.cpp: */
    dicom_picture picture;
    int position_digits[3]; /* digits behind the point, as written */
    int orientation_digits; /* the most that one of the six numbers shows */
    scan_traits traits;
    char pass[DICOM_PASS_KEYS][DICOM_PASS_TEXT]; /* "" if missing */
} dicom_header;

/* What can be told of a file that dicom_read_header() refused. */
typedef struct dicom_remains {
    int is_dicom;   /* 0: another kind of file */
    int torn;       /* it ends before its data set does, or cannot be parsed */
    int has_pixels; /* Pixel Data */
    int has_place;  /* ImagePositionPatient or ImageOrientationPatient */
} dicom_remains;

/* "DCMTK 3.6.7": name and version of the library. Local. */
const char *dicom_library_version(void);

/* Both reading functions refuse with ST_INPUT, before they allocate what follows from the claims of
 * a file: what dicom_prescan() refuses; rows, columns and frames that the file is too short for, or
 * that come to more than 1000 times its size (8 MiB are always accepted) if it is compressed. */

/* Reads a header without decoding pixels; of Enhanced CT what is common to its frames, and the
 * geometry of frame 0. Other SOP classes, localizers and maps whose Rescale Type is not HU succeed
 * with kind DICOM_OTHER. Missing UIDs are left empty and noted. Files without
 * preamble or file meta information, and those whose transfer syntax is not the one that they name,
 * are read and noted. ST_INPUT, naming the file: it is not DICOM; its compression is not supported
 * (by name); a CT without position, orientation, spacing or rescale values (naming the tag). Local.
 */
status dicom_read_header(const char *path, dicom_header *out);

/* After ST_INPUT from dicom_read_header(): kind, path, IDs and UIDs as far as they can be read, and
 * what else is there. The kind is by SOP class alone. Local. */
status dicom_salvage(const char *path, dicom_header *out, dicom_remains *remains);

/* Order by path, then by frame: for qsort() of headers. Local. */
int dicom_by_path(const dicom_header *a, const dicom_header *b);

/* "ConvolutionKernel (0018,1210)": the attribute of dicom_header.pass[key]. Local. */
const char *dicom_pass_name(int key);

/* The headers of all frames of a CT file, in the order of the file: one for CT Image Storage, one
 * for each frame of Enhanced CT that is no localizer. The caller frees *frames. Errors as those of
 * dicom_read_header(), and ST_INPUT if the file is no CT. Local. */
status dicom_read_frames(const char *path, dicom_header **frames, int64_t *count);

/* Decodes a CT slice, frame h->frame of the file, to HU, rounded: hu[rows*columns]. Pixels with the
 * Pixel Padding Value are raised to at least -1024 HU, and set to that if the value does not fit
 * Bits Stored or int16. ST_INPUT naming the file if the pixel array is truncated, compressed with
 * another number of rows or columns, or cannot be decoded without a warning; if other pixels have
 * HU that int16 does not hold; if High Bit is not Bits Stored - 1 and the pixels do not show it.
 * Local. */
status dicom_read_ct(const dicom_header *h, int16_t *hu);

/* The CT that a SEG is laid upon. */
typedef struct seg_target {
    const geometry *space;
    const char *frame_of_reference_uid; /* of the CT; "" if it has none */
    double fractional; /* part of MaximumFractionalValue from which a pixel counts */
} seg_target;

/* Adds the segments of a SEG to the masks of a volume: BINARY, FRACTIONAL and LABELMAP
 * (Segmentation and Label Map Segmentation Storage), uncompressed, deflated, in RLE or JPEG 2000.
 * Frames come in any order; slices without a frame are not marked. Voxels take the nearest pixel,
 * so that a frame may be cut, mirrored, turned in its plane, finer or coarser. `names` says what a
 * segment is called, and which are left out.
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
status dicom_seg_fits(const char *path, const geometry *space, const char *frame_of_reference_uid,
                      bool *fits);

/* The grid of a SEG that lies on no CT: that of its frames, with the slices between them that have
 * none. Pixels are not read. ST_INPUT: frames of different planes or pixels, at uneven distances,
 * or too many slices; the file's form or frames are at fault. Local. */
status dicom_seg_grid(const char *path, geometry *space);

/* Identity of a written examination. UIDs (2.25.<hash>) are derived from `seed_text` alone, so that
 * writing twice gives the same bytes. */
typedef struct dicom_identity {
    char patient_id[DICOM_TEXT];
    char description[DICOM_TEXT]; /* Series Description, e.g. "ctaug phantom" */
    char seed_text[256];
    const char *version;          /* of ctaug; NULL: not written */
    bool synthetic;               /* voxels were made by a program, all or some of them */
    bool deidentified;            /* a real patient's examination, under a pseudonym */
    char model[SHA256_HEX];       /* SHA-256 of what painted a synthetic volume; "": none */
    const structure_codes *codes; /* of the study; NULL: those of the table alone; borrowed */
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
