/* The frames of a segmentation and where they lie, from the functional groups (PS3.3 C.7.6.16).
 *
 * A frame has a plane of its own: origin, orientation, spacing. Its grid need not be that of the
 * CT: it may be cut, mirrored, turned in the plane, finer or coarser. Only its plane must be one of
 * the CT's slices. Nearest neighbours along the third axis would leave slices out or paint one for
 * another, so that a stack of frames with another step is refused.
 */
#include "io/dicom_seg.hpp"

#include <algorithm>
#include <cinttypes>
#include <cmath>

namespace {

/* Functional groups: shared by all frames, and of one frame (NULL: missing). */
struct seg_groups {
    DcmItem *shared, *own;
};

} // namespace

/* ---- the form ---- */

static status read_kind(const char *path, DcmDataset &data, seg_form *form) {
    status st = ST_OK;
    const std::string kind = dicom_text(data, DCM_SegmentationType);
    const bool is_map = dicom_text(data, DCM_SOPClassUID) == DICOM_LABEL_MAP_SEG;
    if (is_map || kind == "LABELMAP") {
        form->kind = seg_kind::label_map;
    } else if (kind == "BINARY") {
        form->kind = seg_kind::binary;
    } else if (kind == "FRACTIONAL") {
        form->kind = seg_kind::fractional;
    } else {
        TRY(status_fail(ST_INPUT, "%s: %s is none of BINARY, FRACTIONAL, LABELMAP", path,
                        dicom_tag_name(DCM_SegmentationType).c_str()));
    }
    if (form->kind != seg_kind::fractional) goto done;
    TRY(dicom_unsigned(path, data, DCM_MaximumFractionalValue, &form->fractional_max));
    if (form->fractional_max < 1)
        TRY(status_fail(ST_INPUT, "%s: %s is 0", path,
                        dicom_tag_name(DCM_MaximumFractionalValue).c_str()));
done:
    return st;
}

/* Bits of a pixel: 1 for BINARY, 8 for FRACTIONAL, 8 or 16 for label maps. Some writers store a
 * byte for each pixel of a BINARY one. */
static status read_bits(const char *path, DcmDataset &data, seg_form *form) {
    status st;
    TRY(dicom_unsigned(path, data, DCM_BitsAllocated, &form->bits));
    if (!(form->bits == 8 || (form->bits == 1 && form->kind == seg_kind::binary) ||
          (form->bits == 16 && form->kind == seg_kind::label_map)))
        TRY(status_fail(ST_INPUT, "%s: %s is %" PRId64 ", which is not read for this kind", path,
                        dicom_tag_name(DCM_BitsAllocated).c_str(), form->bits));
done:
    return st;
}

static status read_frame_count(const char *path, DcmDataset &data, seg_form *form) {
    Sint32 count = 0;
    DcmSequenceOfItems *per_frame = NULL;
    data.findAndGetSint32(DCM_NumberOfFrames, count);
    data.findAndGetSequence(DCM_PerFrameFunctionalGroupsSequence, per_frame);
    const unsigned long items = per_frame ? per_frame->card() : 0;
    if (count == 0 && items == 0)
        return status_fail(ST_INPUT, "%s: the segmentation has no frames: it marks nothing", path);
    form->frames = count;
    if (count >= 1 && items == static_cast<unsigned long>(count)) return ST_OK;
    return status_fail(ST_INPUT, "%s: %s is %ld, but %s has %lu items", path,
                       dicom_tag_name(DCM_NumberOfFrames).c_str(), static_cast<long>(count),
                       dicom_tag_name(DCM_PerFrameFunctionalGroupsSequence).c_str(), items);
}

