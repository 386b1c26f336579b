/* A look at a DICOM file before DCMTK parses it: how deep its sequences nest, and how much a
 * deflated data set inflates to.
 *
 * DCMTK parses sequences by recursion and inflates without a bound, so that a file of 100 KB could
 * overflow the stack and one of 500 KB could take gigabytes. The walk here is iterative and
 * allocates a fixed buffer only.
 */
#ifndef CTAUG_IO_DICOM_PRESCAN_H
#define CTAUG_IO_DICOM_PRESCAN_H

#include "io/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DICOM_NESTING_MAX = 32,                  /* items inside items */
    DICOM_ELEMENTS_FREE = 1000 * 1000,       /* elements and items that any data set may have */
    DICOM_INFLATED_FREE = 256 * 1024 * 1024, /* bytes any deflated data set may inflate to */
};

/* *content = bytes of the file, or those that its deflated data set inflates to: nothing in it can
 * be longer. ST_INPUT naming the file if it cannot be opened, has no DICM prefix or no valid file
 * meta information, nests deeper than DICOM_NESTING_MAX, inflates to more than DICOM_INFLATED_FREE
 * bytes and 20 times its size, or to more than DICOM_ELEMENTS_FREE elements and one for each of its
 * bytes. What is merely damaged is left to the parser, unless its nesting cannot be bounded.
 * Local. */
status dicom_prescan(const char *path, int64_t *content);

#ifdef __cplusplus
}
#endif
#endif
