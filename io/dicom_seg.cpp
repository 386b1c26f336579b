/* Reading Segmentation Storage (PS3.3 A.51) into masks: segments and their labels, and the pixels
 * of each frame, laid upon the grid of the CT.
 */
#include "io/dicom_characters.hpp"
#include "io/dicom_seg.hpp"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <map>

/* ---- segments ---- */

/* How messages name the item `index` of the segment sequence. */
static std::string segment_text(const char *path, long index) {
    return std::string(path) + ": segment " + std::to_string(index + 1);
}

/* The Segment Label of an item, converted to UTF-8 from the character set of the data set (PS3.3
 * C.12.1.1.2): names from several archives are compared. */
static status read_label(const std::string &where, DcmDataset &data, DcmItem &item,
                         std::string *label) {
    if (!dicom_text_in_utf8(item, data, DCM_SegmentLabel, label))
        return status_fail(ST_INPUT, "%s: %s is no text in the %s of the file", where.c_str(),
                           dicom_tag_name(DCM_SegmentLabel).c_str(),
                           dicom_tag_name(DCM_SpecificCharacterSet).c_str());
    if (label->empty())
        return status_fail(ST_INPUT, "%s: %s is missing or empty", where.c_str(),
                           dicom_tag_name(DCM_SegmentLabel).c_str());
    return ST_OK;
}

/* Segment Numbers and labels. Segment 0 of a label map is what no segment marks. */
static status read_segments(const char *path, DcmDataset &data,
                            std::map<int64_t, std::string> *labels) {
    enum { SEGMENTS_MAX = 4096 };
    status st = ST_OK;
    long index = 0;
    for (DcmItem *item; (item = dicom_item(data, DCM_SegmentSequence, index)); index++) {
        const std::string where = segment_text(path, index);
        int64_t number = 0;
        std::string label;
        if (index == SEGMENTS_MAX)
            TRY(status_fail(ST_INPUT, "%s: more than %d segments", path, SEGMENTS_MAX));
        TRY(dicom_unsigned(where.c_str(), *item, DCM_SegmentNumber, &number));
        if (number == 0) continue;
        TRY(read_label(where, data, *item, &label));
        if (!labels->emplace(number, label).second)
            TRY(status_fail(ST_INPUT, "%s: two segments have the number %" PRId64, path, number));
    }
    if (index == 0)
        TRY(status_fail(ST_INPUT, "%s: %s is missing or empty", path,
                        dicom_tag_name(DCM_SegmentSequence).c_str()));
done:
    return st;
}

/* The label value of each Segment Number; 0: left out. */
static status name_segments(const char *path, DcmDataset &data, const structure_names *names,
                            std::map<int64_t, uint8_t> *values) {
    std::map<int64_t, std::string> labels;
    const status st = read_segments(path, data, &labels);
    if (st != ST_OK) return st;
    for (const auto &segment : labels) {
        const int value = structure_value(names, segment.second.c_str());
        if (value < 0)
            return status_fail(ST_INPUT,
                               "%s: the label of segment number %" PRId64
                               " is new: the file changed while it was read",
                               path, segment.first);
        (*values)[segment.first] = static_cast<uint8_t>(value);
    }
    return ST_OK;
}

/* A missing one is not another one. */
static bool has_reference(DcmDataset &data, const char *of_ct) {
    const std::string of_seg = dicom_text(data, DCM_FrameOfReferenceUID);
    return of_seg.empty() || !*of_ct || of_seg == of_ct;
}

/* ---- pixels ---- */

namespace {

/* A segmentation on its way to masks. */
struct seg_reader {
    const char *path;
    const seg_target *to;
    seg_form form;
    std::map<int64_t, uint8_t> values;
    std::vector<seg_frame> frames;
    std::vector<seg_place> places;
    std::vector<uint16_t> cells;  /* of the present frame, as stored */
    std::vector<uint8_t> marked;  /* label values of the present frame */
    std::vector<uint8_t> plane;   /* those of a part of a slice */
    std::vector<int64_t> next[2]; /* rows and columns of the pixels next to a row of voxels */
    int64_t from[2], to_pixel[2]; /* rows and columns that are marked: first and last */
    int64_t pixels, voxels;       /* marked ones of all frames */
};

} // namespace

static status unknown_segment(const seg_reader &r, int64_t k, int64_t number) {
    return status_fail(ST_INPUT, "%s: it refers to segment %" PRId64 ", which is not there",
                       seg_frame_text(r.path, k).c_str(), number);
}

/* What the cells of a frame mean: a cell of at least `least` marks `value`; in a label map it is a
 * Segment Number. */
