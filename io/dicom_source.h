/* The bytes of a DICOM file in a buffer of fixed size, for the walk of dicom_prescan.c alone: as
 * they are, or, behind source_begin_inflating(), as a deflated data set inflates to. */
#ifndef CTAUG_IO_DICOM_SOURCE_H
#define CTAUG_IO_DICOM_SOURCE_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

enum { SOURCE_BUFFER = 1 << 16 };

typedef struct source {
    const char *path;
    int fd;
    bool deflated;
    z_stream inflater;
    unsigned char packed[SOURCE_BUFFER]; /* what the inflater reads */
    unsigned char data[SOURCE_BUFFER];
    int64_t have, at;     /* bytes in data, and how many of them are used */
    int64_t before;       /* bytes before data[0] */
    int64_t begin;        /* of the data set in the file */
    int64_t file_bytes;   /* of the whole file */
    int64_t inflated_max; /* bytes */
    status fault;
} source;

/* Bytes before the next one. */
static inline int64_t source_position(const source *s) { return s->before + s->at; }

/* Makes at least `bytes` (few) bytes available in data; false at the end or after a fault. */
bool source_need(source *s, int64_t bytes);

/* Passes over `bytes` bytes; false if there are not so many. */
bool source_skip(source *s, int64_t bytes);

/* Goes back to the begin of a data set that is not deflated. */
bool source_go_back(source *s);

/* What is read from here on is inflated first. */
status source_begin_inflating(source *s);

#endif
