/* The pixels of a segmentation (PS3.3 C.8.20.2): bits, or cells of 8 or 16 bits, native or in RLE.
 *
 * The bits of native frames follow each other without padding, least significant bit first: a frame
 * need not begin at a byte boundary. In RLE (PS3.5 annex G) a frame is a fragment of its own; bits
 * are packed for each frame, and some writers store a byte for each of them.
 */
#include "io/dicom_rle.hpp"
#include "io/dicom_seg.hpp"

#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>

#include <algorithm>
#include <cinttypes>

std::string seg_frame_text(const char *path, int64_t k) {
    return std::string(path) + ": frame " + std::to_string(k + 1);
}

status seg_pixels::find_native(DcmPixelData &pixels) {
    int64_t bits = 0;
    Uint8 *bytes = nullptr;
    const int64_t length = pixels.getLengthField();
    const dicom_claim claim = {form.frames, form.rows, form.columns, form.bits};
    status st = dicom_check_claim(path, claim, length, false);
    if (st != ST_OK) return st;
    if (pixels.getUint8Array(bytes).good() && bytes &&
        size_mul(form.frames * form.rows, form.columns * form.bits, &bits) &&
        static_cast<int64_t>(pixels.getLength()) >= (bits + 7) / 8) {
        native = bytes;
        return ST_OK;
    }
    return status_fail(ST_INPUT, "%s: the pixel array is missing or cut", path);
}

status seg_pixels::open(const char *file, DcmDataset &data, const seg_form &of) {
    status st = ST_OK;
    DcmElement *element = nullptr;
    DcmPixelData *pixels = nullptr;
    int64_t payload = 0;
    const DcmXfer syntax(data.getOriginalXfer());
    path = file;
    form = of;
    if (data.findAndGetElement(DCM_PixelData, element).good())
        pixels = dynamic_cast<DcmPixelData *>(element);
    if (!pixels)
        TRY(status_fail(ST_INPUT, "%s: %s is missing", path,
                        dicom_tag_name(DCM_PixelData).c_str()));
    if (!syntax.isEncapsulated()) {
        TRY(find_native(*pixels));
        goto done;
    }
    if (syntax.getXfer() != EXS_RLELossless)
        TRY(status_fail(ST_INPUT, "%s: segmentations in %s are not supported by this build", path,
                        syntax.getXferName()));
    if (pixels->getEncapsulatedRepresentation(EXS_RLELossless, nullptr, fragments).bad() ||
        !fragments || static_cast<int64_t>(fragments->card()) != form.frames + 1)
        TRY(status_fail(ST_INPUT, "%s: it has %" PRId64 " frames, but its RLE data have %" PRId64,
                        path, form.frames,
                        fragments ? static_cast<int64_t>(fragments->card()) - 1 : 0));
    for (unsigned long i = 1; i < fragments->card(); i++) {
        DcmPixelItem *fragment = nullptr;
        if (fragments->getItem(fragment, i).good()) payload += fragment->getLength();
    }
    TRY(dicom_check_claim(path, {form.frames, form.rows, form.columns, form.bits}, payload, true));
done:
    return st;
}

/* ---- RLE ---- */

static uint16_t bit_of(const Uint8 *bytes, int64_t bit) { return bytes[bit >> 3] >> (bit & 7) & 1; }

/* Zeros behind the pixels are padding. */
static bool is_whole(const std::vector<Uint8> &part, int64_t bytes) {
    return static_cast<int64_t>(part.size()) >= bytes &&
           std::all_of(part.begin() + bytes, part.end(), [](Uint8 byte) { return byte == 0; });
}

status seg_pixels::read_rle(int64_t k, std::vector<uint16_t> *cells) {
    DcmPixelItem *fragment = nullptr;
    Uint8 *bytes = nullptr;
    const int64_t pixels = form.rows * form.columns;
    const uint32_t segments = form.bits == 16 ? 2 : 1;
    bool valid = fragments->getItem(fragment, static_cast<unsigned long>(k + 1)).good() &&
                 fragment->getUint8Array(bytes).good() && bytes;
    std::vector<Uint8> part;
    for (uint32_t s = 0; s < segments && valid; s++) { /* the more significant bytes come first */
        valid = dicom_rle_segment(bytes, fragment->getLength(), segments, s, pixels, &part);
        const bool packed = form.bits == 1 && static_cast<int64_t>(part.size()) < pixels;
        valid = valid && is_whole(part, packed ? (pixels + 7) / 8 : pixels);
        if (s == 0) cells->assign(static_cast<std::size_t>(pixels), 0);
        for (int64_t i = 0; i < pixels && valid; i++) {
            const unsigned byte = packed ? bit_of(part.data(), i) : part[i];
            (*cells)[i] = static_cast<uint16_t>((*cells)[i] << 8 | byte);
        }
    }
    if (valid) return ST_OK;
    return status_fail(ST_INPUT, "%s: its RLE data are damaged", seg_frame_text(path, k).c_str());
}

status seg_pixels::read(int64_t k, std::vector<uint16_t> *cells) {
    const int64_t pixels = form.rows * form.columns, first = k * pixels;
    if (fragments) return read_rle(k, cells);
    cells->resize(static_cast<std::size_t>(pixels));
    for (int64_t i = 0; i < pixels; i++) {
        const int64_t at = first + i;
        (*cells)[i] = form.bits == 1 ? bit_of(native, at)
                      : form.bits == 8
                          ? native[at]
                          : static_cast<uint16_t>(native[2 * at] | native[2 * at + 1] << 8);
    }
    return ST_OK;
}