namespace {

struct seg_meaning {
    int least;
    uint8_t value;
};

} // namespace

static status find_meaning(const seg_reader &r, int64_t k, seg_meaning *meaning) {
    if (r.form.kind == seg_kind::label_map) return ST_OK;
    const auto value = r.values.find(r.frames[k].segment);
    if (value == r.values.end()) return unknown_segment(r, k, r.frames[k].segment);
    const double from = r.form.kind == seg_kind::fractional
                            ? r.to->fractional * static_cast<double>(r.form.fractional_max)
                            : 0;
    *meaning = {std::max(1, static_cast<int>(std::ceil(from))), value->second};
    return ST_OK;
}

/* Row i of the cells of frame k as label values. */
static status mark_row(seg_reader &r, int64_t k, int64_t i, const seg_meaning &meaning) {
    const int64_t columns = r.form.columns;
    const uint16_t *cells = r.cells.data() + i * columns;
    uint8_t *marked = r.marked.data() + i * columns;
    if (r.form.kind != seg_kind::label_map) {
        for (int64_t j = 0; j < columns; j++)
            marked[j] = cells[j] >= meaning.least ? meaning.value : 0;
        return ST_OK;
    }
    for (int64_t j = 0; j < columns; j++) {
        const int64_t number = cells[j];
        if (number == 0 || number == r.form.padding) continue;
        const auto value = r.values.find(number);
        if (value == r.values.end()) return unknown_segment(r, k, number);
        marked[j] = value->second;
    }
    return ST_OK;
}

/* Widens the part of the frame that is marked by row i. */
static void note_row(seg_reader &r, int64_t i, bool *any) {
    const uint8_t *marked = r.marked.data() + i * r.form.columns;
    for (int64_t j = 0; j < r.form.columns; j++) {
        if (!marked[j]) continue;
        r.pixels++;
        r.from[0] = *any ? std::min(r.from[0], i) : i;
        r.from[1] = *any ? std::min(r.from[1], j) : j;
        r.to_pixel[0] = *any ? std::max(r.to_pixel[0], i) : i;
        r.to_pixel[1] = *any ? std::max(r.to_pixel[1], j) : j;
        *any = true;
    }
}

/* Whether all n > 0 cells are 0: the first is, and each equals the one before it. */
static bool is_empty(const uint16_t *cells, int64_t n) {
    return cells[0] == 0 &&
           std::memcmp(cells, cells + 1, static_cast<std::size_t>(n - 1) * sizeof *cells) == 0;
}

/* Turns the cells of frame k into label values, and finds the part that is marked. False in *any:
 * nothing is. Most rows are empty. */
static status mark_frame(seg_reader &r, int64_t k, bool *any) {
    status st;
    seg_meaning meaning = {};
    r.marked.assign(r.cells.size(), 0);
    *any = false;
    TRY(find_meaning(r, k, &meaning));
    for (int64_t i = 0; i < r.form.rows; i++) {
        if (is_empty(r.cells.data() + i * r.form.columns, r.form.columns)) continue;
        TRY(mark_row(r, k, i, meaning));
        note_row(r, i, any);
    }
done:
    return st;
}

/* The nearest whole number; of two equally near ones always the same, whatever the rounding of
 * coordinates. */
static double nearest(double value) { return std::floor(value + 0.5 + 1e-6); }

/* The row (a = 0) or column (a = 1) of the pixel next to each voxel in row y of a box; -1 if there
 * is none. What is the same in all voxels, or as in the row before, is not computed again. */
static void find_next(const seg_place &place, const mask_box &box, int64_t y, int a, int64_t size,
                      std::vector<int64_t> *next) {
    if (y > 0 && place.per_y[a] == 0) return;
    next->resize(static_cast<std::size_t>(box.columns));
    for (int64_t x = 0; x < box.columns; x++) {
        if (x > 0 && place.per_x[a] == 0) {
            (*next)[x] = (*next)[0];
            continue;
        }
        const double at = nearest(place.at[a] + static_cast<double>(box.y0 + y) * place.per_y[a] +
                                  static_cast<double>(box.x0 + x) * place.per_x[a]);
        (*next)[x] = at >= 0 && at < static_cast<double>(size) ? static_cast<int64_t>(at) : -1;
    }
}

