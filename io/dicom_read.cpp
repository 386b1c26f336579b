/* Reading headers, and decoding the pixels of CT slices to HU.
 *
 * Stored values are extracted from decoded pixel cells by Bits Stored, High Bit and Pixel
 * Representation (PS3.3 C.7.6.3.1), for all transfer syntaxes alike, then converted to HU by
 * Rescale Slope and Intercept (C.11.1.1.2). No window, no lookup table, no display transformation.
 */
#include "io/dicom_common.hpp"

#include <dcmtk/dcmdata/dcpxitem.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <vector>

enum { PADDING_HU = -1024 };

/* ---- header ---- */

/* Whether one of the values of an attribute is `value`. */
static bool has_value(DcmItem &item, const DcmTagKey &tag, const char *value) {
    for (unsigned long i = 0;; i++) {
        const std::string text = dicom_text(item, tag, i);
        if (text.empty()) return false;
        if (text == value) return true;
    }
}

/* Scanners and workstations also store dual-energy and other maps as CT; Rescale Type holds their
 * unit. "US" means unspecified, which in CT Image Storage is HU. */
static bool is_in_hu(DcmItem &item) {
    const std::string unit = dicom_text(item, DCM_RescaleType);
    return unit.empty() || unit == "US" || unit.compare(0, 2, "HU") == 0;
}

static status check_rescale(const char *path, DcmItem &item, double *slope, double *intercept) {
    status st;
    TRY(dicom_numbers(path, item, DCM_RescaleSlope, slope, 1));
    TRY(dicom_numbers(path, item, DCM_RescaleIntercept, intercept, 1));
    if (*slope == 0)
        TRY(status_fail(ST_INPUT, "%s: %s is 0", path, dicom_tag_name(DCM_RescaleSlope).c_str()));
done:
    return st;
}

static status read_size(DcmItem &item, dicom_header *out) {
    status st;
    TRY(dicom_unsigned(out->path, item, DCM_Rows, &out->rows));
    TRY(dicom_unsigned(out->path, item, DCM_Columns, &out->columns));
    if (out->rows < 1 || out->columns < 1)
        TRY(status_fail(ST_INPUT, "%s: %s and %s must be at least 1: %" PRId64 " x %" PRId64,
                        out->path, dicom_tag_name(DCM_Rows).c_str(),
                        dicom_tag_name(DCM_Columns).c_str(), out->rows, out->columns));
done:
    return st;
}

/* What the header claims may not exceed what the file can hold. */
static status check_size(DcmDataset &data, int64_t content, dicom_header *out) {
    dicom_claim claim = {1, out->rows, out->columns, 8};
    const DcmXfer syntax(data.getOriginalXfer());
    Uint16 bits = 0;
    Sint32 frames = 1;
    status st = file_size(out->path, &out->file_bytes);
    if (st != ST_OK) return st;
    if (data.findAndGetUint16(DCM_BitsAllocated, bits).good()) claim.bits = bits;
    if (out->kind == DICOM_SEG && data.findAndGetSint32(DCM_NumberOfFrames, frames).good())
        claim.frames = frames < 0 ? 0 : frames; /* dicom_read_seg() asks for frames */
    out->compressed = syntax.isEncapsulated() || syntax.getStreamCompression() != ESC_none;
    return dicom_check_claim(out->path, claim, content, syntax.isEncapsulated());
}

static status read_ct_geometry(DcmItem &item, dicom_header *out) {
    status st;
    double slope, intercept;
    TRY(read_size(item, out));
    TRY(dicom_numbers(out->path, item, DCM_ImagePositionPatient, out->position, 3));
    TRY(dicom_numbers(out->path, item, DCM_ImageOrientationPatient, out->orientation, 6));
    TRY(dicom_check_orientation(out->path, out->orientation));
    TRY(dicom_numbers(out->path, item, DCM_PixelSpacing, out->pixel_spacing, 2));
    TRY(dicom_check_pixel_spacing(out->path, out->pixel_spacing));
    TRY(check_rescale(out->path, item, &slope, &intercept));
    out->contrast = !dicom_text(item, DCM_ContrastBolusAgent).empty();
    std::snprintf(out->frame_uid, DICOM_UID, "%s",
                  dicom_text(item, DCM_FrameOfReferenceUID).c_str());
done:
    return st;
}

