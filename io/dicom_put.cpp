/* Setting attributes and deriving UIDs from text, for the writers of CT and SEG. */
#include "io/dicom_put.hpp"

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <stdexcept>

void dicom_must(OFCondition made, const DcmTagKey &tag) {
    if (made.bad()) throw std::runtime_error(dicom_tag_name(tag) + ": " + made.text());
}

void dicom_put(DcmItem &item, const DcmTagKey &tag, const std::string &value) {
    dicom_must(item.putAndInsertString(tag, value.c_str()), tag);
}

void dicom_put(DcmItem &item, const DcmTagKey &tag, int64_t value) {
    dicom_put(item, tag, std::to_string(value));
}

void dicom_put(DcmItem &item, const DcmTagKey &tag, const double *values, int n) {
    std::string all;
    for (int i = 0; i < n; i++) {
        char text[32]; /* a DS value has 16 characters at most */
        std::snprintf(text, sizeof text, "%.10g", std::fabs(values[i]) < 1e-9 ? 0.0 : values[i]);
        all += (i ? "\\" : "") + std::string(text);
    }
    dicom_put(item, tag, all);
}

DcmItem &dicom_put_item(DcmItem &item, const DcmTagKey &sequence) {
    DcmItem *made = NULL;
    dicom_must(item.findOrCreateSequenceItem(sequence, made, -2), sequence);
    return *made;
}

void dicom_put_code(DcmItem &item, const DcmTagKey &sequence, const char *value, const char *scheme,
                    const char *meaning) {
    DcmItem &code = dicom_put_item(item, sequence);
    dicom_put(code, DCM_CodeValue, value);
    dicom_put(code, DCM_CodingSchemeDesignator, scheme);
    dicom_put(code, DCM_CodeMeaning, meaning);
}

void dicom_put_code(DcmItem &item, const DcmTagKey &sequence, const coded_concept &code) {
    dicom_put_code(item, sequence, code.value, code.scheme, code.meaning);
}

std::string dicom_uid(const dicom_identity *who, const std::string &what) {
    const std::string text = std::string(who->seed_text) + "\n" + what;
    char hex[SHA256_HEX];
    if (bytes_sha256(text.data(), static_cast<int64_t>(text.size()), hex) != ST_OK)
        throw std::runtime_error(status_message());
    unsigned __int128 number = 0;
    for (int i = 0; i < 32; i++)
        number =
            number << 4 | static_cast<unsigned>(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    std::string decimal;
    for (; number > 0; number /= 10)
        decimal.insert(decimal.begin(), static_cast<char>('0' + number % 10));
    return "2.25." + decimal;
}

std::string dicom_slice_name(int64_t k) {
    char name[32];
    std::snprintf(name, sizeof name, "ct-%04" PRId64, k);
    return name;
}

void dicom_put_reference(DcmItem &item, const dicom_identity *who, int64_t k) {
    dicom_put(item, DCM_ReferencedSOPClassUID, UID_CTImageStorage);
    dicom_put(item, DCM_ReferencedSOPInstanceUID, dicom_uid(who, dicom_slice_name(k)));
}

void dicom_slice_position(const geometry *space, int64_t k, double position[3]) {
    for (int i = 0; i < 3; i++)
        position[i] =
            space->origin[i] + static_cast<double>(k) * space->spacing[0] * space->direction[i];
}

void dicom_orientation(const geometry *space, double orientation[6]) {
    for (int i = 0; i < 3; i++) {
        orientation[i] = space->direction[6 + i];
        orientation[3 + i] = space->direction[3 + i];
    }
}

void dicom_put_common(DcmItem &item, const dicom_identity *who, const char *sop_class,
                      const std::string &sop_name) {
    dicom_put(item, DCM_SpecificCharacterSet, "ISO_IR 192");
    dicom_put(item, DCM_SOPClassUID, sop_class);
    dicom_put(item, DCM_SOPInstanceUID, dicom_uid(who, sop_name));
    for (const DcmTagKey &tag :
         {DCM_StudyDate, DCM_StudyTime, DCM_AccessionNumber, DCM_ReferringPhysicianName,
          DCM_PatientBirthDate, DCM_PatientSex, DCM_StudyID, DCM_PositionReferenceIndicator})
        dicom_put(item, tag, "");
    dicom_put(item, DCM_Manufacturer, "ctaug");
    dicom_put(item, DCM_PatientName, who->patient_id);
    dicom_put(item, DCM_PatientID, who->patient_id);
    dicom_put(item, DCM_StudyInstanceUID, dicom_uid(who, "study"));
    dicom_put(item, DCM_FrameOfReferenceUID, dicom_uid(who, "frame of reference"));
    dicom_put(item, DCM_SeriesDescription, who->description);
    dicom_put_origin(item, who);
}

void dicom_put_origin(DcmItem &item, const dicom_identity *who) {
    const DcmTag synthetic(0x0008, 0x001c, EVR_CS); /* newer than DCMTK's dictionary */
    const std::string version = who->version ? who->version : "";
    if (who->synthetic) dicom_must(item.putAndInsertString(synthetic, "YES"), synthetic);
    if (who->synthetic || who->deidentified) {
        dicom_put(item, DCM_PatientIdentityRemoved, "YES");
        dicom_put(item, DCM_DeidentificationMethod,
                  who->deidentified
                      ? "ctaug " + version + ": voxels, geometry, scan classes kept alone"
                      : "synthetic: no real patient is shown");
    }
    DcmItem &equipment = dicom_put_item(item, DCM_ContributingEquipmentSequence);
    if (who->deidentified)
        dicom_put_code(equipment, DCM_PurposeOfReferenceCodeSequence, "109104", "DCM",
                       "De-identifying Equipment");
    else
        dicom_put_code(equipment, DCM_PurposeOfReferenceCodeSequence, "109102", "DCM",
                       "Processing Equipment");
    dicom_put(equipment, DCM_Manufacturer, "ctaug");
    dicom_put(equipment, DCM_ManufacturerModelName, "ctaug");
    if (!version.empty()) dicom_put(equipment, DCM_SoftwareVersions, version);
    if (who->model[0])
        dicom_put(equipment, DCM_ContributionDescription, std::string("model ") + who->model);
}

std::string dicom_patient_position(const geometry *space) {
    const double *normal = space->direction, *column = space->direction + 3;
    const double TRANSVERSE = 0.7; /* within 45 degrees */
    if (std::fabs(normal[2]) < TRANSVERSE) return "";
    const std::string end = normal[2] > 0 ? "HF" : "FF"; /* head or feet first */
    if (std::fabs(column[1]) >= std::fabs(column[0]))
        return end + (column[1] > 0 ? "S" : "P"); /* down is the back, or the front */
    return end + (column[0] > 0 ? "DL" : "DR");
}

void dicom_put_image(DcmItem &item, const geometry *space, int bits, bool with_sign) {
    dicom_put(item, DCM_SamplesPerPixel, 1);
    dicom_put(item, DCM_PhotometricInterpretation, "MONOCHROME2");
    dicom_put(item, DCM_Rows, space->shape[1]);
    dicom_put(item, DCM_Columns, space->shape[2]);
    dicom_put(item, DCM_BitsAllocated, bits);
    dicom_put(item, DCM_BitsStored, bits);
    dicom_put(item, DCM_HighBit, bits - 1);
    dicom_put(item, DCM_PixelRepresentation, with_sign);
}
