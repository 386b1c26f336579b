/* Reading headers: what a file is, and where its frames lie.
 *
 * The geometry of CT Image Storage lies in the data set itself, that of Enhanced CT in functional
 * groups (PS3.3 C.7.6.16): those of a frame, or those that its frames share.
 */
#include "io/dicom_patient_id.hpp"
#include "io/dicom_read.hpp"

#include <algorithm>
#include <cctype>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

/* ---- header ---- */

/* Whether one of the first values of an attribute is `value`. There may be thousands, each of which
 * DCMTK finds by going through those before it. */
static bool has_value(DcmItem &item, const DcmTagKey &tag, const char *value) {
    enum { VALUES_MAX = 16 };
    for (unsigned long i = 0; i < VALUES_MAX; i++) {
        const std::string text = dicom_text(item, tag, i);
        if (text.empty()) return false;
        if (text == value) return true;
    }
    return false;
}

/* Scanners and workstations also store dual-energy and other maps as CT; Rescale Type holds their
 * unit. "US" means unspecified, which in CT Image Storage is HU. */
static bool is_in_hu(DcmItem &item) {
    std::string unit = dicom_text(item, DCM_RescaleType);
    for (char &c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return unit.empty() || unit == "US" || unit.compare(0, 2, "HU") == 0 ||
           unit.compare(0, 10, "HOUNSFIELD") == 0;
}

bool dicom_is_enhanced(DcmItem &set) {
    const std::string sop_class = dicom_text(set, DCM_SOPClassUID);
    return sop_class == UID_EnhancedCTImageStorage ||
           sop_class == UID_LegacyConvertedEnhancedCTImageStorage;
}

DcmItem &dicom_frame_item(DcmItem &set, int64_t frame, const DcmTagKey &group) {
    if (!dicom_is_enhanced(set)) return set;
    DcmItem *groups = dicom_item(set, DCM_PerFrameFunctionalGroupsSequence, frame);
    DcmItem *found = groups ? dicom_item(*groups, group) : NULL;
    if (found) return *found;
    groups = dicom_item(set, DCM_SharedFunctionalGroupsSequence);
    found = groups ? dicom_item(*groups, group) : NULL;
    return found ? *found : set; /* where a message then says what is missing */
}

status dicom_read_rescale(const char *path, DcmItem &set, int64_t frame, double *slope,
                          double *intercept, dicom_header *h) {
    status st;
    DcmItem &item = dicom_frame_item(set, frame, DCM_PixelValueTransformationSequence);
    TRY(dicom_numbers(path, item, DCM_RescaleSlope, slope, 1, h));
    TRY(dicom_numbers(path, item, DCM_RescaleIntercept, intercept, 1, h));
    if (*slope == 0)
        TRY(status_fail(ST_INPUT, "%s: %s is 0", path, dicom_tag_name(DCM_RescaleSlope).c_str()));
done:
    return st;
}

status dicom_read_size(DcmItem &item, dicom_header *out) {
    status st;
    Sint32 frames = 1;
    TRY(dicom_unsigned(out->path, item, DCM_Rows, &out->rows));
    TRY(dicom_unsigned(out->path, item, DCM_Columns, &out->columns));
    if (out->rows < 1 || out->columns < 1)
        TRY(status_fail(ST_INPUT, "%s: %s and %s must be at least 1: %" PRId64 " x %" PRId64,
                        out->path, dicom_tag_name(DCM_Rows).c_str(),
                        dicom_tag_name(DCM_Columns).c_str(), out->rows, out->columns));
    if (item.tagExistsWithValue(DCM_NumberOfFrames) &&
        item.findAndGetSint32(DCM_NumberOfFrames, frames).bad())
        frames = 0;
    out->frames = frames < 0 ? 0 : frames;
done:
    return st;
}

/* What the header claims may not exceed what the file can hold. */
static status check_size(DcmDataset &data, int64_t content, dicom_header *out) {
    dicom_claim claim = {out->frames, out->rows, out->columns, 8};
    const DcmXfer syntax(data.getOriginalXfer());
    Uint16 bits = 0;
    status st = file_size(out->path, &out->file_bytes);
    if (st != ST_OK) return st;
    if (data.findAndGetUint16(DCM_BitsAllocated, bits).good()) claim.bits = bits;
    out->compressed = syntax.isEncapsulated() || syntax.getStreamCompression() != ESC_none;
    return dicom_check_claim(out->path, claim, content, syntax.isEncapsulated());
}

/* The words of a text in upper case. */
static std::vector<std::string> words_of(const std::string &text) {
    std::vector<std::string> words(1);
    for (const char c : text) {
        const unsigned char u = static_cast<unsigned char>(c);
        if (std::isalnum(u) || (u & 0x80))
            words.back() += static_cast<char>(std::toupper(u));
        else if (!words.back().empty())
            words.emplace_back();
    }
    if (words.size() > 1 && words.back().empty()) words.pop_back();
    return words;
}

/* "No IV contrast", "kein KM", "contrast: none". */
static bool denies_contrast(const std::string &text) {
    static const char *const denials[] = {"NO", "NON", "NONE", "WITHOUT", "KEIN", "KEINE", "OHNE"};
    static const char *const topics[] = {"CONTRAST", "IV", "KM", "CM", "KONTRASTMITTEL"};
    const std::vector<std::string> words = words_of(text);
    bool denied = false, topic = false;
    for (const char *const one : denials) denied |= words.front() == one || words.back() == one;
    for (const char *const one : topics)
        topic |= std::find(words.begin(), words.end(), one) != words.end();
    return denied && topic;
}

/* Whether a text names a contrast agent. People also write there that none was given. */
static bool names_agent(const std::string &text) {
    static const char *const none[] = {"",       "NO",         "NONE",          "N",
                                       "NA",     "NIL",        "NULL",          "0",
                                       "WO",     "WITHOUT",    "NOCONTRAST",    "NONCONTRAST",
                                       "NATIVE", "UNENHANCED", "NOTAPPLICABLE", "WITHOUTCONTRAST",
                                       "NATIV",  "PLAIN",      "NONENHANCED",   "WOCONTRAST",
                                       "KEIN",   "KEINE",      "OHNE",          "UNKNOWN"};
    std::string letters; /* in upper case, without spaces and signs */
    for (const char c : text)
        if (std::isalnum(static_cast<unsigned char>(c)) || (c & 0x80))
            letters += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return !denies_contrast(text) &&
           std::find(std::begin(none), std::end(none), letters) == std::end(none);
}

/* Enhanced CT names agents by codes. */
static bool has_contrast(DcmItem &item) {
    if (names_agent(dicom_text(item, DCM_ContrastBolusAgent))) return true;
    DcmItem *agent = dicom_item(item, DCM_ContrastBolusAgentSequence);
    return agent && names_agent(dicom_text(*agent, DCM_CodeMeaning));
}

/* Geometry and rescale values of frame out->frame. */
static status read_geometry(DcmItem &set, dicom_header *out) {
    status st;
    double slope, intercept;
    DcmItem &plane = dicom_frame_item(set, out->frame, DCM_PlanePositionSequence);
    DcmItem &axes = dicom_frame_item(set, out->frame, DCM_PlaneOrientationSequence);
    DcmItem &measures = dicom_frame_item(set, out->frame, DCM_PixelMeasuresSequence);
    TRY(dicom_numbers(out->path, plane, DCM_ImagePositionPatient, out->position, 3, out));
    TRY(dicom_numbers(out->path, axes, DCM_ImageOrientationPatient, out->orientation, 6, out));
    TRY(dicom_check_orientation(out->path, out->orientation));
    TRY(dicom_numbers(out->path, measures, DCM_PixelSpacing, out->pixel_spacing, 2, out));
    TRY(dicom_check_pixel_spacing(out->path, out->pixel_spacing));
    TRY(dicom_read_rescale(out->path, set, out->frame, &slope, &intercept, out));
done:
    return st;
}

/* Text of an attribute that need not be there, cut to what `out` holds. */
template <std::size_t size>
static void copy_optional(DcmItem &item, const DcmTagKey &tag, char (&out)[size]) {
    std::snprintf(out, size, "%s", dicom_text(item, tag).c_str());
}

/* A whole number of any VR that is not negative. */
static int64_t optional_number(DcmItem &item, const DcmTagKey &tag) {
    const std::string text = dicom_text(item, tag);
    char *end = NULL;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (end == text.c_str() || value < 0 || value > INT32_MAX) return DICOM_NO_NUMBER;
    return value;
}

/* Nothing here must be there: Patient ID is of type 2, and anonymisers remove UIDs or write more
 * characters than allowed. */
static status read_identity(DcmItem &item, dicom_header *out) {
    status st =
        dicom_patient_id(item, out->patient_id, sizeof out->patient_id, &out->patient_id_form);
    if (st != ST_OK) return st;
    copy_optional(item, DCM_StudyInstanceUID, out->study_uid);
    copy_optional(item, DCM_SeriesInstanceUID, out->series_uid);
    copy_optional(item, DCM_SOPInstanceUID, out->sop_uid);
    copy_optional(item, DCM_FrameOfReferenceUID, out->frame_of_reference_uid);
    out->acquisition_number = optional_number(item, DCM_AcquisitionNumber);
    out->instance_number = optional_number(item, DCM_InstanceNumber);
    out->series_number = optional_number(item, DCM_SeriesNumber);
    if (!out->study_uid[0]) dicom_note(out, "no Study Instance UID");
    if (!out->sop_uid[0]) dicom_note(out, "no SOP Instance UID");
    if (!out->series_uid[0])
        dicom_note(out, "no Series Instance UID: files of a folder that have one Series Number, "
                        "size and direction are taken as a series");
    return ST_OK;
}

static status read_seg_header(DcmItem &item, dicom_header *out) {
    status st;
    DcmItem *reference = dicom_item(item, DCM_ReferencedSeriesSequence);
    TRY(dicom_read_size(item, out));
    if (reference)
        TRY(dicom_copy_text(out->path, *reference, DCM_SeriesInstanceUID,
                            out->referenced_series_uid, DICOM_UID));
done:
    return st;
}

/* Whether a frame is a CT slice, rather than a localizer or a map of something else. The note says
 * why not. */
static bool is_slice(DcmItem &set, int64_t frame, dicom_header *out) {
    DcmItem &type = dicom_frame_item(set, frame, DCM_CTImageFrameTypeSequence);
    DcmItem &values = dicom_frame_item(set, frame, DCM_PixelValueTransformationSequence);
    const bool localizer =
        has_value(set, DCM_ImageType, "LOCALIZER") || has_value(type, DCM_FrameType, "LOCALIZER");
    if (localizer) dicom_note(out, "a localizer");
    if (!is_in_hu(values)) dicom_note(out, "its Rescale Type is not HU");
    return !localizer && is_in_hu(values);
}

static void classify(DcmFileFormat &file, dicom_header *out) {
    DcmDataset &set = *file.getDataset();
    std::string sop_class = dicom_text(set, DCM_SOPClassUID);
    if (sop_class.empty()) sop_class = dicom_text(*file.getMetaInfo(), DCM_MediaStorageSOPClassUID);
    if (sop_class.empty() && dicom_text(set, DCM_Modality) == "CT") {
        sop_class = UID_CTImageStorage;
        dicom_note(out, "no SOP Class UID: a CT image by its Modality");
    }
    set.putAndInsertOFStringArray(DCM_SOPClassUID, sop_class.c_str());
    out->kind = DICOM_OTHER;
    if (sop_class == UID_SegmentationStorage || sop_class == DICOM_LABEL_MAP_SEG)
        out->kind = DICOM_SEG;
    else if (sop_class == UID_RTStructureSetStorage)
        out->kind = DICOM_RTSTRUCT;
    else if (sop_class == UID_CTImageStorage || dicom_is_enhanced(set))
        out->kind = DICOM_CT;
    else
        dicom_note(out, "of another SOP class");
}

/* What is common to the frames of a CT file. */
static status read_ct(DcmItem &set, dicom_header *out) {
    status st;
    TRY(dicom_read_size(set, out));
    out->contrast = has_contrast(set);
    if (!dicom_is_enhanced(set)) {
        if (out->frames != 1)
            TRY(status_fail(ST_INPUT, "%s: a CT slice has 1 frame, here %" PRId64, out->path,
                            out->frames));
        goto done;
    }
    {
        DcmSequenceOfItems *groups = NULL;
        int64_t count = 0;
        if (set.findAndGetSequence(DCM_PerFrameFunctionalGroupsSequence, groups).good())
            count = static_cast<int64_t>(groups->card());
        if (out->frames < 1 || count != out->frames)
            TRY(status_fail(ST_INPUT, "%s: %" PRId64 " frames, but %s has %" PRId64 " items",
                            out->path, out->frames,
                            dicom_tag_name(DCM_PerFrameFunctionalGroupsSequence).c_str(), count));
    }
done:
    return st;
}

/* Frame out->frame of a file. */
static status read_frame(DcmItem &set, dicom_header *out) {
    if (dicom_is_enhanced(set)) {
        DcmItem &content = dicom_frame_item(set, out->frame, DCM_FrameContentSequence);
        const int64_t acquisition = optional_number(content, DCM_FrameAcquisitionNumber);
        if (acquisition >= 0) out->acquisition_number = acquisition;
        out->instance_number = out->frame + 1;
    }
    dicom_read_traits(set, out);
    return read_geometry(set, out);
}

/* Reads what is common, and sets out->frame to the first frame that is a slice. */
static status read_common(const char *path, DcmFileFormat &file, dicom_header *out) {
    status st;
    dicom_layout layout;
    DcmDataset &set = *file.getDataset();
    *out = dicom_header();
    out->frames = 1;
    out->acquisition_number = out->instance_number = out->series_number = DICOM_NO_NUMBER;
    TRY(path_join(out->path, "", path));
    TRY(dicom_load_any(path, DCM_PixelData, file, &layout));
    classify(file, out);
    out->ct_class = out->kind == DICOM_CT;
    if (out->ct_class) copy_optional(set, DCM_SeriesInstanceUID, out->series_uid);
    if (out->kind == DICOM_CT && !dicom_is_enhanced(set) && !is_slice(set, 0, out))
        out->kind = DICOM_OTHER;
    if (out->kind == DICOM_RTSTRUCT) TRY(dicom_rtstruct_header(set, out));
    if (out->kind == DICOM_OTHER || out->kind == DICOM_RTSTRUCT) goto done;
    if (layout.note) dicom_note(out, layout.note);
    TRY(dicom_check_syntax(path, layout));
    TRY(read_identity(set, out));
    if (out->kind == DICOM_CT) TRY(read_ct(set, out));
    if (out->kind == DICOM_SEG) TRY(read_seg_header(set, out));
    if (layout.without_pixels)
        TRY(status_fail(ST_INPUT, "%s: %s is missing", path,
                        dicom_tag_name(DCM_PixelData).c_str()));
    TRY(check_size(set, layout.content, out));
    if (out->kind == DICOM_CT) {
        dicom_header unused = {};
        while (out->frame < out->frames && !is_slice(set, out->frame, &unused)) out->frame++;
        if (out->frame == out->frames) {
            out->kind = DICOM_OTHER;
            dicom_note(out, "none of its frames is a CT slice in HU");
        }
    }
done:
    return st;
}

status dicom_read_header(const char *path, dicom_header *out) {
    return dicom_guard(path, [&] {
        DcmFileFormat file;
        status st = read_common(path, file, out);
        return st == ST_OK && out->kind == DICOM_CT ? read_frame(*file.getDataset(), out) : st;
    });
}

status dicom_read_frames(const char *path, dicom_header **frames, int64_t *count) {
    *frames = NULL;
    *count = 0;
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        dicom_header common, unused = {};
        DcmDataset &set = *file.getDataset();
        TRY(read_common(path, file, &common));
        if (common.kind != DICOM_CT) TRY(status_fail(ST_INPUT, "%s: not a CT file", path));
        TRY(array_alloc(frames, common.frames, sizeof **frames, "DICOM headers"));
        common.file_bytes = (common.file_bytes + common.frames - 1) / common.frames;
        for (int64_t i = common.frame; i < common.frames; i++) {
            if (i > common.frame && !is_slice(set, i, &unused)) continue;
            dicom_header *h = &(*frames)[(*count)++];
            *h = common;
            h->frame = i;
            TRY(read_frame(set, h));
        }
    done:
        if (st != ST_OK) {
            free(*frames);
            *frames = NULL;
            *count = 0;
        }
        return st;
    });
}

const char *dicom_library_version(void) { return "DCMTK " PACKAGE_VERSION; }
