/* What a header tells besides geometry: which kind of picture it is, which pass of its series it
 * belongs to, to how many digits its numbers are written. And
 * what is left of a file that cannot be read.
 */
#include "io/dicom_read.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

static const DcmTagKey pass_tags[DICOM_PASS_KEYS] = {
    DCM_TemporalPositionIdentifier,
    DCM_NominalPercentageOfCardiacPhase,
    DCM_TriggerTime,
    DCM_AcquisitionNumber,
    DCM_ConvolutionKernel,
    DCM_KVP,
    DCM_SeriesDescription,
    DCM_AcquisitionTime,
};

/* Where Enhanced CT has the value of a frame, in its frame content. */
static const DcmTagKey frame_pass_tags[DICOM_PASS_KEYS] = {
    DCM_TemporalPositionIndex, DCM_NominalPercentageOfCardiacPhase,
    DCM_TriggerTime,           DCM_FrameAcquisitionNumber,
    DCM_ConvolutionKernel,     DCM_KVP,
    DCM_SeriesDescription,     DCM_FrameAcquisitionDateTime,
};

const char *dicom_pass_name(int key) {
    static const std::string names[DICOM_PASS_KEYS] = {
        dicom_tag_name(pass_tags[0]), dicom_tag_name(pass_tags[1]), dicom_tag_name(pass_tags[2]),
        dicom_tag_name(pass_tags[3]), dicom_tag_name(pass_tags[4]), dicom_tag_name(pass_tags[5]),
        dicom_tag_name(pass_tags[6]), dicom_tag_name(pass_tags[7])};
    return names[key].c_str();
}

/* Upper case, without white space at the ends. */
static std::string plain(const std::string &text) {
    std::string out;
    for (const char c : text) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    while (!out.empty() && std::isspace(static_cast<unsigned char>(out.back()))) out.pop_back();
    return out.substr(std::min(out.size(), out.find_first_not_of(" \t\r\n")));
}

template <std::size_t N>
static bool is_one_of(const std::string &text, const char *const (&of)[N]) {
    for (const char *const one : of)
        if (text == one) return true;
    return false;
}

/* Words are between blanks and underscores. */
template <std::size_t N> static bool has_word(const std::string &text, const char *const (&of)[N]) {
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find_first_of(" _", begin), text.size());
        if (is_one_of(text.substr(begin, end - begin), of)) return true;
        begin = end + 1;
    }
    return false;
}

template <std::size_t N> static bool has_part(const std::string &text, const char *const (&of)[N]) {
    for (const char *const one : of)
        if (text.find(one) != std::string::npos) return true;
    return false;
}

/* What Image Type and Burned In Annotation say. Values 1 and 2 (ORIGINAL, PRIMARY) say nothing of
 * it: derived slices, such as resampled ones, are slices. */
static dicom_picture picture_of(DcmItem &item, const DcmTagKey &type) {
    static const char *const scouts[] = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"};
    static const char *const slabs[] = {"MIP", "MAXIP", "MINIP", "CPR",
                                        "SSD", "VRT",   "MPVR",  "PROJECTION"};
    static const char *const whole_slabs[] = {"MAX_IP", "MIN_IP", "AVERAGE_IP", "VOLUME_RENDER"};
    static const char *const pages[] = {"PROT", "DOSE", "SCREEN", "REPORT", "POSDISP"};
    for (unsigned long i = 2; i < 16; i++) {
        const std::string value = plain(dicom_text(item, type, i));
        if (value == "CT_SOM5 TOP" || has_word(value, scouts)) return PICTURE_SCOUT;
        if (is_one_of(value, whole_slabs) || has_word(value, slabs)) return PICTURE_PROJECTION;
        if (has_part(value, pages)) return PICTURE_PAGE;
    }
    if (plain(dicom_text(item, DCM_BurnedInAnnotation)) == "YES") return PICTURE_ANNOTATED;
    return PICTURE_SLICE;
}

static bool is_coloured(DcmItem &set) {
    static const char *const grey[] = {"", "MONOCHROME1", "MONOCHROME2"};
    Uint16 samples = 1;
    set.findAndGetUint16(DCM_SamplesPerPixel, samples);
    return samples > 1 || !is_one_of(plain(dicom_text(set, DCM_PhotometricInterpretation)), grey);
}

/* Digits behind the point of a decimal string: 2 for "1.25", 3 for "12.5E-2", 0 for "7". */
static int digits_of(const std::string &text) {
    enum { MOST = 15 };
    const std::size_t point = text.find_first_of(".,"), power = text.find_first_of("eE");
    long digits = 0;
    if (point != std::string::npos)
        for (std::size_t i = point + 1;
             i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])); i++)
            digits++;
    if (power != std::string::npos) digits -= std::strtol(text.c_str() + power + 1, NULL, 10);
    return static_cast<int>(std::min(std::max(digits, 0l), static_cast<long>(MOST)));
}

static void copy(const std::string &text, char *out, std::size_t size) {
    std::snprintf(out, size, "%s", text.c_str());
}

