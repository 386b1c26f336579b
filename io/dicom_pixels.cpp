/* Decoding the pixels of CT slices to HU.
 *
 * Stored values are extracted from decoded pixel cells by Bits Stored, High Bit and Pixel
 * Representation (PS3.3 C.7.6.3.1), for all transfer syntaxes alike, then converted to HU by
 * Rescale Slope and Intercept (C.11.1.1.2). A JPEG 2000 codestream says itself how many bits it
 * stores, and is believed. No window, no lookup table, no display transformation.
 */
#include "io/dicom_read.hpp"
#include "io/jpeg2000.h"

#include <dcmtk/dcmdata/dcpxitem.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <vector>

enum { PADDING_HU = -1024 };

namespace {

/* How a stored value is packed in its pixel cell, and how it maps to HU. */
struct pixel_form {
    int64_t allocated, stored, high_bit, is_signed;
    double slope, intercept;
    bool has_padding;
    bool padding_beyond;               /* it has bits beyond those that are stored */
    int32_t padding_low, padding_high; /* stored values, or, if beyond, those of whole cells */
};

} // namespace

static int32_t stored_value(const pixel_form &form, uint32_t cell) {
    const uint32_t bits = static_cast<uint32_t>(form.stored);
    uint32_t value = (cell >> (form.high_bit + 1 - form.stored)) & ((1u << bits) - 1);
    if (form.is_signed && (value >> (bits - 1))) return static_cast<int32_t>(value) - (1 << bits);
    return static_cast<int32_t>(value);
}

/* The cell of a padding attribute. The VR is US or SS, depending on Pixel Representation; with
 * implicit VR DCMTK may return either. */
static bool padding_cell(DcmItem &item, const DcmTagKey &tag, Uint16 *out) {
    Sint16 as_signed = 0;
    if (item.findAndGetUint16(tag, *out).good()) return true;
    if (item.findAndGetSint16(tag, as_signed).bad()) return false;
    *out = static_cast<Uint16>(as_signed);
    return true;
}

static int32_t sign_of_form(const pixel_form &form, uint32_t cell) {
    return form.is_signed ? static_cast<Sint16>(cell) : static_cast<int32_t>(cell);
}

static bool fits_stored_bits(const pixel_form &form, int32_t value) {
    const int32_t low = form.is_signed ? -(1 << (form.stored - 1)) : 0;
    return value >= low && value < low + (1 << form.stored);
}

/* Some programs write a Pixel Padding Value of 16 bits into cells of 12 stored bits: such cells are
 * compared as a whole. */
static void read_padding(DcmItem &item, pixel_form *form) {
    Uint16 one = 0, other = 0;
    form->has_padding = padding_cell(item, DCM_PixelPaddingValue, &one);
    if (!form->has_padding) return;
    if (!padding_cell(item, DCM_PixelPaddingRangeLimit, &other)) other = one;
    form->padding_low = sign_of_form(*form, one);
    form->padding_high = sign_of_form(*form, other);
    if (form->padding_high < form->padding_low) std::swap(form->padding_low, form->padding_high);
    form->padding_beyond =
        !fits_stored_bits(*form, form->padding_low) || !fits_stored_bits(*form, form->padding_high);
}

static status read_form(const char *path, DcmItem &item, int64_t frame, pixel_form *form) {
    status st;
    int64_t samples = 0;
    TRY(dicom_unsigned(path, item, DCM_SamplesPerPixel, &samples));
    TRY(dicom_unsigned(path, item, DCM_BitsAllocated, &form->allocated));
    TRY(dicom_unsigned(path, item, DCM_BitsStored, &form->stored));
    TRY(dicom_unsigned(path, item, DCM_HighBit, &form->high_bit));
    TRY(dicom_unsigned(path, item, DCM_PixelRepresentation, &form->is_signed));
    TRY(dicom_read_rescale(path, item, frame, &form->slope, &form->intercept, NULL));
    if (samples != 1)
        TRY(status_fail(ST_INPUT, "%s: a CT slice has 1 sample a pixel, here %" PRId64, path,
                        samples));
    if ((form->allocated != 8 && form->allocated != 16) || form->stored < 1 ||
        form->high_bit >= form->allocated || form->high_bit + 1 < form->stored ||
        form->is_signed > 1)
        TRY(status_fail(ST_INPUT,
                        "%s: pixel cells that are not understood: Bits Allocated %" PRId64
                        ", Bits Stored "
                        "%" PRId64 ", High Bit %" PRId64 ", Pixel Representation %" PRId64,
                        path, form->allocated, form->stored, form->high_bit, form->is_signed));
done:
    return st;
}