static status read_identity(DcmItem &item, dicom_header *out) {
    status st;
    /* Type 2, so it may be empty. Anonymisers may write more characters than allowed. */
    std::snprintf(out->patient_id, sizeof out->patient_id, "%s",
                  dicom_text(item, DCM_PatientID).c_str());
    TRY(dicom_copy_text(out->path, item, DCM_StudyInstanceUID, out->study_uid, DICOM_UID));
    TRY(dicom_copy_text(out->path, item, DCM_SeriesInstanceUID, out->series_uid, DICOM_UID));
    TRY(dicom_copy_text(out->path, item, DCM_SOPInstanceUID, out->sop_uid, DICOM_UID));
done:
    return st;
}

static status read_seg_header(DcmItem &item, dicom_header *out) {
    status st;
    DcmItem *reference = dicom_item(item, DCM_ReferencedSeriesSequence);
    TRY(read_size(item, out));
    if (!reference)
        TRY(status_fail(ST_INPUT, "%s: %s is missing: no telling which CT is segmented", out->path,
                        dicom_tag_name(DCM_ReferencedSeriesSequence).c_str()));
    TRY(dicom_copy_text(out->path, *reference, DCM_SeriesInstanceUID, out->referenced_series_uid,
                        DICOM_UID));
done:
    return st;
}

static status classify(DcmFileFormat &file, dicom_header *out) {
    DcmDataset &set = *file.getDataset();
    std::string sop_class = dicom_text(set, DCM_SOPClassUID);
    if (sop_class.empty()) sop_class = dicom_text(*file.getMetaInfo(), DCM_MediaStorageSOPClassUID);
    out->kind = DICOM_OTHER;
    if (sop_class == UID_EnhancedCTImageStorage ||
        sop_class == UID_LegacyConvertedEnhancedCTImageStorage)
        return status_fail(ST_INPUT,
                           "%s: Enhanced (multi-frame) CT is not read: convert it to CT Image "
                           "Storage, one slice a file, or take it out of the folder",
                           out->path);
    if (sop_class == UID_SegmentationStorage) out->kind = DICOM_SEG;
    if (sop_class == UID_RTStructureSetStorage) out->kind = DICOM_RTSTRUCT;
    if (sop_class == UID_CTImageStorage && !has_value(set, DCM_ImageType, "LOCALIZER") &&
        is_in_hu(set))
        out->kind = DICOM_CT;
    return ST_OK;
}

status dicom_read_header(const char *path, dicom_header *out) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        int64_t content = 0;
        *out = dicom_header();
        TRY(path_join(out->path, "", path));
        TRY(dicom_load(path, DCM_PixelData, file, &content));
        TRY(classify(file, out));
        if (out->kind == DICOM_RTSTRUCT) dicom_rtstruct_header(*file.getDataset(), out);
        if (out->kind == DICOM_OTHER || out->kind == DICOM_RTSTRUCT) goto done;
        TRY(read_identity(*file.getDataset(), out));
        if (out->kind == DICOM_CT) TRY(read_ct_geometry(*file.getDataset(), out));
        if (out->kind == DICOM_SEG) TRY(read_seg_header(*file.getDataset(), out));
        TRY(check_size(*file.getDataset(), content, out));
    done:
        return st;
    });
}

/* ---- pixels ---- */

namespace {

/* How a stored value is packed in its pixel cell, and how it maps to HU. */
struct pixel_form {
    int64_t allocated, stored, high_bit, is_signed;
    double slope, intercept;
    bool has_padding;
    int32_t padding_low, padding_high; /* stored values */
};

} // namespace

