/* What the writers of CT and SEG share: attributes put by one call each, and UIDs made from text.
 *
 * A data set that cannot be built is nobody's input fault and cannot be mended half-way, so these
 * throw; dicom_guard() turns it into ST_INTERNAL.
 */
#ifndef CTAUG_IO_DICOM_PUT_HPP
#define CTAUG_IO_DICOM_PUT_HPP

#include "io/dicom_common.hpp"

/* Text; numbers of US, UL and IS attributes; numbers of DS attributes. An empty text is a type 2
 * attribute without value. */
void dicom_put(DcmItem &item, const DcmTagKey &tag, const std::string &value);
void dicom_put(DcmItem &item, const DcmTagKey &tag, int64_t value);
void dicom_put(DcmItem &item, const DcmTagKey &tag, const double *values, int n);

/* A new item behind those of a sequence. */
DcmItem &dicom_put_item(DcmItem &item, const DcmTagKey &sequence);

/* A sequence of one code (PS3.3 8.8). */
void dicom_put_code(DcmItem &item, const DcmTagKey &sequence, const char *value, const char *scheme,
                    const char *meaning);

/* Throws, naming the tag, unless `made` is good. */
void dicom_must(OFCondition made, const DcmTagKey &tag);

/* "2.25." and 128 bits of SHA-256(seed text, what) in decimal (PS3.5 B.2). */
std::string dicom_uid(const dicom_identity *who, const std::string &what);

/* The name under which slice k's UID is made: "ct-0000". */
std::string dicom_slice_name(int64_t k);

/* Position of slice k: x y z, mm. */
void dicom_slice_position(const geometry *space, int64_t k, double position[3]);

/* Row direction, then column direction. */
void dicom_orientation(const geometry *space, double orientation[6]);

/* Patient, study, frame of reference, equipment and SOP common modules. */
void dicom_put_common(DcmItem &item, const dicom_identity *who, const char *sop_class,
                      const std::string &sop_name);

/* Image pixel module without the pixels: grey, rows and columns of `space`, `bits` a pixel. */
void dicom_put_image(DcmItem &item, const geometry *space, int bits, bool with_sign);

/* directory/seg.dcm, if any label of `set` occurs in v. */
status dicom_write_seg(const char *directory, const dicom_identity *who, const volume *v,
                       const label_set *set);

#endif