static bool is_padding(const pixel_form &form, int32_t value) {
    return form.has_padding && value >= form.padding_low && value <= form.padding_high;
}

/* Scanners pad the area outside the round field of view with values far below air (-2000, -3024
 * HU): padding is raised to at least -1024 HU. What padding beyond the stored bits would be in HU
 * means nothing: it is -1024 HU. */
static int16_t to_hu(const pixel_form &form, uint32_t cell) {
    const int32_t value = stored_value(form, cell);
    double hu = std::floor(value * form.slope + form.intercept + 0.5);
    if (is_padding(form, value))
        hu = std::fmax(hu, PADDING_HU);
    else if (form.padding_beyond && is_padding(form, sign_of_form(form, cell)))
        hu = PADDING_HU;
    return static_cast<int16_t>(std::fmin(std::fmax(hu, INT16_MIN), INT16_MAX));
}

static uint32_t little_endian_32(const Uint8 *at) {
    return at[0] | at[1] << 8 | at[2] << 16 | static_cast<uint32_t>(at[3]) << 24;
}

/* Checks the RLE header (PS3.5 G.5: a count, then 15 offsets) before DCMTK uses it: DCMTK 3.6.7
 * adds its offsets in 32 bits and reads outside of the fragment if they wrap. */
static bool rle_is_valid(const std::vector<Uint8> &data) {
    enum { HEADER = 64, SEGMENTS_MAX = 15 };
    if (data.size() < HEADER) return false;
    const uint32_t segments = little_endian_32(data.data());
    bool valid = segments >= 1 && segments <= SEGMENTS_MAX;
    for (uint32_t i = 0, last = HEADER; valid && i < segments; i++) {
        const uint32_t offset = little_endian_32(data.data() + 4 + 4 * i);
        valid = offset >= last && offset < data.size();
        last = offset;
    }
    return valid;
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

/* Checks the compressed bytes of a frame before DCMTK sees them. */
static status check_compressed(const char *path, E_TransferSyntax syntax, const dicom_claim &claim,
                               const std::vector<Uint8> &data) {
    status st = dicom_check_claim(path, claim, static_cast<int64_t>(data.size()), true);
    if (st != ST_OK) return st;
    if (syntax == EXS_RLELossless)
        return rle_is_valid(data)
                   ? ST_OK
                   : status_fail(ST_INPUT, "%s: the RLE header of the pixels is damaged", path);
    if (jpeg_has_size(data, claim.rows, claim.columns)) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: the compressed pixels are damaged, or not %" PRId64 " x %" PRId64
                       " as the header says (rows x columns)",
                       path, claim.rows, claim.columns);
}

static bool is_jpeg2000(E_TransferSyntax syntax) {
    return syntax == EXS_JPEG2000 || syntax == EXS_JPEG2000LosslessOnly;
}

/* Takes depth and sign from the codestream. One that is unsigned may hold the two's complement of
 * values that the header calls signed: of as many bits as the header says if no value has more. */
static void believe_codestream(const jpeg2000_form &stream, bool header_fits, pixel_form *form) {
    if (stream.is_signed || !form->is_signed || !header_fits || form->stored > stream.bits)
        form->stored = stream.bits;
    form->allocated = 16;
    form->high_bit = form->stored - 1;
    form->is_signed = form->is_signed || stream.is_signed;
}

