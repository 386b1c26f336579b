/* The Patient ID of a file, for io/dicom_read.cpp. */
#ifndef CTAUG_IO_DICOM_PATIENT_ID_HPP
#define CTAUG_IO_DICOM_PATIENT_ID_HPP

#include "io/dicom_common.hpp"

/* The ID in UTF-8, without blanks and null bytes around it, whole (a backslash does not end it);
 * empty if there is none. One that does not fit in `size` bytes, at least SHA256_HEX, is replaced
 * by its SHA-256. *form differs if it is written otherwise in the file, trailing blanks apart. */
status dicom_patient_id(DcmItem &item, char *out, std::size_t size, uint64_t *form);

#endif