/* Lays frame k upon its slice. */
static status lay(seg_reader &r, int64_t k, masks *out) {
    const seg_place &place = r.places[k];
    const mask_box box = seg_box(r.frames[k], place, r.to->space, r.from, r.to_pixel);
    r.plane.assign(static_cast<std::size_t>(box.rows * box.columns), 0);
    for (int64_t y = 0; y < box.rows; y++) {
        find_next(place, box, y, 0, r.form.rows, &r.next[0]);
        find_next(place, box, y, 1, r.form.columns, &r.next[1]);
        for (int64_t x = 0; x < box.columns; x++) {
            const int64_t i = r.next[0][x], j = r.next[1][x];
            if (i < 0 || j < 0) continue;
            const uint8_t value = r.marked[i * r.form.columns + j];
            r.plane[y * box.columns + x] = value;
            r.voxels += value != 0;
        }
    }
    return masks_add(out, &box, r.plane.data());
}

static status lay_frames(seg_reader &r, seg_pixels &pixels, masks *out) {
    status st = ST_OK;
    for (int64_t k = 0; k < r.form.frames; k++) {
        bool any = false;
        TRY(pixels.read(k, &r.cells));
        TRY(mark_frame(r, k, &any));
        if (!any) continue;
        if (r.places[k].z < 0 || r.places[k].z >= r.to->space->shape[0])
            TRY(status_fail(ST_INPUT, "%s: it lies on no slice of the CT",
                            seg_frame_text(r.path, k).c_str()));
        TRY(lay(r, k, out));
    }
    if (r.pixels > 0 && r.voxels == 0)
        TRY(status_fail(ST_INPUT, "%s: all it marks lies outside of the CT's picture", r.path));
done:
    return st;
}

status dicom_read_seg(const char *path, const seg_target *to, const structure_names *names,
                      masks *out) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        DcmDataset &data = *file.getDataset();
        int64_t content = 0;
        seg_reader r = {};
        seg_pixels pixels;
        r.path = path;
        r.to = to;
        TRY(dicom_load(path, DCM_UndefinedTagKey, file, &content));
        TRY(seg_read_form(path, data, content, &r.form));
        if (!has_reference(data, to->frame_of_reference_uid))
            TRY(status_fail(ST_INPUT, "%s: its %s is not that of the CT", path,
                            dicom_tag_name(DCM_FrameOfReferenceUID).c_str()));
        TRY(name_segments(path, data, names, &r.values));
        TRY(seg_read_frames(path, data, r.form, &r.frames));
        TRY(seg_place_frames(path, data, r.form, r.frames, to->space, &r.places));
        TRY(pixels.open(path, data, r.form));
        TRY(lay_frames(r, pixels, out));
    done:
        return st;
    });
}

status dicom_seg_texts(const char *path, structure_texts *texts) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        std::map<int64_t, std::string> labels;
        int64_t content = 0;
        TRY(dicom_load(path, DCM_PerFrameFunctionalGroupsSequence, file, &content));
        TRY(read_segments(path, *file.getDataset(), &labels));
        for (const auto &segment : labels) {
            st = structure_texts_add(texts, segment.second.c_str());
            if (st != ST_OK)
                TRY(status_fail(st, "%s: segment number %" PRId64 ": %s", path, segment.first,
                                status_message()));
        }
    done:
        return st;
    });
}

/* ---- without a reference ---- */

/* Whether a frame lies on a slice, and its corners within half a voxel of the picture. */
static bool is_within(const seg_form &form, const seg_frame &frame, const seg_place &place,
                      const geometry *space) {
    const int64_t first[2] = {0, 0}, last[2] = {form.rows - 1, form.columns - 1};
    if (place.z < 0 || place.z >= space->shape[0]) return false;
    for (int corner = 0; corner < 4; corner++) {
        double point[3];
        seg_point(frame, space, static_cast<double>(corner & 1 ? last[0] : first[0]),
                  static_cast<double>(corner & 2 ? last[1] : first[1]), point);
        for (int a = 1; a < 3; a++) {
            double along = 0;
            for (int i = 0; i < 3; i++) along += point[i] * space->direction[3 * a + i];
            along /= space->spacing[a];
            if (!(along > -1 && along < static_cast<double>(space->shape[a]))) return false;
        }
    }
    return true;
}

status dicom_seg_fits(const char *path, const geometry *space, const char *frame_of_reference_uid,
                      bool *fits) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        DcmDataset &data = *file.getDataset();
        int64_t content = 0;
        seg_form form = {};
        std::vector<seg_frame> frames;
        std::vector<seg_place> places;
        *fits = false;
        TRY(dicom_load(path, DCM_PixelData, file, &content));
        TRY(seg_read_form(path, data, content, &form));
        TRY(seg_read_frames(path, data, form, &frames));
        *fits = has_reference(data, frame_of_reference_uid) &&
                seg_place_frames(path, data, form, frames, space, &places) == ST_OK;
        for (std::size_t k = 0; k < frames.size() && *fits; k++)
            *fits = is_within(form, frames[k], places[k], space);
    done:
        return st;
    });
}