status seg_read_form(const char *path, DcmDataset &data, int64_t content, seg_form *form) {
    enum { PIXELS_MAX = 1 << 26 }; /* of a frame */
    status st;
    int64_t samples = 1;
    const DcmXfer syntax(data.getOriginalXfer());
    *form = {};
    form->padding = -1;
    TRY(read_kind(path, data, form));
    TRY(read_frame_count(path, data, form));
    TRY(read_bits(path, data, form));
    TRY(dicom_unsigned(path, data, DCM_Rows, &form->rows));
    TRY(dicom_unsigned(path, data, DCM_Columns, &form->columns));
    if (data.tagExistsWithValue(DCM_SamplesPerPixel))
        TRY(dicom_unsigned(path, data, DCM_SamplesPerPixel, &samples));
    if (form->rows < 1 || form->columns < 1 || samples != 1 ||
        form->rows * form->columns > PIXELS_MAX)
        TRY(status_fail(ST_INPUT,
                        "%s: frames of %" PRId64 " x %" PRId64
                        " pixels (rows x columns) of %" PRId64 " samples are not read",
                        path, form->rows, form->columns, samples));
    if (form->kind == seg_kind::label_map && data.tagExistsWithValue(DCM_PixelPaddingValue))
        TRY(dicom_unsigned(path, data, DCM_PixelPaddingValue, &form->padding));
    TRY(dicom_check_claim(path, {form->frames, form->rows, form->columns, form->bits}, content,
                          syntax.isEncapsulated()));
done:
    return st;
}

/* ---- the frames ---- */

/* The item of a functional group: that of the frame, otherwise the shared one. */
static status find_group(const std::string &where, const seg_groups &groups,
                         const DcmTagKey &sequence, DcmItem **out) {
    *out = groups.own ? dicom_item(*groups.own, sequence) : NULL;
    if (!*out && groups.shared) *out = dicom_item(*groups.shared, sequence);
    if (*out) return ST_OK;
    return status_fail(ST_INPUT, "%s: %s is missing from the functional groups", where.c_str(),
                       dicom_tag_name(sequence).c_str());
}

static double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Cosines may be rounded to three digits; they are made unit vectors again. */
static status read_axes(const std::string &where, DcmItem &item, seg_frame *frame) {
    enum { ROUNDED = 200 }; /* 1 / 0.005 */
    double cosines[6];
    status st = dicom_numbers(where.c_str(), item, DCM_ImageOrientationPatient, cosines, 6);
    if (st != ST_OK) return st;
    double *const axes[2] = {frame->row, frame->column};
    bool valid = true;
    for (int a = 0; a < 2; a++) {
        const double length = std::sqrt(dot(cosines + 3 * a, cosines + 3 * a));
        valid = valid && std::fabs(length - 1) * ROUNDED < 1;
        for (int i = 0; i < 3; i++) axes[a][i] = cosines[3 * a + i] / length;
    }
    if (valid && std::fabs(dot(frame->row, frame->column)) * ROUNDED < 1) return ST_OK;
    return status_fail(ST_INPUT, "%s: %s is not two unit vectors at right angles", where.c_str(),
                       dicom_tag_name(DCM_ImageOrientationPatient).c_str());
}

static status read_frame(const std::string &where, const seg_groups &groups, const seg_form &form,
                         seg_frame *frame) {
    status st;
    DcmItem *item = NULL;
    TRY(find_group(where, groups, DCM_PlaneOrientationSequence, &item));
    TRY(read_axes(where, *item, frame));
    TRY(find_group(where, groups, DCM_PixelMeasuresSequence, &item));
    TRY(dicom_numbers(where.c_str(), *item, DCM_PixelSpacing, frame->spacing, 2));
    TRY(dicom_check_pixel_spacing(where.c_str(), frame->spacing));
    TRY(find_group(where, groups, DCM_PlanePositionSequence, &item));
    TRY(dicom_numbers(where.c_str(), *item, DCM_ImagePositionPatient, frame->position, 3));
    if (form.kind == seg_kind::label_map) goto done;
    TRY(find_group(where, groups, DCM_SegmentIdentificationSequence, &item));
    TRY(dicom_unsigned(where.c_str(), *item, DCM_ReferencedSegmentNumber, &frame->segment));
done:
    return st;
}

