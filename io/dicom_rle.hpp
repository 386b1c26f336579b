/* RLE compression (PS3.5 annex G), for io/dicom_pixels.cpp and io/dicom_seg_pixels.cpp. */
#ifndef CTAUG_IO_DICOM_RLE_HPP
#define CTAUG_IO_DICOM_RLE_HPP

#include "io/dicom_common.hpp"

/* Unpacks segment `s` of the `segments` of a frame: at most `room` bytes, in *out. False if the
 * header is damaged or has another number of segments, or if a run is cut or exceeds `room`. The
 * caller compares the size of *out with what is expected: a segment may be cut between two runs. */
bool dicom_rle_segment(const Uint8 *bytes, int64_t length, uint32_t segments, uint32_t s,
                       int64_t room, std::vector<Uint8> *out);

#endif
