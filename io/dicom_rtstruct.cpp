/* Reading RT Structure Set Storage (PS3.3 A.19.3; C.8.8.5 Structure Set, C.8.8.6 ROI Contour).
 *
 * ROIs are named in one sequence and drawn in another; the ROI Number joins them. The coordinates
 * of a contour are one decimal string, x\y\z\x\y\z..., which may be megabytes long: it is parsed in
 * one pass. Writers of explicit VR give strings beyond 64 KiB the VR UN.
 */
#include "io/dicom_characters.hpp"
#include "io/dicom_patient_id.hpp"

#include "io/contour.h"
#include "io/dicom_rtstruct.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

enum { STEP_MAX = 4 }; /* slices, that contours to be interpolated are apart */

namespace {

/* A closed contour. */
struct outline {
    std::vector<double> points;                    /* (column, row) in voxels */
    double lowest = INFINITY, highest = -INFINITY; /* voxels along the normal */
    int64_t slice = -1;                            /* that it is painted on; -1: none */

    double height() const { return (lowest + highest) / 2; }
};

struct roi {
    std::string name;
    std::vector<outline> outlines;
    int64_t not_closed = 0;
};

/* By ROI Number. */
using roi_map = std::map<int64_t, roi>;

} // namespace

/* The name of an ROI in UTF-8; "ROI N" if it has none, since its attribute may be empty. */
static status read_name(const char *path, DcmDataset &data, DcmItem &item, int64_t number,
                        std::string *name) {
    if (!dicom_text_in_utf8(item, data, DCM_ROIName, name))
        return status_fail(ST_INPUT, "%s: %s of ROI %" PRId64 " is no text in the %s of the file",
                           path, dicom_tag_name(DCM_ROIName).c_str(), number,
                           dicom_tag_name(DCM_SpecificCharacterSet).c_str());
    if (name->empty()) *name = "ROI " + std::to_string(number);
    return ST_OK;
}

static status read_number(const char *path, DcmItem &item, const DcmTagKey &tag, int64_t *out) {
    Sint32 value = 0;
    if (item.findAndGetSint32(tag, value).bad())
        return status_fail(ST_INPUT, "%s: %s is missing or not a number", path,
                           dicom_tag_name(tag).c_str());
    *out = value;
    return ST_OK;
}

/* The items of a sequence; none if it is missing. */
static std::vector<DcmItem *> items_of(DcmItem &item, const DcmTagKey &sequence) {
    std::vector<DcmItem *> items;
    DcmSequenceOfItems *found = NULL;
    if (item.findAndGetSequence(sequence, found).good() && found)
        for (DcmObject *at = NULL; (at = found->nextInContainer(at));)
            if (DcmItem *one = dynamic_cast<DcmItem *>(at)) items.push_back(one);
    return items;
}

static status read_names(const char *path, DcmDataset &data, roi_map *rois) {
    status st = ST_OK;
    for (DcmItem *item : items_of(data, DCM_StructureSetROISequence)) {
        int64_t number = 0;
        roi one;
        TRY(read_number(path, *item, DCM_ROINumber, &number));
        TRY(read_name(path, data, *item, number, &one.name));
        if (!rois->emplace(number, std::move(one)).second)
            TRY(status_fail(ST_INPUT, "%s: two ROIs have the number %" PRId64, path, number));
    }
    if (rois->empty())
        TRY(status_fail(ST_INPUT, "%s: %s is missing or empty", path,
                        dicom_tag_name(DCM_StructureSetROISequence).c_str()));
done:
    return st;
}

/* ---- coordinates ---- */

/* The decimal string of a contour, owned by the item; empty if it has none. */
static void coordinates_text(DcmItem &item, const char **text, std::size_t *length) {
    DcmElement *element = NULL;
    char *characters = NULL;
    Uint8 *bytes = NULL;
    Uint32 count = 0;
    *text = "";
    *length = 0;
    if (item.findAndGetElement(DCM_ContourData, element).bad()) return;
    if (element->getString(characters, count).good() && characters) {
        *text = characters;
        *length = count;
    } else if (element->getUint8Array(bytes).good() && bytes) {
        *text = reinterpret_cast<const char *>(bytes);
        *length = element->getLength();
    }
}

/* Parses numbers between backslashes; false at the first that is none. */
static bool parse_numbers(const char *text, std::size_t length, std::vector<double> *out) {
    const char *const end = text + length;
    while (length > 0 && text <= end) {
        const char *stop = static_cast<const char *>(
            std::memchr(text, '\\', static_cast<std::size_t>(end - text)));
        if (!stop) stop = end;
        char token[64]; /* 16 characters by the standard */
        std::size_t n = 0;
        char *behind = NULL;
        for (; text < stop; text++)
            if (*text != ' ' && *text != '\0') {
                if (n + 1 == sizeof token) return false;
                token[n++] = *text;
            }
        token[n] = '\0';
        if (n == 0 || token[std::strspn(token, "0123456789+-.eE")] != '\0') return false;
        out->push_back(std::strtod(token, &behind));
        if (*behind != '\0' || !std::isfinite(out->back())) return false;
        text = stop + 1;
    }
    return true;
}

