/* A look at a DICOM file before DCMTK parses it: how deep its sequences nest, how much a deflated
 * data set inflates to, and where it is not encoded as it says.
 *
 * DCMTK parses sequences by recursion and inflates without a bound, so that a file of 100 KB could
 * overflow the stack and one of 500 KB could take gigabytes. The walk here is iterative and
 * allocates a fixed buffer only.
 */
#ifndef CTAUG_IO_DICOM_PRESCAN_H
#define CTAUG_IO_DICOM_PRESCAN_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DICOM_NESTING_MAX = 32,                  /* items inside items */
    DICOM_ELEMENTS_FREE = 1000 * 1000,       /* elements and items that any data set may have */
    DICOM_ELEMENTS_MAX = 8 * 1000 * 1000,    /* and that none may exceed */
    DICOM_INFLATED_FREE = 256 * 1024 * 1024, /* bytes any deflated data set may inflate to */
    DICOM_CLAIM_FREE = 256 * 1024 * 1024,    /* bytes any value may claim that is not there */
};

enum { DICOM_SYNTAX = 65, DICOM_EXPLICIT_ITEMS = 64 };

/* Where the data set of a file lies, and how it is really encoded. */
typedef struct dicom_layout {
    int64_t content; /* bytes of the file, or those that its deflated data set inflates to: nothing
                        in it can be longer */
    bool as_said;    /* by preamble and file meta information, to the end: DCMTK reads it unaided.
                        The rest serves those that are not; they are never deflated */
    int64_t begin, end;  /* of the data set in the file; end: without what follows the pixels and
                            is no data element */
    int64_t pixels;      /* position of Pixel Data, or `end` */
    bool without_pixels; /* the data set is whole, and has none */
    char syntax[DICOM_SYNTAX]; /* transfer syntax UID; empty: unknown, so that nothing is known of
                                  compressed pixels */
    /* Positions of the VR "UN" of sequences whose items are explicit against PS3.5, 6.2.2. */
    int64_t explicit_items[DICOM_EXPLICIT_ITEMS];
    int explicit_count;
    const char *note; /* what differs from what is said, or NULL */
} dicom_layout;

/* Walks over a file. A file without preamble or without file meta information passes if its first
 * elements are those of a data set. ST_INPUT naming the file if it cannot be opened, is no DICOM
 * file, has no valid file meta information, nests deeper than DICOM_NESTING_MAX, inflates to more
 * than DICOM_INFLATED_FREE bytes and 20 times its size, has a value before the end of its pixels
 * (anywhere, if it is deflated) that claims more than DICOM_CLAIM_FREE bytes and 20 times its size
 * (DCMTK allocates what is claimed), or holds more than DICOM_ELEMENTS_FREE elements and one for
 * each of its bytes, or more than DICOM_ELEMENTS_MAX. So is a deflated data set that cannot be
 * followed to its end, all of which DCMTK reads. What is merely damaged is left to the parser,
 * unless its nesting cannot be bounded. Local. */
status dicom_prescan(const char *path, dicom_layout *out);

#ifdef __cplusplus
}
#endif
#endif
