/* Reading Segmentation Storage (PS3.3 A.51), BINARY, into a label map.
 *
 * A frame holds one segment on one plane, which its functional groups (C.7.6.16) identify. The bits
 * of all frames follow each other without padding, least significant bit first (C.8.20.2.1): a
 * frame need not begin at a byte boundary. Where segments overlap the one with the highest number
 * wins, independent of the order of the frames.
 */
#include "io/dicom_common.hpp"

#include <dcmtk/dcmdata/dcspchrs.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <map>
#include <vector>

namespace {

struct seg_frame {
    int64_t index;   /* in the pixel data */
    int64_t segment; /* Segment Number */
    double position[3];
};

/* Functional groups: shared by all frames, and of one frame (NULL: missing). */
struct seg_groups {
    DcmItem *shared, *own;
};

} // namespace

/* How messages name the item `index` of the segment sequence. */
static std::string label_text(const char *path, long index) {
    return std::string(path) + ": segment " + std::to_string(index + 1);
}

/* Bytes beyond ASCII as \xNN. */
static std::string printable(const std::string &bytes) {
    std::string text;
    for (const unsigned char byte : bytes) {
        char code[8];
        std::snprintf(code, sizeof code, byte >= ' ' && byte <= '~' ? "%c" : "\\x%02x", byte);
        text += code;
    }
    return text;
}

/* The Segment Label of an item, converted to UTF-8 from the character set of the data set (PS3.3
 * C.12.1.1.2): manifests and reports hold UTF-8, and names from several archives are compared. */
static status read_label(const std::string &where, DcmDataset &data, DcmItem &item,
                         char out[LABEL_NAME]) {
    DcmSpecificCharacterSet converter;
    OFString utf8;
    const std::string raw = dicom_text(item, DCM_SegmentLabel);
    const std::string from = dicom_text(data, DCM_SpecificCharacterSet);
    OFCondition done = converter.selectCharacterSet(data);
    if (done.good()) done = converter.convertString(OFString(raw.c_str()), utf8);
    if (done.bad())
        return status_fail(ST_INPUT, "%s: %s is '%s', which is no text in %s '%s': %s",
                           where.c_str(), dicom_tag_name(DCM_SegmentLabel).c_str(),
                           printable(raw).c_str(), dicom_tag_name(DCM_SpecificCharacterSet).c_str(),
                           printable(from).c_str(), done.text());
    if (utf8.empty())
        return status_fail(ST_INPUT, "%s: %s is missing or empty", where.c_str(),
                           dicom_tag_name(DCM_SegmentLabel).c_str());
    if (utf8.size() >= LABEL_NAME)
        return status_fail(ST_INPUT, "%s: %s is longer than %d bytes of UTF-8: '%s'", where.c_str(),
                           dicom_tag_name(DCM_SegmentLabel).c_str(), LABEL_NAME - 1, utf8.c_str());
    std::snprintf(out, LABEL_NAME, "%s", utf8.c_str());
    return ST_OK;
}

/* Maps Segment Numbers to label values; appends new names to `set`. */
static status read_segments(const char *path, DcmDataset &data, label_set *set,
                            std::map<int64_t, uint8_t> *values) {
    status st = ST_OK;
    long index = 0;
    if (set->count == 0) {
        *set = label_set();
        std::snprintf(set->name[set->count++], LABEL_NAME, "background");
    }
    for (DcmItem *item; (item = dicom_item(data, DCM_SegmentSequence, index)); index++) {
        const std::string where = label_text(path, index);
        int64_t number = 0;
        char name[LABEL_NAME];
        TRY(dicom_unsigned(where.c_str(), *item, DCM_SegmentNumber, &number));
        TRY(read_label(where, data, *item, name));
        int value = label_find(set, name);
        if (value == 0)
            TRY(status_fail(ST_INPUT,
                            "%s: segment %" PRId64 " is named '%s', the name of what no segment "
                            "marks: rename it or leave it out",
                            path, number, name));
        if (value < 0) {
            if (set->count == LABELS_MAX)
                TRY(status_fail(ST_INPUT,
                                "%s: segment '%s' is one structure too many: a store holds at "
                                "most %d; leave some segments out",
                                path, name, STRUCTURES_MAX));
            value = set->count;
            std::snprintf(set->name[set->count++], LABEL_NAME, "%s", name);
        }
        if (!values->emplace(number, static_cast<uint8_t>(value)).second)
            TRY(status_fail(ST_INPUT, "%s: two segments have the number %" PRId64, path, number));
    }
    if (index == 0)
        TRY(status_fail(ST_INPUT, "%s: %s is missing or empty", path,
                        dicom_tag_name(DCM_SegmentSequence).c_str()));
done:
    return st;
}

