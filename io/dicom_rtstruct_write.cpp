/* Writing a label map as RT Structure Set Storage (PS3.3 A.19.3): one ROI for each label that
 * occurs, numbered by its value, with the borders of its voxels as closed contours.
 *
 * The contours run along voxel borders, so that the centres of voxels are as far from them as can
 * be: any reader gets the same voxels. A hole is a contour inside a contour, as most writers have
 * it (even-odd rule), and not a keyhole.
 */
#include "io/dicom_put.hpp"

#include "io/contour.h"
#include "io/dicom_rtstruct.h"

#include <vector>

namespace {

/* The contours of one label on one slice. */
class traced {
  public:
    traced() = default;
    traced(const traced &) = delete;
    traced &operator=(const traced &) = delete;
    ~traced() { contours_free(contours, count); }

    contour *contours = NULL;
    int64_t count = 0;
};

} // namespace

/* "x\y\z\x\y\z...": the points of a contour on slice z, mm. */
static std::string coordinates(const geometry *space, int64_t z, const contour &one) {
    std::string text;
    for (int64_t k = 0; k < one.count; k++) {
        const double voxel[3] = {static_cast<double>(z), one.points[2 * k + 1], one.points[2 * k]};
        for (int i = 0; i < 3; i++) {
            double mm = space->origin[i];
            char number[32]; /* a DS value has 16 characters at most */
            for (int axis = 0; axis < 3; axis++)
                mm += voxel[axis] * space->spacing[axis] * space->direction[3 * axis + i];
            std::snprintf(number, sizeof number, "%.9g", mm < 1e-6 && mm > -1e-6 ? 0.0 : mm);
            text += (text.empty() ? "" : "\\") + std::string(number);
        }
    }
    return text;
}

/* Appends the contours of a label on slice z to an ROI. `mask` has room for a slice. */
static status put_slice(DcmItem &roi, const dicom_identity *who, const volume *v, int label,
                        int64_t z, std::vector<uint8_t> *mask) {
    const int64_t pixels = v->space.shape[1] * v->space.shape[2];
    const uint8_t *labels = v->labels + z * pixels;
    traced found;
    bool any = false;
    for (int64_t i = 0; i < pixels; i++) {
        (*mask)[static_cast<std::size_t>(i)] = labels[i] == label;
        any = any || labels[i] == label;
    }
    if (!any) return ST_OK;
    status st = contour_trace(mask->data(), v->space.shape[1], v->space.shape[2], &found.contours,
                              &found.count);
    for (int64_t i = 0; i < found.count; i++) {
        DcmItem &item = dicom_put_item(roi, DCM_ContourSequence);
        dicom_put_reference(dicom_put_item(item, DCM_ContourImageSequence), who, z);
        dicom_put(item, DCM_ContourGeometricType, "CLOSED_PLANAR");
        dicom_put(item, DCM_NumberOfContourPoints, found.contours[i].count);
        dicom_put(item, DCM_ContourData, coordinates(&v->space, z, found.contours[i]));
    }
    return st;
}

/* The CT that the structures were drawn on: frame of reference, study, series and slices. */
static void put_references(DcmItem &data, const dicom_identity *who, const volume *v) {
    DcmItem &frame = dicom_put_item(data, DCM_ReferencedFrameOfReferenceSequence);
    dicom_put(frame, DCM_FrameOfReferenceUID, dicom_uid(who, "frame of reference"));
    DcmItem &study = dicom_put_item(frame, DCM_RTReferencedStudySequence);
    dicom_put(study, DCM_ReferencedSOPClassUID, UID_RETIRED_DetachedStudyManagementSOPClass);
    dicom_put(study, DCM_ReferencedSOPInstanceUID, dicom_uid(who, "study"));
    DcmItem &series = dicom_put_item(study, DCM_RTReferencedSeriesSequence);
    dicom_put(series, DCM_SeriesInstanceUID, dicom_uid(who, "series"));
    for (int64_t k = 0; k < v->space.shape[0]; k++)
        dicom_put_reference(dicom_put_item(series, DCM_ContourImageSequence), who, k);
}