status seg_read_frames(const char *path, DcmDataset &data, const seg_form &form,
                       std::vector<seg_frame> *frames) {
    DcmSequenceOfItems *per_frame = NULL;
    seg_groups groups = {dicom_item(data, DCM_SharedFunctionalGroupsSequence), NULL};
    data.findAndGetSequence(DCM_PerFrameFunctionalGroupsSequence, per_frame);
    frames->clear();
    for (DcmObject *item = NULL; per_frame && (item = per_frame->nextInContainer(item));) {
        seg_frame frame = {};
        groups.own = dynamic_cast<DcmItem *>(item);
        const auto number = static_cast<int64_t>(frames->size());
        const status st = read_frame(seg_frame_text(path, number), groups, form, &frame);
        if (st != ST_OK) return st;
        frames->push_back(frame);
    }
    if (static_cast<int64_t>(frames->size()) == form.frames) return ST_OK;
    return status_fail(ST_INPUT, "%s: frames without functional groups", path);
}

/* ---- their places ---- */

void seg_point(const seg_frame &frame, const geometry *space, double i, double j, double out[3]) {
    for (int k = 0; k < 3; k++)
        out[k] = frame.position[k] + i * frame.spacing[0] * frame.column[k] +
                 j * frame.spacing[1] * frame.row[k] - space->origin[k];
}

/* The larger of the angles between the plane of a frame and that of the slices, as sines. */
static double tilt_of(const seg_frame &frame, const geometry *space) {
    return std::fmax(std::fabs(dot(frame.row, space->direction)),
                     std::fabs(dot(frame.column, space->direction)));
}

static status place_frame(const char *path, int64_t k, const seg_form &form, const seg_frame &frame,
                          const geometry *space, seg_place *place) {
    static const double tilt_max = 0.005; /* cosines rounded to two digits */
    static const double far = 1e9;        /* slices */
    double centre[3];
    if (!(tilt_of(frame, space) < tilt_max))
        return status_fail(ST_INPUT, "%s: its plane is not that of the CT's slices",
                           seg_frame_text(path, k).c_str());
    seg_point(frame, space, 0.5 * static_cast<double>(form.rows - 1),
              0.5 * static_cast<double>(form.columns - 1), centre);
    const double height = dot(centre, space->direction) / space->spacing[0];
    if (!(std::fabs(height) < far))
        return status_fail(ST_INPUT, "%s: its position is far from that of the CT",
                           seg_frame_text(path, k).c_str());
    const double nearest = std::floor(height + 0.5);
    place->z = static_cast<int64_t>(nearest);
    place->fraction = height - nearest;
    for (int a = 0; a < 2; a++) {
        const double *axis = a == 0 ? frame.column : frame.row;
        double origin[3];
        for (int i = 0; i < 3; i++)
            origin[i] = space->origin[i] - frame.position[i] +
                        nearest * space->spacing[0] * space->direction[i];
        place->at[a] = dot(origin, axis) / frame.spacing[a];
        place->per_y[a] = space->spacing[1] * dot(space->direction + 3, axis) / frame.spacing[a];
        place->per_x[a] = space->spacing[2] * dot(space->direction + 6, axis) / frame.spacing[a];
    }
    return ST_OK;
}

/* All frames must lie on slices: not half-way between two, and all about as far from theirs. */
static status check_fractions(const char *path, const std::vector<seg_place> &places,
                              const geometry *space) {
    static const double half = 0.45, spread = 0.3; /* slices */
    double low = 1, high = -1;
    for (std::size_t k = 0; k < places.size(); k++) {
        const seg_place &place = places[k];
        if (place.z < 0 || place.z >= space->shape[0]) continue;
        low = std::fmin(low, place.fraction);
        high = std::fmax(high, place.fraction);
        if (std::fabs(place.fraction) > half || high - low > spread)
            return status_fail(ST_INPUT,
                               "%s: it falls between two slices of the CT: the segmentation has "
                               "another slice spacing or position; resample it",
                               seg_frame_text(path, static_cast<int64_t>(k)).c_str());
    }
    return ST_OK;
}

/* What the frames say of their distance, in slices of the CT; 0: nothing. *thickness: it is from
 * SliceThickness, which may be larger than the distance. */