/* The item of a functional group: that of the frame, otherwise the shared one. */
static status find_group(const char *path, const seg_groups &groups, const DcmTagKey &sequence,
                         DcmItem **out) {
    *out = groups.own ? dicom_item(*groups.own, sequence) : NULL;
    if (!*out && groups.shared) *out = dicom_item(*groups.shared, sequence);
    if (*out) return ST_OK;
    return status_fail(ST_INPUT, "%s: %s is missing from the functional groups", path,
                       dicom_tag_name(sequence).c_str());
}

static double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* A frame must have the grid of the CT: masks are not resampled. */
static status check_plane(const char *path, const seg_groups &groups, const geometry *space) {
    status st;
    DcmItem *item = NULL;
    double orientation[6], spacing[2];
    TRY(find_group(path, groups, DCM_PlaneOrientationSequence, &item));
    TRY(dicom_numbers(path, *item, DCM_ImageOrientationPatient, orientation, 6));
    for (int i = 0; i < 3; i++)
        if (std::fabs(orientation[i] - space->direction[6 + i]) > 1e-3 ||
            std::fabs(orientation[3 + i] - space->direction[3 + i]) > 1e-3)
            TRY(status_fail(ST_INPUT, "%s: the orientation of a frame is not that of the CT",
                            path));
    TRY(find_group(path, groups, DCM_PixelMeasuresSequence, &item));
    TRY(dicom_numbers(path, *item, DCM_PixelSpacing, spacing, 2));
    for (int i = 0; i < 2; i++)
        if (std::fabs(spacing[i] - space->spacing[1 + i]) > 0.01 * space->spacing[1 + i])
            TRY(status_fail(ST_INPUT, "%s: the pixel spacing of a frame, %g mm, is not the CT's %g",
                            path, spacing[i], space->spacing[1 + i]));
done:
    return st;
}

/* Segment and position of a frame, from its functional groups. */
static status read_frame(const char *path, const seg_groups &groups, const geometry *space,
                         seg_frame *frame) {
    status st;
    DcmItem *item = NULL;
    TRY(check_plane(path, groups, space));
    TRY(find_group(path, groups, DCM_PlanePositionSequence, &item));
    TRY(dicom_numbers(path, *item, DCM_ImagePositionPatient, frame->position, 3));
    TRY(find_group(path, groups, DCM_SegmentIdentificationSequence, &item));
    TRY(dicom_unsigned(path, *item, DCM_ReferencedSegmentNumber, &frame->segment));
done:
    return st;
}

/* All frames, sorted by segment. */
static status read_frames(const char *path, DcmDataset &data, const geometry *space,
                          std::vector<seg_frame> *frames) {
    status st = ST_OK;
    DcmSequenceOfItems *per_frame = NULL;
    seg_groups groups = {dicom_item(data, DCM_SharedFunctionalGroupsSequence), NULL};
    Sint32 count = 0;
    data.findAndGetSequence(DCM_PerFrameFunctionalGroupsSequence, per_frame);
    data.findAndGetSint32(DCM_NumberOfFrames, count);
    if (count < 1 || !per_frame || per_frame->card() != static_cast<unsigned long>(count))
        TRY(status_fail(ST_INPUT, "%s: %s is %ld, but %s has %lu items", path,
                        dicom_tag_name(DCM_NumberOfFrames).c_str(), static_cast<long>(count),
                        dicom_tag_name(DCM_PerFrameFunctionalGroupsSequence).c_str(),
                        per_frame ? per_frame->card() : 0ul));
    for (DcmObject *item = NULL; (item = per_frame->nextInContainer(item));) {
        seg_frame frame = {static_cast<int64_t>(frames->size()), 0, {0, 0, 0}};
        groups.own = dynamic_cast<DcmItem *>(item);
        TRY(read_frame(path, groups, space, &frame));
        frames->push_back(frame);
    }
    std::stable_sort(frames->begin(), frames->end(),
                     [](const seg_frame &a, const seg_frame &b) { return a.segment < b.segment; });
done:
    return st;
}

/* The slice of `space` that a frame lies on. */
static status find_slice(const char *path, const seg_frame &frame, const geometry *space,
                         int64_t *z) {
    double offset[3], voxels[3];
    for (int i = 0; i < 3; i++) offset[i] = frame.position[i] - space->origin[i];
    for (int axis = 0; axis < 3; axis++)
        voxels[axis] = dot(offset, space->direction + 3 * axis) / space->spacing[axis];
    const double nearest = std::floor(voxels[0] + 0.5);
    const bool in_stack = nearest >= 0 && nearest < static_cast<double>(space->shape[0]);
    if (!in_stack || !(std::fabs(voxels[1]) < 0.5) || !(std::fabs(voxels[2]) < 0.5))
        return status_fail(
            ST_INPUT, "%s: frame %" PRId64 " at %g\\%g\\%g lies on no slice of the CT it refers to",
            path, frame.index + 1, frame.position[0], frame.position[1], frame.position[2]);
    *z = static_cast<int64_t>(nearest);
    return ST_OK;
}

