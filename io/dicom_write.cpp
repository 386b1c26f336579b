/* Writing a volume as CT Image Storage (PS3.3 A.3), one file per slice.
 *
 * All type 1 and type 2 attributes are present. Type 2 attributes that are unknown for a synthetic
 * or converted image (dates, names, KVP) stay empty, so that the same volume and seed give the same
 * bytes.
 */
#include "io/dicom_put.hpp"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

enum { SIDE_MAX = 65535 };

/* In upper case; nothing if it is empty. */
static void put_word(DcmItem &item, const DcmTagKey &tag, std::string word) {
    for (char &c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (!word.empty()) dicom_put(item, tag, word);
}

static void put_series(DcmItem &item, const dicom_identity *who, const volume *v) {
    dicom_put(item, DCM_Modality, "CT");
    dicom_put(item, DCM_SeriesInstanceUID, dicom_uid(who, "series"));
    dicom_put(item, DCM_SeriesNumber, 1);
    const body_part part = v->traits.body;
    if (part == BODY_UNKNOWN || part == BODY_ARM || part == BODY_LEG)
        dicom_put(item, DCM_Laterality, ""); /* type 2C, if the part of the body may be paired */
    dicom_put(item, DCM_PatientPosition, dicom_patient_position(&v->space));
    dicom_put(item, DCM_ImageType, "DERIVED\\SECONDARY\\AXIAL");
    dicom_put(item, DCM_KVP, "");
    dicom_put(item, DCM_AcquisitionNumber, "");
    if (v->contrast) dicom_put(item, DCM_ContrastBolusAgent, "contrast");
    put_word(item, DCM_ConvolutionKernel, kernel_class_word(v->traits.kernel));
    put_word(item, DCM_BodyPartExamined, body_part_word(v->traits.body));
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
        if (v->space.shape[1] > SIDE_MAX || v->space.shape[2] > SIDE_MAX)
            TRY(status_fail(ST_INPUT, "%s: a DICOM image has at most %d rows and columns",
                            directory, SIDE_MAX));
        TRY(file_make_dirs(directory));
        for (int64_t k = 0; k < v->space.shape[0]; k++) TRY(write_slice(directory, who, v, k));
        if (set) TRY(dicom_write_seg(directory, who, v, set));
    done:
        return st;
    });
}
