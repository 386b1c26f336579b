/* The pixels of a segmentation (PS3.3 C.8.20.2): bits, or cells of 8 or 16 bits, native, in RLE, or
 * in JPEG 2000.
 *
 * The bits of native frames follow each other without padding, least significant bit first: a frame
 * need not begin at a byte boundary. In RLE (PS3.5 annex G) a frame is a fragment of its own; bits
 * are packed for each frame, and some writers store a byte for each of them.
 */
#include "io/dicom_rle.hpp"
#include "io/dicom_seg.hpp"
#include "io/jpeg2000.h"

#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>

#include <algorithm>
#include <cinttypes>

std::string seg_frame_text(const char *path, int64_t k) {
    return std::string(path) + ": frame " + std::to_string(k + 1);
}

status seg_pixels::find_native() {
    int64_t bits = 0;
    Uint8 *bytes = nullptr;
    const int64_t length = pixels->getLengthField();
    const dicom_claim claim = {form.frames, form.rows, form.columns, form.bits};
    status st = dicom_check_claim(path, claim, length, false);
    if (st != ST_OK) return st;
    if (pixels->getUint8Array(bytes).good() && bytes &&
        size_mul(form.frames * form.rows, form.columns * form.bits, &bits) &&
        static_cast<int64_t>(pixels->getLength()) >= (bits + 7) / 8) {
        native = bytes;
        return ST_OK;
    }
    return status_fail(ST_INPUT, "%s: the pixel array is missing or cut", path);
}

status seg_pixels::find_fragments(E_TransferSyntax of) {
    int64_t payload = 0, count = 0;
    const bool rle = of == EXS_RLELossless;
    syntax = of;
    if (!rle && of != EXS_JPEG2000 && of != EXS_JPEG2000LosslessOnly)
        return status_fail(ST_INPUT, "%s: segmentations in %s are not supported by this build",
                           path, DcmXfer(of).getXferName());
    if (pixels->getEncapsulatedRepresentation(of, nullptr, fragments).good() && fragments)
        count = static_cast<int64_t>(fragments->card()) - 1;
    if (count < form.frames || (rle && count > form.frames))
        return status_fail(ST_INPUT, "%s: it has %" PRId64 " frames, but its %s data have %" PRId64,
                           path, form.frames, rle ? "RLE" : "JPEG 2000", count);
    for (unsigned long i = 1; i < fragments->card(); i++) {
        DcmPixelItem *fragment = nullptr;
        if (fragments->getItem(fragment, i).good()) payload += fragment->getLength();
    }
    return dicom_check_claim(path, {form.frames, form.rows, form.columns, form.bits}, payload,
                             true);
}

status seg_pixels::open(const char *file, DcmDataset &data, const seg_form &of) {
    DcmElement *element = nullptr;
    const DcmXfer said(data.getOriginalXfer());
    path = file;
    form = of;
    if (data.findAndGetElement(DCM_PixelData, element).good())
        pixels = dynamic_cast<DcmPixelData *>(element);
    if (!pixels)
        return status_fail(ST_INPUT, "%s: %s is missing", path,
                           dicom_tag_name(DCM_PixelData).c_str());
    return said.isEncapsulated() ? find_fragments(said.getXfer()) : find_native();
}

/* ---- frames ---- */

static uint16_t bit_of(const Uint8 *bytes, int64_t bit) { return bytes[bit >> 3] >> (bit & 7) & 1; }

/* Bits first, ..., first + count - 1 as cells. Most bytes are 0, and no more is done for them. */
static void unpack_bits(const Uint8 *bytes, int64_t first, int64_t count,
                        std::vector<uint16_t> *cells) {
    cells->assign(static_cast<std::size_t>(count), 0);
    for (int64_t i = 0; i < count;) {
        const int64_t bit = first + i, left = std::min(8 - (bit & 7), count - i);
        if (bytes[bit >> 3])
            for (int64_t k = 0; k < left; k++) (*cells)[i + k] = bit_of(bytes, bit + k);
        i += left;
    }
}

/* Zeros behind the pixels are padding. */
static bool is_whole(const std::vector<Uint8> &part, int64_t bytes) {
    return static_cast<int64_t>(part.size()) >= bytes &&
           std::all_of(part.begin() + bytes, part.end(), [](Uint8 byte) { return byte == 0; });
}

status seg_pixels::read_rle(int64_t k, std::vector<uint16_t> *cells) {
    DcmPixelItem *fragment = nullptr;
    Uint8 *bytes = nullptr;
    const int64_t count = form.rows * form.columns;
    const uint32_t segments = form.bits == 16 ? 2 : 1;
    bool valid = fragments->getItem(fragment, static_cast<unsigned long>(k + 1)).good() &&
                 fragment->getUint8Array(bytes).good() && bytes;
    std::vector<Uint8> part;
    for (uint32_t s = 0; s < segments && valid; s++) { /* the more significant bytes come first */
        valid = dicom_rle_segment(bytes, fragment->getLength(), segments, s, count, &part);
        const bool packed = form.bits == 1 && static_cast<int64_t>(part.size()) < count;
        valid = valid && is_whole(part, packed ? (count + 7) / 8 : count);
        if (s == 0) cells->assign(static_cast<std::size_t>(count), 0);
        for (int64_t i = 0; i < count && valid; i++) {
            const unsigned byte = packed ? bit_of(part.data(), i) : part[i];
            (*cells)[i] = static_cast<uint16_t>((*cells)[i] << 8 | byte);
        }
    }
    if (valid) return ST_OK;
    return status_fail(ST_INPUT, "%s: its RLE data are damaged", seg_frame_text(path, k).c_str());
}

status seg_pixels::read_jpeg2000(int64_t k, std::vector<uint16_t> *cells) {
    status st;
    const std::string where = seg_frame_text(path, k);
    std::vector<Uint8> bytes;
    std::vector<int32_t> values(static_cast<std::size_t>(form.rows * form.columns));
    jpeg2000_form stream = {};
    Uint32 unused = 0;
    TRY(dicom_frame_bytes(path, *pixels, syntax, k, form.frames, &unused, &bytes));
    TRY(jpeg2000_decode(where.c_str(), bytes.data(), static_cast<int64_t>(bytes.size()), form.rows,
                        form.columns, values.data(), &stream));
    if (stream.is_signed || std::any_of(values.begin(), values.end(),
                                        [&](int32_t value) { return value >> form.bits != 0; }))
        TRY(status_fail(ST_INPUT, "%s: its codestream has values of %d bits%s, the header %" PRId64,
                        where.c_str(), stream.bits, stream.is_signed ? " with a sign" : "",
                        form.bits));
    cells->assign(values.begin(), values.end());
done:
    return st;
}

status seg_pixels::read(int64_t k, std::vector<uint16_t> *cells) {
    const int64_t count = form.rows * form.columns, first = k * count;
    if (fragments) return syntax == EXS_RLELossless ? read_rle(k, cells) : read_jpeg2000(k, cells);
    if (form.bits == 1) {
        unpack_bits(native, first, count, cells);
    } else if (form.bits == 8) {
        cells->assign(native + first, native + first + count);
    } else {
        cells->resize(static_cast<std::size_t>(count));
        for (int64_t i = 0; i < count; i++)
            (*cells)[i] =
                static_cast<uint16_t>(native[2 * (first + i)] | native[2 * (first + i) + 1] << 8);
    }
    return ST_OK;
}