/* Checks that the object is BINARY, uncompressed, and has the rows and columns of the CT. */
static status check_form(const char *path, DcmDataset &data, const geometry *space) {
    status st;
    int64_t rows = 0, columns = 0, allocated = 0;
    const std::string kind = dicom_text(data, DCM_SegmentationType);
    if (kind != "BINARY")
        TRY(status_fail(ST_INPUT, "%s: %s is '%s', only BINARY is read", path,
                        dicom_tag_name(DCM_SegmentationType).c_str(), kind.c_str()));
    TRY(dicom_unsigned(path, data, DCM_BitsAllocated, &allocated));
    TRY(dicom_unsigned(path, data, DCM_Rows, &rows));
    TRY(dicom_unsigned(path, data, DCM_Columns, &columns));
    if (rows != space->shape[1] || columns != space->shape[2])
        TRY(status_fail(ST_INPUT,
                        "%s: frames of %" PRId64 " x %" PRId64 " do not fit the CT's %" PRId64
                        " x %" PRId64 " (rows x columns)",
                        path, rows, columns, space->shape[1], space->shape[2]));
    if (allocated != 1 || DcmXfer(data.getOriginalXfer()).isEncapsulated())
        TRY(status_fail(ST_INPUT,
                        "%s: compressed segmentations, or Bits Allocated other than 1, "
                        "are not read",
                        path));
done:
    return st;
}

/* Checks that the pixel data is long enough for the frames, without reading it. */
static status check_bits(const char *path, DcmDataset &data, int64_t frames,
                         const geometry *space) {
    DcmElement *element = NULL;
    if (data.findAndGetElement(DCM_PixelData, element).bad())
        return status_fail(ST_INPUT, "%s: the pixel array is missing or cut", path);
    return dicom_check_claim(path, {frames, space->shape[1], space->shape[2], 1},
                             element->getLengthField(), false);
}

/* The packed bits of all frames, owned by `data`. */
static status get_bits(const char *path, DcmDataset &data, int64_t frames, int64_t pixels,
                       const Uint8 **bits) {
    unsigned long bytes = 0;
    int64_t all = 0;
    if (data.findAndGetUint8Array(DCM_PixelData, *bits, &bytes).good() && *bits &&
        size_mul(frames, pixels, &all) && static_cast<int64_t>(bytes) >= (all + 7) / 8)
        return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: the pixel array is missing or cut: %lu bytes for %" PRId64 " frames",
                       path, bytes, frames);
}

static status paint(const char *path, DcmDataset &data, const geometry *space, label_set *set,
                    uint8_t *labels) {
    status st;
    std::map<int64_t, uint8_t> values;
    std::vector<seg_frame> frames;
    const Uint8 *bits = NULL;
    const int64_t pixels = space->shape[1] * space->shape[2];
    TRY(check_form(path, data, space));
    TRY(read_segments(path, data, set, &values));
    TRY(read_frames(path, data, space, &frames));
    TRY(check_bits(path, data, static_cast<int64_t>(frames.size()), space));
    TRY(get_bits(path, data, static_cast<int64_t>(frames.size()), pixels, &bits));
    for (const seg_frame &frame : frames) {
        int64_t z = 0;
        const auto value = values.find(frame.segment);
        if (value == values.end())
            TRY(status_fail(
                ST_INPUT, "%s: frame %" PRId64 " refers to segment %" PRId64 ", which is not there",
                path, frame.index + 1, frame.segment));
        TRY(find_slice(path, frame, space, &z));
        for (int64_t i = 0, bit = frame.index * pixels; i < pixels; i++, bit++)
            if (bits[bit >> 3] >> (bit & 7) & 1) labels[z * pixels + i] = value->second;
    }
done:
    return st;
}

status dicom_read_seg(const char *path, const geometry *space, label_set *set, uint8_t *labels) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        int64_t content = 0;
        TRY(dicom_load(path, DCM_UndefinedTagKey, file, &content));
        TRY(paint(path, *file.getDataset(), space, set, labels));
    done:
        return st;
    });
}

status dicom_seg_labels(const char *path, label_set *set) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        std::map<int64_t, uint8_t> values;
        int64_t content = 0;
        TRY(dicom_load(path, DCM_PerFrameFunctionalGroupsSequence, file, &content));
        TRY(read_segments(path, *file.getDataset(), set, &values));
    done:
        return st;
    });
}