static status read_claim(const char *path, DcmDataset &data, const geometry *space, double *claim,
                         bool *thickness) {
    status st;
    const seg_groups groups = {dicom_item(data, DCM_SharedFunctionalGroupsSequence),
                               dicom_item(data, DCM_PerFrameFunctionalGroupsSequence)};
    DcmItem *item = NULL;
    *claim = 0;
    *thickness = false;
    TRY(find_group(path, groups, DCM_PixelMeasuresSequence, &item));
    if (item->tagExistsWithValue(DCM_SpacingBetweenSlices))
        TRY(dicom_numbers(path, *item, DCM_SpacingBetweenSlices, claim, 1));
    *thickness = *claim == 0 && item->tagExistsWithValue(DCM_SliceThickness);
    if (*thickness) TRY(dicom_numbers(path, *item, DCM_SliceThickness, claim, 1));
    *claim = std::fabs(*claim) / space->spacing[0];
done:
    return st;
}

/* A comb of frames, on every second or third slice, is the stack of a coarser grid unless it says
 * that its step is the CT's and empty frames were left out. */
static status check_step(const char *path, DcmDataset &data, const std::vector<seg_place> &places,
                         const geometry *space) {
    std::vector<int64_t> at;
    bool thickness = false, even = true;
    double claim = 0;
    int64_t step = 0;
    for (const seg_place &place : places) at.push_back(place.z);
    std::sort(at.begin(), at.end());
    at.erase(std::unique(at.begin(), at.end()), at.end());
    for (std::size_t i = 1; i < at.size(); i++) {
        const int64_t gap = at[i] - at[i - 1];
        if (gap == 1) return ST_OK;
        if (step != 0 && gap != step) even = false;
        step = step == 0 || gap < step ? gap : step;
    }
    const status st = read_claim(path, data, space, &claim, &thickness);
    if (st != ST_OK) return st;
    const bool comb = at.size() > 2 && even;
    const bool coarse =
        claim == 0 ? comb : claim > 1.5 && (!thickness || (comb && claim > 0.75 * step));
    if (!coarse) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: its frames are %g slices of the CT apart, and none is on the slices "
                       "between: resample it to the CT",
                       path, claim == 0 ? static_cast<double>(step) : claim);
}

status seg_place_frames(const char *path, DcmDataset &data, const seg_form &form,
                        const std::vector<seg_frame> &frames, const geometry *space,
                        std::vector<seg_place> *places) {
    status st = ST_OK;
    places->resize(frames.size());
    for (std::size_t k = 0; k < frames.size(); k++)
        TRY(place_frame(path, static_cast<int64_t>(k), form, frames[k], space, &(*places)[k]));
    TRY(check_fractions(path, *places, space));
    TRY(check_step(path, data, *places, space));
done:
    return st;
}

/* Rounds to a whole number within 0..size. */
static int64_t clipped(double value, int64_t size) {
    const double top = static_cast<double>(size);
    return static_cast<int64_t>(std::fmin(std::fmax(value, 0), top));
}

mask_box seg_box(const seg_frame &frame, const seg_place &place, const geometry *space,
                 const int64_t from[2], const int64_t to[2]) {
    double low[2] = {HUGE_VAL, HUGE_VAL}, high[2] = {-HUGE_VAL, -HUGE_VAL};
    for (int corner = 0; corner < 4; corner++) {
        double point[3];
        seg_point(frame, space, corner & 1 ? to[0] + 0.51 : from[0] - 0.51,
                  corner & 2 ? to[1] + 0.51 : from[1] - 0.51, point);
        for (int a = 0; a < 2; a++) {
            const double voxel = dot(point, space->direction + 3 + 3 * a) / space->spacing[1 + a];
            low[a] = std::fmin(low[a], voxel);
            high[a] = std::fmax(high[a], voxel);
        }
    }
    mask_box box = {place.z, clipped(std::ceil(low[0]), space->shape[1]),
                    clipped(std::ceil(low[1]), space->shape[2]), 0, 0};
    box.rows = std::max<int64_t>(0, clipped(std::floor(high[0]) + 1, space->shape[1]) - box.y0);
    box.columns = std::max<int64_t>(0, clipped(std::floor(high[1]) + 1, space->shape[2]) - box.x0);
    return box;
}
