/* What DCMTK's decoders only warn of, for io/dicom_pixels.cpp. */
#ifndef CTAUG_IO_DICOM_WARNINGS_HPP
#define CTAUG_IO_DICOM_WARNINGS_HPP

#include <string>

/* Begins to listen to the decoders of JPEG and JPEG-LS, which stay silent otherwise. To be called
 * once per process, after the log was configured. */
void dicom_warnings_start();

/* The first warning of this thread since the last call; empty if there was none. */
std::string dicom_warnings_take();

#endif