static int32_t stored_value(const pixel_form &form, uint32_t cell) {
    const uint32_t bits = static_cast<uint32_t>(form.stored);
    uint32_t value = (cell >> (form.high_bit + 1 - form.stored)) & ((1u << bits) - 1);
    if (form.is_signed && (value >> (bits - 1))) return static_cast<int32_t>(value) - (1 << bits);
    return static_cast<int32_t>(value);
}

/* The VR is US or SS, depending on Pixel Representation; with implicit VR DCMTK may return either.
 */
static bool padding_value(const pixel_form &form, DcmItem &item, const DcmTagKey &tag,
                          int32_t *out) {
    Uint16 as_unsigned = 0;
    Sint16 as_signed = 0;
    if (item.findAndGetSint16(tag, as_signed).good())
        as_unsigned = static_cast<Uint16>(as_signed);
    else if (item.findAndGetUint16(tag, as_unsigned).bad())
        return false;
    *out = form.is_signed ? static_cast<Sint16>(as_unsigned) : as_unsigned;
    return true;
}

static status read_form(const char *path, DcmItem &item, pixel_form *form) {
    status st;
    int64_t samples = 0;
    Sint32 frames = 1;
    TRY(dicom_unsigned(path, item, DCM_SamplesPerPixel, &samples));
    TRY(dicom_unsigned(path, item, DCM_BitsAllocated, &form->allocated));
    TRY(dicom_unsigned(path, item, DCM_BitsStored, &form->stored));
    TRY(dicom_unsigned(path, item, DCM_HighBit, &form->high_bit));
    TRY(dicom_unsigned(path, item, DCM_PixelRepresentation, &form->is_signed));
    TRY(check_rescale(path, item, &form->slope, &form->intercept));
    if (item.tagExistsWithValue(DCM_NumberOfFrames))
        item.findAndGetSint32(DCM_NumberOfFrames, frames);
    if (samples != 1 || frames != 1)
        TRY(status_fail(ST_INPUT,
                        "%s: a CT slice has 1 sample a pixel and 1 frame, here %" PRId64 " and %ld",
                        path, samples, static_cast<long>(frames)));
    if ((form->allocated != 8 && form->allocated != 16) || form->stored < 1 ||
        form->high_bit >= form->allocated || form->high_bit + 1 < form->stored ||
        form->is_signed > 1)
        TRY(status_fail(ST_INPUT,
                        "%s: pixel cells that are not understood: Bits Allocated %" PRId64
                        ", Bits Stored "
                        "%" PRId64 ", High Bit %" PRId64 ", Pixel Representation %" PRId64,
                        path, form->allocated, form->stored, form->high_bit, form->is_signed));
    form->has_padding = padding_value(*form, item, DCM_PixelPaddingValue, &form->padding_low);
    form->padding_high = form->padding_low;
    if (form->has_padding)
        padding_value(*form, item, DCM_PixelPaddingRangeLimit, &form->padding_high);
    if (form->padding_high < form->padding_low) std::swap(form->padding_low, form->padding_high);
done:
    return st;
}

/* Scanners pad the area outside the round field of view with values far below air (-2000, -3024
 * HU): padding is raised to at least -1024 HU. */
static int16_t to_hu(const pixel_form &form, int32_t value) {
    double hu = std::floor(value * form.slope + form.intercept + 0.5);
    if (form.has_padding && value >= form.padding_low && value <= form.padding_high)
        hu = std::fmax(hu, PADDING_HU);
    return static_cast<int16_t>(std::fmin(std::fmax(hu, INT16_MIN), INT16_MAX));
}

static uint32_t little_endian_32(const Uint8 *at) {
    return at[0] | at[1] << 8 | at[2] << 16 | static_cast<uint32_t>(at[3]) << 24;
}

/* Checks the RLE header (PS3.5 G.5: a count, then 15 offsets) before DCMTK uses it: DCMTK 3.6.7
 * adds its offsets in 32 bits and reads outside of the fragment if they wrap. */
