/* Decoding the pixels of CT slices to HU.
 *
 * Stored values are extracted from decoded pixel cells by Bits Stored, High Bit and Pixel
 * Representation (PS3.3 C.7.6.3.1), for all transfer syntaxes alike, then converted to HU by
 * Rescale Slope and Intercept (C.11.1.1.2). A JPEG 2000 codestream says itself how many bits it
 * stores, and is believed. No window, no lookup table, no display transformation.
 */
#include "io/dicom_read.hpp"
#include "io/dicom_rle.hpp"
#include "io/dicom_warnings.hpp"
#include "io/jpeg2000.h"

#include <dcmtk/dcmdata/dcpxitem.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <vector>

static constexpr double PADDING_HU = -1024;

namespace {

/* How a stored value is packed in its pixel cell, and how it maps to HU. */
struct pixel_form {
    int64_t allocated, stored, high_bit, is_signed;
    int64_t stream_bits; /* of the values in a JPEG stream; 0: it does not say */
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
 * HU): padding is raised to at least -1024 HU. What padding beyond the stored bits, or beyond
 * int16, would be in HU means nothing: it is -1024 HU. */
static double to_hu(const pixel_form &form, uint32_t cell) {
    const int32_t value = stored_value(form, cell);
    const double hu = std::floor(value * form.slope + form.intercept + 0.5);
    if (is_padding(form, value)) return hu > INT16_MAX ? PADDING_HU : std::fmax(hu, PADDING_HU);
    if (form.padding_beyond && is_padding(form, sign_of_form(form, cell))) return PADDING_HU;
    return hu;
}

/* The cells of a slice have few different values: the HU of each is computed once. */
class hu_table {
  public:
    explicit hu_table(const pixel_form &of) : form(of), known(CELLS, 0), hu(CELLS) {}

    double at(uint32_t cell) {
        if (!known[cell]) {
            hu[cell] = to_hu(form, cell);
            known[cell] = 1;
        }
        return hu[cell];
    }

  private:
    static constexpr std::size_t CELLS = 65536;
    const pixel_form &form;
    std::vector<uint8_t> known;
    std::vector<double> hu;
};

/* The HU of all cells. Tissue has no HU beyond int16: there the padding is not declared, or the
 * rescale values are wrong. */
static status convert(const char *path, const pixel_form &form, const std::vector<Uint16> &cells,
                      int64_t n, int16_t *out) {
    const uint8_t *const bytes = reinterpret_cast<const uint8_t *>(cells.data());
    hu_table table(form);
    int64_t beyond = 0;
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (int64_t i = 0; i < n; i++) {
        const double hu = table.at(form.allocated == 8 ? bytes[i] : cells[i]);
        const bool fits = hu >= INT16_MIN && hu <= INT16_MAX;
        out[i] = fits ? static_cast<int16_t>(hu) : 0;
        beyond += !fits;
        low = hu < low ? hu : low;
        high = hu > high ? hu : high;
    }
    if (beyond == 0) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: %" PRId64 " of %" PRId64 " pixels are beyond %d to %d HU: they reach "
                       "from %g to %g HU, and are no padding by %s",
                       path, beyond, n, INT16_MIN, INT16_MAX, low, high,
                       dicom_tag_name(DCM_PixelPaddingValue).c_str());
}

/* High Bit may say that values lie further up in their cells, which the standard has given up.
 * Some writers say so and do otherwise: the cells must show it, by bits above those of values that
 * lie at the bottom, and none below. */
static status check_high_bit(const char *path, const pixel_form &form,
                             const std::vector<Uint16> &cells, int64_t n) {
    const int64_t shift = form.high_bit + 1 - form.stored;
    const uint8_t *const bytes = reinterpret_cast<const uint8_t *>(cells.data());
    uint32_t any = 0;
    if (shift == 0) return ST_OK;
    for (int64_t i = 0; i < n; i++) any |= form.allocated == 8 ? bytes[i] : cells[i];
    const uint32_t below = any & ((1u << shift) - 1), above = any >> form.stored;
    if (any == 0 || (below == 0 && above != 0)) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: %s is %" PRId64 " where %" PRId64 " bits are stored, and the pixels "
                       "do not show that they are shifted by %" PRId64 " bits",
                       path, dicom_tag_name(DCM_HighBit).c_str(), form.high_bit, form.stored,
                       shift);
}

/* Finds the frame header of a JPEG or JPEG-LS stream (T.81 B.1, T.87 C.1): its rows, columns and
 * bits. False if there is none. */
static bool read_jpeg_header(const std::vector<Uint8> &data, dicom_claim *stream) {
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
        if ((marker >= 0xc0 && marker <= 0xcf && !tables) || marker == 0xf7) {
            stream->bits = data[at + 3];
            stream->rows = data[at + 4] << 8 | data[at + 5];
            stream->columns = data[at + 6] << 8 | data[at + 7];
            return true;
        }
        at += 1 + (static_cast<std::size_t>(data[at + 1]) << 8 | data[at + 2]);
    }
}

/* Cells of 16 bits from a frame in RLE. */
static status decode_rle(const char *path, const dicom_claim &claim, const std::vector<Uint8> &data,
                         pixel_form *form, std::vector<Uint16> *cells) {
    const int64_t pixels = claim.rows * claim.columns, length = static_cast<int64_t>(data.size());
    const uint32_t segments = static_cast<uint32_t>(form->allocated / 8);
    std::vector<Uint8> part;
    bool valid = true;
    status st = dicom_check_claim(path, claim, length, true);
    if (st != ST_OK) return st;
    cells->assign(static_cast<std::size_t>(pixels), 0);
    for (uint32_t s = 0; s < segments && valid; s++) {
        valid = dicom_rle_segment(data.data(), length, segments, s, pixels, &part) &&
                static_cast<int64_t>(part.size()) == pixels;
        for (int64_t i = 0; i < pixels && valid; i++)
            (*cells)[i] = static_cast<Uint16>((*cells)[i] << 8 | part[i]);
    }
    form->allocated = 16;
    if (valid) return ST_OK;
    return status_fail(ST_INPUT, "%s: the RLE data of the pixels are cut or damaged", path);
}

