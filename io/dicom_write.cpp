/* CT Image Storage (PS3.3 A.3) from a volume, one slice a file.
 *
 * All type 1 and type 2 attributes are there; what a made or converted image cannot know (dates,
 * names, KVP) is type 2 and stays empty, so that the same volume and seed give the same bytes.
 */
#include "io/dicom_put.hpp"

#include <cmath>
#include <cstdio>
#include <stdexcept>

enum { SIDE_MOST = 65535 };

/* ---- shared with io/dicom_seg_write.cpp ---- */

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
    std::snprintf(name, sizeof name, "ct-%04lld", static_cast<long long>(k));
    return name;
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

/* ---- CT ---- */

static void put_series(DcmItem &item, const dicom_identity *who, const volume *v) {
    dicom_put(item, DCM_Modality, "CT");
    dicom_put(item, DCM_SeriesInstanceUID, dicom_uid(who, "series"));
    dicom_put(item, DCM_SeriesNumber, 1);
    dicom_put(item, DCM_PatientPosition, "HFS");
    dicom_put(item, DCM_ImageType, "DERIVED\\SECONDARY\\AXIAL");
    dicom_put(item, DCM_KVP, "");
    dicom_put(item, DCM_AcquisitionNumber, "");
    if (v->contrast) dicom_put(item, DCM_ContrastBolusAgent, "contrast");
}

static void put_plane(DcmItem &item, const geometry *space, int64_t k) {
    double position[3], orientation[6];
    dicom_slice_position(space, k, position);
    dicom_orientation(space, orientation);
    dicom_put(item, DCM_InstanceNumber, k + 1);
    dicom_put(item, DCM_ImagePositionPatient, position, 3);
    dicom_put(item, DCM_ImageOrientationPatient, orientation, 6);
    dicom_put(item, DCM_PixelSpacing, space->spacing + 1, 2);
    dicom_put(item, DCM_SliceThickness, space->spacing, 1);
}

static void put_pixels(DcmItem &item, const volume *v, int64_t k) {
    const int64_t pixels = v->space.shape[1] * v->space.shape[2];
    dicom_put_image(item, &v->space, 16, true);
    dicom_put(item, DCM_RescaleIntercept, "0");
    dicom_put(item, DCM_RescaleSlope, "1");
    dicom_put(item, DCM_RescaleType, "HU");
    dicom_put(item, DCM_WindowCenter, "40");
    dicom_put(item, DCM_WindowWidth, "400");
    dicom_must(item.putAndInsertUint16Array(DcmTag(DCM_PixelData, EVR_OW),
                                            reinterpret_cast<const Uint16 *>(v->hu + k * pixels),
                                            static_cast<unsigned long>(pixels)),
               DCM_PixelData);
}

static status write_slice(const char *directory, const dicom_identity *who, const volume *v,
                          int64_t k) {
    status st;
    char path[PATH_SIZE];
    DcmFileFormat file;
    DcmDataset &set = *file.getDataset();
    TRY(path_join(path, directory, (dicom_slice_name(k) + ".dcm").c_str()));
    dicom_put_common(set, who, UID_CTImageStorage, dicom_slice_name(k));
    put_series(set, who, v);
    put_plane(set, &v->space, k);
    put_pixels(set, v, k);
    TRY(dicom_save(path, file));
done:
    return st;
}

status dicom_write_volume(const char *directory, const dicom_identity *who, const volume *v,
                          const label_set *set) {
    return dicom_guard(directory, [&] {
        status st;
        int64_t voxels = 0;
        TRY(geometry_voxels(&v->space, &voxels));
        if (v->space.shape[1] > SIDE_MOST || v->space.shape[2] > SIDE_MOST)
            TRY(status_fail(ST_INPUT, "%s: a DICOM image has at most %d rows and columns",
                            directory, SIDE_MOST));
        TRY(file_make_dirs(directory));
        for (int64_t k = 0; k < v->space.shape[0]; k++) TRY(write_slice(directory, who, v, k));
        if (set) TRY(dicom_write_seg(directory, who, v, set));
    done:
        return st;
    });
}
