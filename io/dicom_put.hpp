/* Functions shared by the writers of CT and SEG: setting attributes, and deriving UIDs from text.
 *
 * A failure to build a data set is never a fault of the input: these functions throw, and
 * dicom_guard() turns the exception into ST_INTERNAL.
 */
#ifndef CTAUG_IO_DICOM_PUT_HPP
#define CTAUG_IO_DICOM_PUT_HPP

#include "io/dicom_common.hpp"

/* Sets an attribute to text (empty: a type 2 attribute without value), to a number (US, UL, IS), or
 * to n numbers (DS). */
void dicom_put(DcmItem &item, const DcmTagKey &tag, const std::string &value);
void dicom_put(DcmItem &item, const DcmTagKey &tag, int64_t value);
void dicom_put(DcmItem &item, const DcmTagKey &tag, const double *values, int n);

/* Appends an item to a sequence. */
DcmItem &dicom_put_item(DcmItem &item, const DcmTagKey &sequence);

/* Adds a sequence with one code (PS3.3 8.8). */
void dicom_put_code(DcmItem &item, const DcmTagKey &sequence, const char *value, const char *scheme,
                    const char *meaning);

/* The same of a structure. */
void dicom_put_code(DcmItem &item, const DcmTagKey &sequence, const coded_concept &code);

/* Refers to slice k of the CT. */
void dicom_put_reference(DcmItem &item, const dicom_identity *who, int64_t k);

/* Throws, naming the tag, if `made` is an error. */
void dicom_must(OFCondition made, const DcmTagKey &tag);

/* "2.25." and 128 bits of SHA-256(seed text, what) in decimal (PS3.5 B.2). */
std::string dicom_uid(const dicom_identity *who, const std::string &what);

/* "ct-0000": base of the file name of slice k, and the text its UID is derived from. */
std::string dicom_slice_name(int64_t k);

/* Position of slice k: x y z, mm. */
void dicom_slice_position(const geometry *space, int64_t k, double position[3]);

/* Row direction, then column direction. */
void dicom_orientation(const geometry *space, double orientation[6]);

/* The modules patient, study, frame of reference, equipment and SOP common. */
void dicom_put_common(DcmItem &item, const dicom_identity *who, const char *sop_class,
                      const std::string &sop_name);

/* Who made the object and from what: Synthetic Data (PS3.3 C.12.1; only where it is YES, as
 * validators of 2022 do not know it), Patient Identity Removed and
 * De-identification Method (C.7.1.1), Contributing Equipment with the version and the model. */
void dicom_put_origin(DcmItem &item, const dicom_identity *who);

/* Patient Position (C.7.3.1.1.2) of transverse slices: which end of the patient and which side the
 * directions of the volume say. Empty for other slices. */
std::string dicom_patient_position(const geometry *space);

/* The image pixel module without pixel data: monochrome, `bits` bits per pixel. */
void dicom_put_image(DcmItem &item, const geometry *space, int bits, bool with_sign);

/* Writes directory/seg.dcm if any label of `set` except background occurs in v. */
status dicom_write_seg(const char *directory, const dicom_identity *who, const volume *v,
                       const label_set *set);

#endif