void dicom_read_traits(DcmItem &set, dicom_header *out) {
    DcmItem &type = dicom_frame_item(set, out->frame, DCM_CTImageFrameTypeSequence);
    DcmItem &plane = dicom_frame_item(set, out->frame, DCM_PlanePositionSequence);
    DcmItem &axes = dicom_frame_item(set, out->frame, DCM_PlaneOrientationSequence);
    DcmItem &content = dicom_frame_item(set, out->frame, DCM_FrameContentSequence);
    out->picture = picture_of(set, DCM_ImageType);
    if (out->picture == PICTURE_SLICE) out->picture = picture_of(type, DCM_FrameType);
    if (is_coloured(set)) out->picture = PICTURE_COLOUR;
    for (unsigned long i = 0; i < 3; i++)
        out->position_digits[i] = digits_of(dicom_text(plane, DCM_ImagePositionPatient, i));
    for (unsigned long i = 0; i < 6; i++)
        out->orientation_digits = std::max(
            out->orientation_digits, digits_of(dicom_text(axes, DCM_ImageOrientationPatient, i)));
    for (int k = 0; k < DICOM_PASS_KEYS; k++) {
        const std::string own = dicom_text(content, frame_pass_tags[k]);
        copy(own.empty() ? dicom_text(set, pass_tags[k]) : own, out->pass[k], sizeof out->pass[k]);
    }
    DcmItem &kernel = dicom_frame_item(set, out->frame, DCM_CTReconstructionSequence);
    out->traits.kernel = kernel_class_of(dicom_text(kernel, DCM_ConvolutionKernel).c_str());
    out->traits.body = body_part_of(dicom_text(set, DCM_BodyPartExamined).c_str());
}

int dicom_by_path(const dicom_header *a, const dicom_header *b) {
    const int order = std::strcmp(a->path, b->path);
    return order ? order : (a->frame > b->frame) - (a->frame < b->frame);
}

/* Whether the file begins as DICOM files do: 128 bytes, then "DICM". */
static int has_prefix(const char *path) {
    char bytes[132] = "";
    FILE *f = std::fopen(path, "rb");
    if (!f) return 0;
    const std::size_t n = std::fread(bytes, 1, sizeof bytes, f);
    std::fclose(f);
    return n == sizeof bytes && std::memcmp(bytes + 128, "DICM", 4) == 0;
}

static dicom_kind kind_of(const std::string &sop_class) {
    if (sop_class == UID_SegmentationStorage || sop_class == DICOM_LABEL_MAP_SEG) return DICOM_SEG;
    if (sop_class == UID_RTStructureSetStorage) return DICOM_RTSTRUCT;
    const bool is_ct = sop_class == UID_CTImageStorage || sop_class == UID_EnhancedCTImageStorage ||
                       sop_class == UID_LegacyConvertedEnhancedCTImageStorage;
    return is_ct ? DICOM_CT : DICOM_OTHER;
}

/* DCMTK keeps the elements that it read before the one that it failed at. What dicom_prescan()
 * objects to is not parsed. */
status dicom_salvage(const char *path, dicom_header *out, dicom_remains *remains) {
    return dicom_guard(path, [&] {
        DcmFileFormat file;
        dicom_layout layout;
        *out = dicom_header();
        *remains = dicom_remains();
        status st = path_join(out->path, "", path);
        if (st != ST_OK) return st;
        remains->is_dicom = has_prefix(path);
        if (dicom_prescan(path, &layout) != ST_OK) {
            remains->torn = remains->is_dicom;
            return ST_OK;
        }
        remains->torn = dicom_reads_unaided(layout)
                            ? file.loadFile(path).bad()
                            : dicom_load_any(path, DCM_PixelData, file, &layout) != ST_OK;
        DcmDataset &set = *file.getDataset();
        std::string sop_class = dicom_text(set, DCM_SOPClassUID);
        if (sop_class.empty() && file.getMetaInfo())
            sop_class = dicom_text(*file.getMetaInfo(), DCM_MediaStorageSOPClassUID);
        out->kind = kind_of(sop_class);
        dicom_read_traits(set, out);
        copy(dicom_text(set, DCM_PatientID), out->patient_id, sizeof out->patient_id);
        copy(dicom_text(set, DCM_StudyInstanceUID), out->study_uid, sizeof out->study_uid);
        copy(dicom_text(set, DCM_SeriesInstanceUID), out->series_uid, sizeof out->series_uid);
        copy(dicom_text(set, DCM_SOPInstanceUID), out->sop_uid, sizeof out->sop_uid);
        DcmItem *reference = dicom_item(set, DCM_ReferencedSeriesSequence);
        if (reference)
            copy(dicom_text(*reference, DCM_SeriesInstanceUID), out->referenced_series_uid,
                 sizeof out->referenced_series_uid);
        if (out->kind == DICOM_RTSTRUCT) st = dicom_rtstruct_header(set, out);
        if (st != ST_OK) return st;
        remains->is_dicom = 1;
        remains->has_pixels =
            set.tagExists(DCM_PixelData) || (!layout.as_said && layout.pixels < layout.end);
        remains->has_place = set.tagExistsWithValue(DCM_ImagePositionPatient, OFTrue) ||
                             set.tagExistsWithValue(DCM_ImageOrientationPatient, OFTrue);
        return ST_OK;
    });
}