static status read_coordinates(const std::string &where, DcmItem &item, std::vector<double> *out) {
    const char *text = NULL;
    std::size_t length = 0;
    Sint32 claimed = 0;
    coordinates_text(item, &text, &length);
    if (!parse_numbers(text, length, out))
        return status_fail(ST_INPUT, "%s: value %zu of a contour's %s is not a number",
                           where.c_str(), out->size() + 1, dicom_tag_name(DCM_ContourData).c_str());
    if (out->size() % 3 != 0)
        return status_fail(ST_INPUT,
                           "%s: %s of a contour has %zu values, which are no points of three",
                           where.c_str(), dicom_tag_name(DCM_ContourData).c_str(), out->size());
    if (item.findAndGetSint32(DCM_NumberOfContourPoints, claimed).good() &&
        static_cast<int64_t>(out->size() / 3) != claimed)
        return status_fail(ST_INPUT, "%s: %s of a contour is %ld, but it has %zu points",
                           where.c_str(), dicom_tag_name(DCM_NumberOfContourPoints).c_str(),
                           static_cast<long>(claimed), out->size() / 3);
    return ST_OK;
}

/* Reads the closed contours of an ROI; without `space` as they are, to check them. */
static status read_outlines(const std::string &where, DcmItem &item, const geometry *space,
                            roi *out) {
    status st = ST_OK;
    for (DcmItem *one : items_of(item, DCM_ContourSequence)) {
        const std::string type = dicom_text(*one, DCM_ContourGeometricType);
        std::vector<double> mm;
        outline made;
        if (type != "CLOSED_PLANAR" && type != "CLOSEDPLANAR_XOR") {
            out->not_closed++;
            continue;
        }
        TRY(read_coordinates(where, *one, &mm));
        if (mm.size() < 9) {
            out->not_closed++;
            continue;
        }
        for (std::size_t i = 0; space && i < mm.size(); i += 3) {
            double voxel[3];
            contour_to_voxels(space, &mm[i], voxel);
            made.points.push_back(voxel[2]);
            made.points.push_back(voxel[1]);
            made.lowest = std::fmin(made.lowest, voxel[0]);
            made.highest = std::fmax(made.highest, voxel[0]);
        }
        out->outlines.push_back(std::move(made));
    }
done:
    return st;
}

/* How messages name an ROI: by its number, since people write names of patients into its name. */
static std::string roi_text(const char *path, int64_t number) {
    return std::string(path) + ": ROI " + std::to_string(number);
}

static status read_rois(const char *path, DcmDataset &data, const geometry *space, roi_map *rois) {
    status st;
    bool any = false;
    TRY(read_names(path, data, rois));
    for (DcmItem *item : items_of(data, DCM_ROIContourSequence)) {
        int64_t number = 0;
        TRY(read_number(path, *item, DCM_ReferencedROINumber, &number));
        const auto found = rois->find(number);
        if (found == rois->end())
            TRY(status_fail(ST_INPUT, "%s: contours of ROI %" PRId64 ", which is not there", path,
                            number));
        TRY(read_outlines(roi_text(path, number), *item, space, &found->second));
    }
    for (const auto &one : *rois) any = any || !one.second.outlines.empty();
    if (!any) TRY(status_fail(ST_INPUT, "%s: it holds no closed contour", path));
done:
    return st;
}

/* ---- slices ---- */

/* The slice that a contour lies on, or -1. In the middle between two it lies on neither. */
static int64_t slice_of(const outline &one, int64_t slices) {
    const double reach = 0.5 - 1e-3, nearest = std::floor(one.height() + 0.5);
    if (!(nearest >= 0 && nearest < static_cast<double>(slices)) ||
        !(one.lowest > nearest - reach && one.highest < nearest + reach))
        return -1;
    return static_cast<int64_t>(nearest);
}

/* Assigns the contours of an ROI to slices; of several heights about a slice the nearest. */
static void assign_slices(const geometry *space, roi *one) {
    const double same = 0.01 + 0.01 / space->spacing[0]; /* positions are written rounded */
    std::map<int64_t, double> heights;                   /* of each slice the nearest */
    for (outline &o : one->outlines) {
        o.slice = slice_of(o, space->shape[0]);
        if (o.slice < 0) continue;
        const double at = static_cast<double>(o.slice);
        const auto found = heights.emplace(o.slice, o.height()).first;
        if (std::fabs(o.height() - at) < std::fabs(found->second - at)) found->second = o.height();
    }
    for (outline &o : one->outlines)
        if (o.slice >= 0 && !(std::fabs(o.height() - heights[o.slice]) <= same)) o.slice = -1;
}

/* Three slices or more at equal distances, all with small gaps between them, were drawn to be
 * interpolated. */
