/* Writing a label map as Segmentation Storage (PS3.3 A.51): BINARY, one segment for each label that
 * occurs.
 *
 * Segments are numbered from 1 in the order of their labels. Only planes on which a label occurs
 * become frames. Frames are ordered by segment, then slice, as the dimension indices state.
 */
#include "io/dicom_put.hpp"

#include <algorithm>
#include <vector>

namespace {

struct mask_frame {
    int label;
    int64_t segment; /* Segment Number */
    int64_t slice;
};

} // namespace

/* The non-empty masks by label, then slice. */
static std::vector<mask_frame> list_frames(const volume *v, int labels) {
    const int64_t pixels = v->space.shape[1] * v->space.shape[2];
    std::vector<mask_frame> frames;
    int64_t segment = 0;
    for (int64_t z = 0; z < v->space.shape[0]; z++) {
        bool occurs[LABELS_MAX] = {}; /* indexed by u8 */
        for (int64_t i = 0; i < pixels; i++) occurs[v->labels[z * pixels + i]] = true;
        for (int label = 1; label < labels; label++)
            if (occurs[label]) frames.push_back({label, 0, z});
    }
    std::stable_sort(frames.begin(), frames.end(),
                     [](const mask_frame &a, const mask_frame &b) { return a.label < b.label; });
    for (std::size_t i = 0; i < frames.size(); i++) {
        if (i == 0 || frames[i].label != frames[i - 1].label) segment++;
        frames[i].segment = segment;
    }
    return frames;
}

/* The bits of all frames, without padding in between, least significant first (PS3.3 C.8.20.2.1).
 */
static std::vector<Uint8> pack(const volume *v, const std::vector<mask_frame> &frames) {
    const int64_t pixels = v->space.shape[1] * v->space.shape[2];
    const std::size_t bytes = (frames.size() * static_cast<std::size_t>(pixels) + 7) / 8;
    std::vector<Uint8> bits(bytes + bytes % 2);
    int64_t bit = 0;
    for (const mask_frame &frame : frames) {
        const uint8_t *labels = v->labels + frame.slice * pixels;
        for (int64_t i = 0; i < pixels; i++, bit++)
            if (labels[i] == frame.label) bits[bit >> 3] |= static_cast<Uint8>(1u << (bit & 7));
    }
    return bits;
}

static void put_image(DcmItem &item, const dicom_identity *who, const volume *v) {
    dicom_put(item, DCM_Modality, "SEG");
    dicom_put(item, DCM_SeriesInstanceUID, dicom_uid(who, "segmentation series"));
    dicom_put(item, DCM_SeriesNumber, 2);
    dicom_put(item, DCM_ManufacturerModelName, "ctaug");
    dicom_put(item, DCM_DeviceSerialNumber, "1");
    dicom_put(item, DCM_SoftwareVersions, who->version ? who->version : "1");
    dicom_put(item, DCM_ImageType, "DERIVED\\PRIMARY");
    dicom_put(item, DCM_InstanceNumber, 1);
    dicom_put(item, DCM_ContentLabel, "SEGMENTATION");
    dicom_put(item, DCM_ContentDescription, "");
    dicom_put(item, DCM_ContentCreatorName, "");
    /* Type 1: a date is required. A constant keeps the bytes reproducible. */
    dicom_put(item, DCM_ContentDate, "20000101");
    dicom_put(item, DCM_ContentTime, "000000");
    dicom_put_image(item, &v->space, 1, false);
    dicom_put(item, DCM_LossyImageCompression, "00");
    dicom_put(item, DCM_SegmentationType, "BINARY");
}

/* What the segment is, by its label. */
static void put_codes(DcmItem &segment, const dicom_identity *who, const char *label) {
    structure_code code;
    structure_code_find(who->codes, label, &code);
    dicom_put_code(segment, DCM_SegmentedPropertyCategoryCodeSequence, code.category);
    dicom_put_code(segment, DCM_SegmentedPropertyTypeCodeSequence, code.type);
    DcmItem *type = dicom_item(segment, DCM_SegmentedPropertyTypeCodeSequence);
    if (type && code.side.value[0])
        dicom_put_code(*type, DCM_SegmentedPropertyTypeModifierCodeSequence, code.side);
}

static void put_segments(DcmItem &item, const dicom_identity *who,
                         const std::vector<mask_frame> &frames, const label_set *set) {
    int64_t last = 0;
    for (const mask_frame &frame : frames) {
        if (frame.segment == last) continue;
        last = frame.segment;
        DcmItem &segment = dicom_put_item(item, DCM_SegmentSequence);
        dicom_put(segment, DCM_SegmentNumber, frame.segment);
        dicom_put(segment, DCM_SegmentLabel, set->name[frame.label]);
        dicom_put(segment, DCM_SegmentAlgorithmType, "AUTOMATIC");
        dicom_put(segment, DCM_SegmentAlgorithmName, "ctaug");
        put_codes(segment, who, set->name[frame.label]);
    }
}