static status check_rle(const char *path, DcmPixelData &pixels) {
    enum { HEADER = 64, SEGMENTS_MAX = 15 };
    DcmPixelSequence *sequence = NULL;
    DcmPixelItem *fragment = NULL; /* item 0 is the offset table */
    Uint8 *bytes = NULL;
    bool valid = pixels.getEncapsulatedRepresentation(EXS_RLELossless, NULL, sequence).good() &&
                 sequence->getItem(fragment, 1).good() && fragment->getUint8Array(bytes).good() &&
                 bytes && fragment->getLength() >= HEADER;
    const uint32_t segments = valid ? little_endian_32(bytes) : 0;
    valid = valid && segments >= 1 && segments <= SEGMENTS_MAX;
    for (uint32_t i = 0, last = HEADER; valid && i < segments; i++) {
        const uint32_t offset = little_endian_32(bytes + 4 + 4 * i);
        valid = offset >= last && offset < fragment->getLength();
        last = offset;
    }
    if (valid) return ST_OK;
    return status_fail(ST_INPUT, "%s: the RLE header of the pixels is damaged", path);
}

/* The bytes of all fragments (item 0 is the offset table) in a row. */
static bool join_fragments(DcmPixelSequence &sequence, std::vector<Uint8> *all) {
    for (unsigned long i = 1; i < sequence.card(); i++) {
        DcmPixelItem *fragment = NULL;
        Uint8 *bytes = NULL;
        if (sequence.getItem(fragment, i).bad() || fragment->getUint8Array(bytes).bad())
            return false;
        if (bytes) all->insert(all->end(), bytes, bytes + fragment->getLength());
    }
    return true;
}

/* Bytes of the compressed pixels; 0 if they are not there. */
static int64_t compressed_bytes(DcmPixelSequence &sequence) {
    int64_t bytes = 0;
    for (unsigned long i = 1; i < sequence.card(); i++) {
        DcmPixelItem *fragment = NULL;
        if (sequence.getItem(fragment, i).good()) bytes += fragment->getLength();
    }
    return bytes;
}

/* Whether a JPEG or JPEG-LS stream (T.81 B.1, T.87 C.1) says rows and columns in its frame header.
 * The decoder allocates by what is written there, and leaves pixels that it lacks as they are. */
static bool jpeg_has_size(const std::vector<Uint8> &data, int64_t rows, int64_t columns) {
    std::size_t at = 2;
    if (data.size() < 4 || data[0] != 0xff || data[1] != 0xd8) return false;
    for (;;) {
        while (at < data.size() && data[at] != 0xff) at++;
        while (at < data.size() && data[at] == 0xff) at++;
        if (at + 8 > data.size()) return false;
        const Uint8 marker = data[at];
        if (marker == 0 || marker == 1 || (marker >= 0xd0 && marker <= 0xd7)) continue;
        if (marker == 0xd8 || marker == 0xd9 || marker == 0xda) return false;
        const bool tables = marker == 0xc4 || marker == 0xc8 || marker == 0xcc;
        if ((marker >= 0xc0 && marker <= 0xcf && !tables) || marker == 0xf7)
            return (data[at + 4] << 8 | data[at + 5]) == rows &&
                   (data[at + 6] << 8 | data[at + 7]) == columns;
        at += 1 + (static_cast<std::size_t>(data[at + 1]) << 8 | data[at + 2]);
    }
}