/* What the ROI is, by its name (PS3.3 C.8.8.8). */
static void put_codes(DcmItem &observation, const dicom_identity *who, const char *label) {
    structure_code code;
    structure_code_find(who->codes, label, &code);
    dicom_put_code(observation, DCM_SegmentedPropertyCategoryCodeSequence, code.category);
    dicom_put_code(observation, DCM_RTROIIdentificationCodeSequence, code.type);
    DcmItem *type = dicom_item(observation, DCM_RTROIIdentificationCodeSequence);
    if (type && code.side.value[0])
        dicom_put_code(*type, DCM_SegmentedPropertyTypeModifierCodeSequence, code.side);
}

static void put_names(DcmItem &data, const dicom_identity *who, const label_set *set, int label) {
    DcmItem &roi = dicom_put_item(data, DCM_StructureSetROISequence);
    dicom_put(roi, DCM_ROINumber, label);
    dicom_put(roi, DCM_ReferencedFrameOfReferenceUID, dicom_uid(who, "frame of reference"));
    dicom_put(roi, DCM_ROIName, set->name[label]);
    dicom_put(roi, DCM_ROIGenerationAlgorithm, "AUTOMATIC");
    DcmItem &observation = dicom_put_item(data, DCM_RTROIObservationsSequence);
    dicom_put(observation, DCM_ObservationNumber, label);
    dicom_put(observation, DCM_ReferencedROINumber, label);
    put_codes(observation, who, set->name[label]);
    dicom_put(observation, DCM_RTROIInterpretedType, "");
    dicom_put(observation, DCM_ROIInterpreter, "");
}

static void put_module(DcmItem &data, const dicom_identity *who) {
    dicom_put(data, DCM_Modality, "RTSTRUCT");
    dicom_put(data, DCM_SeriesInstanceUID, dicom_uid(who, "structure set series"));
    dicom_put(data, DCM_SeriesNumber, 3);
    dicom_put(data, DCM_OperatorsName, "");
    dicom_put(data, DCM_ManufacturerModelName, "ctaug");
    dicom_put(data, DCM_StructureSetLabel, "STRUCTURES");
    dicom_put(data, DCM_StructureSetDate, "");
    dicom_put(data, DCM_StructureSetTime, "");
}

static status write_structures(const char *directory, const dicom_identity *who, const volume *v,
                               const label_set *set) {
    status st;
    char path[PATH_SIZE];
    DcmFileFormat file;
    DcmDataset &data = *file.getDataset();
    std::vector<uint8_t> mask(static_cast<std::size_t>(v->space.shape[1] * v->space.shape[2]));
    bool occurs[LABELS_MAX] = {}, any = false; /* indexed by u8 */
    int64_t voxels = 0;
    TRY(path_join(path, directory, "rtstruct.dcm"));
    TRY(geometry_voxels(&v->space, &voxels));
    for (int64_t i = 0; i < voxels; i++) occurs[v->labels[i]] = true;
    dicom_put_common(data, who, UID_RTStructureSetStorage, "structure set");
    put_module(data, who);
    put_references(data, who, v);
    for (int label = 1; label < set->count; label++) {
        if (!occurs[label]) continue;
        any = true;
        put_names(data, who, set, label);
        DcmItem &roi = dicom_put_item(data, DCM_ROIContourSequence);
        dicom_put(roi, DCM_ReferencedROINumber, label);
        for (int64_t z = 0; z < v->space.shape[0]; z++)
            TRY(put_slice(roi, who, v, label, z, &mask));
    }
    /* Implicit VR: coordinates may take more than the 64 KiB that explicit VR has room for. */
    if (any) TRY(dicom_save(path, file, EXS_LittleEndianImplicit));
done:
    return st;
}

status dicom_write_rtstruct(const char *directory, const dicom_identity *who, const volume *v,
                            const label_set *set) {
    return dicom_guard(directory, [&] { return write_structures(directory, who, v, set); });
}