static void put_referenced_series(DcmItem &item, const dicom_identity *who, const volume *v) {
    DcmItem &series = dicom_put_item(item, DCM_ReferencedSeriesSequence);
    dicom_put(series, DCM_SeriesInstanceUID, dicom_uid(who, "series"));
    for (int64_t k = 0; k < v->space.shape[0]; k++)
        dicom_put_reference(dicom_put_item(series, DCM_ReferencedInstanceSequence), who, k);
}

static void put_dimension(DcmItem &item, const std::string &organization, const DcmTagKey &group,
                          const DcmTagKey &index) {
    DcmItem &dimension = dicom_put_item(item, DCM_DimensionIndexSequence);
    dicom_put(dimension, DCM_DimensionOrganizationUID, organization);
    dicom_must(dimension.putAndInsertTagKey(DCM_FunctionalGroupPointer, group),
               DCM_FunctionalGroupPointer);
    dicom_must(dimension.putAndInsertTagKey(DCM_DimensionIndexPointer, index),
               DCM_DimensionIndexPointer);
}

static void put_dimensions(DcmItem &item, const dicom_identity *who) {
    const std::string organization = dicom_uid(who, "dimension organization");
    dicom_put(dicom_put_item(item, DCM_DimensionOrganizationSequence), DCM_DimensionOrganizationUID,
              organization);
    put_dimension(item, organization, DCM_SegmentIdentificationSequence,
                  DCM_ReferencedSegmentNumber);
    put_dimension(item, organization, DCM_PlanePositionSequence, DCM_ImagePositionPatient);
}

static void put_shared_groups(DcmItem &item, const geometry *space) {
    double orientation[6];
    dicom_orientation(space, orientation);
    DcmItem &shared = dicom_put_item(item, DCM_SharedFunctionalGroupsSequence);
    DcmItem &measures = dicom_put_item(shared, DCM_PixelMeasuresSequence);
    dicom_put(measures, DCM_PixelSpacing, space->spacing + 1, 2);
    dicom_put(measures, DCM_SliceThickness, space->spacing, 1);
    dicom_put(measures, DCM_SpacingBetweenSlices, space->spacing, 1);
    dicom_put(dicom_put_item(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient,
              orientation, 6);
}

static void put_frame_groups(DcmItem &item, const dicom_identity *who, const geometry *space,
                             const mask_frame &frame) {
    double position[3];
    dicom_slice_position(space, frame.slice, position);
    DcmItem &groups = dicom_put_item(item, DCM_PerFrameFunctionalGroupsSequence);

    DcmItem &derivation = dicom_put_item(groups, DCM_DerivationImageSequence);
    dicom_put_code(derivation, DCM_DerivationCodeSequence, "113076", "DCM", "Segmentation");
    DcmItem &source = dicom_put_item(derivation, DCM_SourceImageSequence);
    dicom_put_reference(source, who, frame.slice);
    dicom_put_code(source, DCM_PurposeOfReferenceCodeSequence, "121322", "DCM",
                   "Source image for image processing operation");

    const Uint32 indices[2] = {static_cast<Uint32>(frame.segment),
                               static_cast<Uint32>(frame.slice + 1)};
    DcmItem &content = dicom_put_item(groups, DCM_FrameContentSequence);
    dicom_must(content.putAndInsertUint32Array(DCM_DimensionIndexValues, indices, 2),
               DCM_DimensionIndexValues);
    dicom_put(dicom_put_item(groups, DCM_PlanePositionSequence), DCM_ImagePositionPatient, position,
              3);
    dicom_put(dicom_put_item(groups, DCM_SegmentIdentificationSequence),
              DCM_ReferencedSegmentNumber, frame.segment);
}

status dicom_write_seg(const char *directory, const dicom_identity *who, const volume *v,
                       const label_set *set) {
    status st;
    char path[PATH_SIZE];
    DcmFileFormat file;
    DcmDataset &data = *file.getDataset();
    const std::vector<mask_frame> frames = list_frames(v, set->count);
    std::vector<Uint8> bits;
    TRY(path_join(path, directory, "seg.dcm"));
    if (frames.empty()) goto done; /* a segmentation without segments is invalid */

    bits = pack(v, frames);
    if (bits.size() > UINT32_MAX - 1)
        TRY(status_fail(ST_INPUT, "%s: masks of %zu bytes are more than a DICOM attribute holds",
                        path, bits.size()));
    dicom_put_common(data, who, UID_SegmentationStorage, "segmentation");
    put_image(data, who, v);
    put_segments(data, who, frames, set);
    put_referenced_series(data, who, v);
    put_dimensions(data, who);
    put_shared_groups(data, &v->space);
    dicom_put(data, DCM_NumberOfFrames, static_cast<int64_t>(frames.size()));
    for (const mask_frame &frame : frames) put_frame_groups(data, who, &v->space, frame);
    dicom_must(data.putAndInsertUint8Array(DcmTag(DCM_PixelData, EVR_OB), bits.data(),
                                           static_cast<unsigned long>(bits.size())),
               DCM_PixelData);
    TRY(dicom_save(path, file));
done:
    return st;
}
