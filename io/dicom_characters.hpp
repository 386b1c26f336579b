/* Texts of a data set as UTF-8, for io/dicom_*.cpp. */
#ifndef CTAUG_IO_DICOM_CHARACTERS_HPP
#define CTAUG_IO_DICOM_CHARACTERS_HPP

#include "io/dicom_common.hpp"

/* Converts the bytes of a text by the Specific Character Set of `item` (PS3.3 C.12.1.1.2; PS3.5
 * chapter 6): sets of one byte, the Japanese, Korean and Chinese ones with and without code
 * extensions, GB18030, GBK and UTF-8. False if the text has bytes beyond ASCII and the set is not
 * known, or they are none of it. */
bool dicom_to_utf8(DcmItem &item, const std::string &text, std::string *utf8);

/* The whole value of an attribute, backslashes and all, as it is in the file; empty if missing or
 * longer than DICOM_VALUE_MAX. */
std::string dicom_raw_text(DcmItem &item, const DcmTagKey &tag);

/* The first value of an attribute in UTF-8, without trailing blanks; empty if missing. False as
 * dicom_to_utf8(). */
bool dicom_text_in_utf8(DcmItem &item, DcmItem &data, const DcmTagKey &tag, std::string *utf8);

#endif