/* Checks that the compressed pixels are there, and can hold what is claimed. */
static status check_compressed(const char *path, E_TransferSyntax syntax, DcmPixelData &pixels,
                               const dicom_claim &claim) {
    status st = ST_OK;
    DcmPixelSequence *sequence = NULL;
    if (pixels.getEncapsulatedRepresentation(syntax, NULL, sequence).bad() || !sequence)
        TRY(status_fail(ST_INPUT, "%s: the pixels are not compressed as %s says", path,
                        dicom_tag_name(DCM_TransferSyntaxUID).c_str()));
    TRY(dicom_check_claim(path, claim, compressed_bytes(*sequence), true));
    if (syntax == EXS_RLELossless) {
        TRY(check_rle(path, pixels));
    } else {
        std::vector<Uint8> all;
        if (!join_fragments(*sequence, &all) || !jpeg_has_size(all, claim.rows, claim.columns))
            TRY(status_fail(ST_INPUT,
                            "%s: the compressed pixels are damaged, or not %" PRId64 " x %" PRId64
                            " as the header says (rows x columns)",
                            path, claim.rows, claim.columns));
    }
done:
    return st;
}

/* Decompresses the only frame into cells of 8 or 16 bits in the byte order of the machine. */
static status decode_cells(const char *path, DcmDataset &set, const dicom_claim &claim,
                           std::vector<Uint16> *cells) {
    status st = ST_OK;
    const E_TransferSyntax syntax = set.getOriginalXfer();
    const int64_t bytes = claim.rows * claim.columns * claim.bits / 8;
    DcmElement *element = NULL;
    DcmPixelData *pixels = NULL;
    Uint32 frame = 0, fragment = 0;
    OFString colours;
    OFCondition decoded;
    if (set.findAndGetElement(DCM_PixelData, element).good())
        pixels = dynamic_cast<DcmPixelData *>(element);
    if (!pixels)
        TRY(status_fail(ST_INPUT, "%s: %s is missing", path,
                        dicom_tag_name(DCM_PixelData).c_str()));
    if (pixels->getLengthField() == DCM_UndefinedLength || syntax == EXS_RLELossless)
        TRY(check_compressed(path, syntax, *pixels, claim));
    else if (pixels->getLength(syntax) < bytes)
        TRY(status_fail(ST_INPUT, "%s: the pixel array is cut: %lu bytes of %" PRId64, path,
                        static_cast<unsigned long>(pixels->getLength(syntax)), bytes));
    decoded = pixels->getUncompressedFrameSize(&set, frame);
    if (decoded.good() && frame < bytes) decoded = EC_CorruptedData;
    if (decoded.good()) {
        cells->resize(frame / 2 + 1);
        decoded = pixels->getUncompressedFrame(&set, 0, fragment, cells->data(),
                                               static_cast<Uint32>(cells->size() * 2), colours);
    }
    if (decoded.bad())
        TRY(status_fail(ST_INPUT, "%s: the pixels (%s) cannot be decoded: %s", path,
                        DcmXfer(set.getOriginalXfer()).getXferName(), decoded.text()));
done:
    return st;
}

const char *dicom_library_version(void) { return "DCMTK " PACKAGE_VERSION; }

status dicom_read_ct(const dicom_header *h, int16_t *hu) {
    return dicom_guard(h->path, [&] {
        status st;
        DcmFileFormat file;
        DcmDataset &set = *file.getDataset();
        dicom_header now = {};
        pixel_form form = {};
        std::vector<Uint16> cells;
        const uint8_t *bytes = NULL;
        const int64_t pixels = h->rows * h->columns;
        int64_t content = 0;
        TRY(dicom_load(h->path, DCM_UndefinedTagKey, file, &content));
        TRY(path_join(now.path, "", h->path));
        TRY(read_size(set, &now));
        if (now.rows != h->rows || now.columns != h->columns)
            TRY(status_fail(ST_INPUT, "%s: the file changed while it was read", h->path));
        TRY(read_form(h->path, set, &form));
        TRY(decode_cells(h->path, set, {1, h->rows, h->columns, form.allocated}, &cells));
        bytes = reinterpret_cast<const uint8_t *>(cells.data());
        for (int64_t i = 0; i < pixels; i++)
            hu[i] = to_hu(form, stored_value(form, form.allocated == 8 ? bytes[i] : cells[i]));
    done:
        return st;
    });
}