static status check_gaps(const std::string &where,
                         const std::map<int64_t, std::vector<contour>> &slices) {
    int64_t step = 0, before = -1;
    for (const auto &slice : slices) {
        const int64_t gap = slice.first - before;
        if (before >= 0 && step != 0 && gap != step) return ST_OK;
        if (before >= 0) step = gap;
        before = slice.first;
    }
    if (slices.size() < 3 || step < 2 || step > STEP_MAX) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: it is drawn on one of %" PRId64 " slices of the CT only, and "
                       "contours are not interpolated: interpolate them, or leave it out",
                       where.c_str(), step);
}

/* Paints an ROI. `plane` has room for a slice. */
static status paint(const std::string &where, const geometry *space, roi *one, uint8_t value,
                    std::vector<uint8_t> *plane, masks *out, rtstruct_tally *tally) {
    std::map<int64_t, std::vector<contour>> slices;
    status st = ST_OK;
    assign_slices(space, one);
    tally->not_closed += one->not_closed;
    for (outline &o : one->outlines) {
        if (o.slice < 0) {
            tally->off_slices++;
            continue;
        }
        tally->painted++;
        slices[o.slice].push_back({o.points.data(), static_cast<int64_t>(o.points.size() / 2)});
    }
    TRY(check_gaps(where, slices));
    for (const auto &slice : slices) {
        const mask_box box = {slice.first, 0, 0, space->shape[1], space->shape[2]};
        contour_fill(slice.second.data(), static_cast<int64_t>(slice.second.size()),
                     space->shape[1], space->shape[2], plane->data());
        for (uint8_t &pixel : *plane) pixel = pixel ? value : 0;
        TRY(masks_add(out, &box, plane->data()));
    }
done:
    return st;
}

status dicom_read_rtstruct(const char *path, const geometry *space, const structure_names *names,
                           masks *out, rtstruct_tally *tally) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        roi_map rois;
        rtstruct_tally own = {0, 0, 0};
        std::vector<uint8_t> plane(static_cast<std::size_t>(space->shape[1] * space->shape[2]));
        int64_t content = 0;
        TRY(dicom_load(path, DCM_UndefinedTagKey, file, &content));
        TRY(read_rois(path, *file.getDataset(), space, &rois));
        for (auto &one : rois) {
            const std::string where = roi_text(path, one.first);
            if (one.second.outlines.empty()) {
                own.not_closed += one.second.not_closed;
                continue;
            }
            const int value = structure_value(names, one.second.name.c_str());
            if (value < 0)
                TRY(status_fail(ST_INPUT, "%s: its name is new: the file changed while it was read",
                                where.c_str()));
            if (value > 0)
                TRY(paint(where, space, &one.second, static_cast<uint8_t>(value), &plane, out,
                          &own));
        }
        if (own.painted == 0 && own.off_slices > 0)
            TRY(status_fail(ST_INPUT,
                            "%s: none of its %" PRId64 " closed contours lies on a slice of the CT",
                            path, own.off_slices));
        tally->painted += own.painted;
        tally->not_closed += own.not_closed;
        tally->off_slices += own.off_slices;
    done:
        return st;
    });
}

status dicom_rtstruct_texts(const char *path, structure_texts *texts) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        roi_map rois;
        int64_t content = 0;
        TRY(dicom_load(path, DCM_UndefinedTagKey, file, &content));
        TRY(read_rois(path, *file.getDataset(), NULL, &rois));
        for (const auto &one : rois) {
            if (one.second.outlines.empty()) continue;
            st = structure_texts_add(texts, one.second.name.c_str());
            if (st != ST_OK)
                TRY(status_fail(st, "%s: %s", roi_text(path, one.first).c_str(), status_message()));
        }
    done:
        return st;
    });
}

/* Of the series that the referenced frames of reference name the first, and its frame. */
status dicom_rtstruct_header(DcmItem &data, dicom_header *out) {
    std::string series, frame = dicom_text(data, DCM_FrameOfReferenceUID);
    for (DcmItem *one : items_of(data, DCM_ReferencedFrameOfReferenceSequence)) {
        const std::string uid = dicom_text(*one, DCM_FrameOfReferenceUID);
        if (series.empty() && !uid.empty()) frame = uid;
        for (DcmItem *study : items_of(*one, DCM_RTReferencedStudySequence))
            for (DcmItem *found : items_of(*study, DCM_RTReferencedSeriesSequence))
                if (series.empty()) series = dicom_text(*found, DCM_SeriesInstanceUID);
    }
    std::snprintf(out->study_uid, DICOM_UID, "%s", dicom_text(data, DCM_StudyInstanceUID).c_str());
    std::snprintf(out->referenced_series_uid, DICOM_UID, "%s", series.c_str());
    std::snprintf(out->frame_of_reference_uid, DICOM_UID, "%s", frame.c_str());
    return dicom_patient_id(data, out->patient_id, sizeof out->patient_id, &out->patient_id_form);
}