/* Cells of 16 bits from a JPEG 2000 codestream; *form is made to fit them. */
static status decode_jpeg2000(const char *path, const dicom_claim &claim,
                              const std::vector<Uint8> &data, pixel_form *form,
                              std::vector<Uint16> *cells) {
    status st;
    jpeg2000_form stream = {};
    std::vector<int32_t> values;
    bool header_fits = true;
    TRY(dicom_check_claim(path, claim, static_cast<int64_t>(data.size()), true));
    values.resize(static_cast<std::size_t>(claim.rows * claim.columns));
    TRY(jpeg2000_decode(path, data.data(), static_cast<int64_t>(data.size()), claim.rows,
                        claim.columns, values.data(), &stream));
    cells->resize(values.size());
    for (std::size_t i = 0; i < values.size(); i++) {
        (*cells)[i] = static_cast<Uint16>(values[i]);
        header_fits = header_fits && values[i] >> form->stored == 0;
    }
    believe_codestream(stream, header_fits, form);
done:
    return st;
}

/* Cells of a frame that DCMTK decodes. `fragment`: where its compressed bytes begin. */
static status decode_by_dcmtk(const char *path, DcmDataset &set, DcmPixelData &pixels,
                              int64_t frame, Uint32 fragment, int64_t bytes,
                              std::vector<Uint16> *cells) {
    OFString colours;
    Uint32 size = 0;
    OFCondition decoded = pixels.getUncompressedFrameSize(&set, size);
    if (decoded.good() && size < bytes) decoded = EC_CorruptedData;
    if (decoded.good()) {
        cells->resize(size / 2 + 1);
        decoded =
            pixels.getUncompressedFrame(&set, static_cast<Uint32>(frame), fragment, cells->data(),
                                        static_cast<Uint32>(cells->size() * 2), colours);
    }
    if (decoded.good()) return ST_OK;
    return status_fail(ST_INPUT, "%s: the pixels (%s) cannot be decoded: %s", path,
                       DcmXfer(set.getOriginalXfer()).getXferName(), decoded.text());
}

/* Decompresses frame h->frame into cells of 8 or 16 bits in the byte order of the machine, as
 * *form says; for JPEG 2000 *form is made to say it. */
static status decode_cells(const dicom_header *h, DcmDataset &set, pixel_form *form,
                           std::vector<Uint16> *cells) {
    status st = ST_OK;
    const char *path = h->path;
    const E_TransferSyntax syntax = set.getOriginalXfer();
    const dicom_claim claim = {1, h->rows, h->columns, form->allocated};
    const int64_t bytes = claim.rows * claim.columns * claim.bits / 8;
    DcmElement *element = NULL;
    DcmPixelData *pixels = NULL;
    std::vector<Uint8> data;
    Uint32 fragment = 0;
    if (set.findAndGetElement(DCM_PixelData, element).good())
        pixels = dynamic_cast<DcmPixelData *>(element);
    if (!pixels)
        TRY(status_fail(ST_INPUT, "%s: %s is missing", path,
                        dicom_tag_name(DCM_PixelData).c_str()));
    if (pixels->getLengthField() == DCM_UndefinedLength || DcmXfer(syntax).isEncapsulated()) {
        TRY(dicom_frame_bytes(path, *pixels, syntax, h->frame, h->frames, &fragment, &data));
        if (is_jpeg2000(syntax)) {
            TRY(decode_jpeg2000(path, claim, data, form, cells));
            goto done;
        }
        TRY(check_compressed(path, syntax, claim, data));
    } else if (pixels->getLength(syntax) / (h->frame + 1) < bytes) {
        TRY(status_fail(ST_INPUT, "%s: the pixel array is cut: %lu bytes of %" PRId64, path,
                        static_cast<unsigned long>(pixels->getLength(syntax)),
                        bytes * (h->frame + 1)));
    }
    TRY(decode_by_dcmtk(path, set, *pixels, h->frame, fragment, bytes, cells));
done:
    return st;
}

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
        TRY(dicom_read_size(set, &now));
        if (now.rows != h->rows || now.columns != h->columns || h->frame < 0 ||
            h->frame >= now.frames)
            TRY(status_fail(ST_INPUT, "%s: the file changed while it was read", h->path));
        now.frame = h->frame;
        TRY(read_form(h->path, set, h->frame, &form));
        TRY(decode_cells(&now, set, &form, &cells));
        read_padding(set, &form);
        bytes = reinterpret_cast<const uint8_t *>(cells.data());
        for (int64_t i = 0; i < pixels; i++)
            hu[i] = to_hu(form, form.allocated == 8 ? bytes[i] : cells[i]);
    done:
        return st;
    });
}
