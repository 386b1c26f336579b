/* What io/dicom_read.cpp and io/dicom_pixels.cpp share: the attributes of a frame. */
#ifndef CTAUG_IO_DICOM_READ_HPP
#define CTAUG_IO_DICOM_READ_HPP

#include "io/dicom_common.hpp"

/* Enhanced CT Image Storage, or the class that is converted from CT Image Storage. */
bool dicom_is_enhanced(DcmItem &set);

/* The item of a functional group (DCM_PlanePositionSequence) for a frame, its own or the shared
 * one. The data set itself if it is not enhanced, or has no such group. */
DcmItem &dicom_frame_item(DcmItem &set, int64_t frame, const DcmTagKey &group);

/* Rows, columns and frames. */
status dicom_read_size(DcmItem &item, dicom_header *out);

/* Rescale Slope, which is not 0, and Intercept of a frame. `h` gets notes, or is NULL. */
status dicom_read_rescale(const char *path, DcmItem &set, int64_t frame, double *slope,
                          double *intercept, dicom_header *h);

#endif