static bool is_jpeg2000(E_TransferSyntax syntax) {
    return syntax == EXS_JPEG2000 || syntax == EXS_JPEG2000LosslessOnly;
}

/* Takes depth and sign from the codestream. One that is unsigned may hold the two's complement of
 * values that the header calls signed: of as many bits as the header says if no value has more. */
static void believe_codestream(const jpeg2000_form &stream, bool header_fits, pixel_form *form) {
    const bool shifted = form->high_bit + 1 > form->stored && form->high_bit < stream.bits;
    form->allocated = 16;
    if (shifted) return; /* check_high_bit() looks at it */
    if (stream.is_signed || !form->is_signed || !header_fits || form->stored > stream.bits)
        form->stored = stream.bits;
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

/* Cells of a frame that DCMTK decodes. `fragment`: where its compressed bytes begin. What the
 * decoder only warns of is a fault: it has invented pixels. */
static status decode_by_dcmtk(const char *path, DcmDataset &set, DcmPixelData &pixels,
                              int64_t frame, Uint32 fragment, int64_t bytes,
                              std::vector<Uint16> *cells) {
    OFString colours;
    Uint32 size = 0;
    OFCondition decoded = pixels.getUncompressedFrameSize(&set, size);
    if (decoded.good() && size < bytes) decoded = EC_CorruptedData;
    dicom_warnings_take();
    if (decoded.good()) {
        cells->resize(size / 2 + 1);
        decoded =
            pixels.getUncompressedFrame(&set, static_cast<Uint32>(frame), fragment, cells->data(),
                                        static_cast<Uint32>(cells->size() * 2), colours);
    }
    const std::string warning = dicom_warnings_take();
    if (decoded.good() && warning.empty()) return ST_OK;
    return status_fail(ST_INPUT, "%s: the pixels (%s) cannot be decoded: %s", path,
                       DcmXfer(set.getOriginalXfer()).getXferName(),
                       decoded.good() ? warning.c_str() : decoded.text());
}

/* Predictions that follow damage leave the range of a JPEG stream. And one of fewer bits than the
 * header says may hold the two's complement of its own bits: a value with the highest of them may
 * be negative or not. */
static status check_range(const char *path, const pixel_form &form,
                          const std::vector<Uint16> &cells, int64_t n) {
    const bool fewer = form.is_signed && form.stream_bits > 0 && form.stream_bits < form.stored;
    const uint8_t *const bytes = reinterpret_cast<const uint8_t *>(cells.data());
    uint32_t any = 0;
    for (int64_t i = 0; i < n && form.stream_bits > 0; i++)
        any |= form.allocated == 8 ? bytes[i] : cells[i];
    if (any >> form.stream_bits)
        return status_fail(ST_INPUT,
                           "%s: the compressed pixels are damaged: they have values of more than "
                           "%" PRId64 " bits",
                           path, form.stream_bits);
    if (!fewer || !(any >> (form.stream_bits - 1))) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: the compressed pixels have %" PRId64 " bits, where the header has "
                       "%" PRId64 " with a sign",
                       path, form.stream_bits, form.stored);
}

/* What a JPEG or JPEG-LS stream says of itself must be what the header says, before DCMTK sees the
 * stream: the decoder allocates by it. If it stores as many bits as the header says, they lie at
 * the bottom of the cell, whatever High Bit says. */
static status check_jpeg(const char *path, const dicom_claim &claim, const std::vector<Uint8> &data,
                         pixel_form *form) {
    dicom_claim stream = {1, 0, 0, 0};
    status st = dicom_check_claim(path, claim, static_cast<int64_t>(data.size()), true);
    if (st != ST_OK) return st;
    if (!read_jpeg_header(data, &stream) || stream.rows != claim.rows ||
        stream.columns != claim.columns)
        return status_fail(ST_INPUT,
                           "%s: the compressed pixels are damaged, or not %" PRId64 " x %" PRId64
                           " as the header says (rows x columns)",
                           path, claim.rows, claim.columns);
    form->stream_bits = stream.bits;
    if (stream.bits == form->stored) form->high_bit = form->stored - 1;
    return ST_OK;
}

/* Decompresses frame h->frame into cells of 8 or 16 bits in the byte order of the machine, as
 * *form says, or is made to say. */
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
        if (syntax == EXS_RLELossless) {
            TRY(decode_rle(path, claim, data, form, cells));
            goto done;
        }
        TRY(check_jpeg(path, claim, data, form));
    } else if (pixels->getLength(syntax) / (h->frame + 1) < bytes) {
        TRY(status_fail(ST_INPUT, "%s: the pixel array is cut: %lu bytes of %" PRId64, path,
                        static_cast<unsigned long>(pixels->getLength(syntax)),
                        bytes * (h->frame + 1)));
    }
    TRY(decode_by_dcmtk(path, set, *pixels, h->frame, fragment, bytes, cells));
    TRY(check_range(path, *form, *cells, h->rows * h->columns));
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
        TRY(check_high_bit(h->path, form, cells, pixels));
        TRY(convert(h->path, form, cells, pixels, hu));
    done:
        return st;
    });
}
