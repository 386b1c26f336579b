/* The requests and replies between a process and its decoder. Private to io/decoder*.c. */
#ifndef CTAUG_IO_DECODER_JOBS_H
#define CTAUG_IO_DECODER_JOBS_H

#include "io/decoder.h"
#include "io/helper.h"

enum {
    JOB_HEADERS,
    JOB_SALVAGE,
    JOB_CT,
    JOB_SEG_FITS,
    JOB_LABEL_TEXTS,
    JOB_LABEL_GRID,
    JOB_LABELS,
    JOBS
};

/* JOB_HEADERS: a path of PATH_SIZE bytes; the reply is an array of dicom_header.
 * JOB_SALVAGE: a path; the reply is a salvage_reply.
 * JOB_CT: a dicom_header; the HU are in the shared memory.
 * JOB_SEG_FITS: a fits_request; the reply is a bool.
 * JOB_LABEL_TEXTS: a texts_request; the reply are texts of STRUCTURE_TEXT bytes each.
 * JOB_LABEL_GRID: a texts_request; the reply is a geometry.
 * JOB_LABELS: a labels_request and what follows it; the shared memory holds a label_tally at 0 and
 * the labels at LABELS_AT. */

enum { LABELS_AT = 256 };

typedef struct salvage_reply {
    dicom_header header;
    dicom_remains remains;
} salvage_reply;

typedef struct fits_request {
    char path[PATH_SIZE], frame_of_reference_uid[DICOM_UID];
    geometry space;
} fits_request;

typedef struct texts_request {
    char path[PATH_SIZE];
    dicom_kind kind;
} texts_request;

/* A file of masks, and which of the tables of names is its own. */
typedef struct packed_file {
    char path[PATH_SIZE];
    int64_t kind, table;
} packed_file;

/* Followed by `files` packed_file, `names` names of LABEL_NAME, `order` names of LABEL_NAME, and
 * `tables` tables: the number of texts (int64_t), the texts of STRUCTURE_TEXT, and as many ints,
 * their label values. */
typedef struct labels_request {
    int64_t files, names, order, tables;
    overlap_kind overlap;
    geometry space;
    double fractional;
    char frame_of_reference_uid[DICOM_UID];
} labels_request;

/* The headers of a file, in this process. Local. */
status read_headers_here(const char *path, dicom_header **frames, int64_t *count);

#endif
