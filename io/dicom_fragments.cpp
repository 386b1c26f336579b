/* The compressed bytes of a frame (PS3.5, A.4): fragments, which a table of offsets or their number
 * assigns to the frames. */
#include "io/dicom_common.hpp"

#include <dcmtk/dcmdata/dccodec.h>
#include <dcmtk/dcmdata/dcpxitem.h>

#include <cinttypes>

static bool append(DcmPixelSequence &sequence, Uint32 i, std::vector<Uint8> *out) {
    DcmPixelItem *fragment = NULL;
    Uint8 *bytes = NULL;
    if (sequence.getItem(fragment, i).bad() || fragment->getUint8Array(bytes).bad()) return false;
    if (bytes) out->insert(out->end(), bytes, bytes + fragment->getLength());
    return true;
}

/* First fragment of a frame, or the number of fragments behind the last. */
static bool first_fragment(DcmPixelSequence &sequence, int64_t frame, int64_t frames, Uint32 *out) {
    *out = static_cast<Uint32>(frame == 0 ? 1 : sequence.card());
    if (frame == 0 || frame == frames) return true;
    return DcmCodec::determineStartFragment(static_cast<Uint32>(frame), static_cast<Sint32>(frames),
                                            &sequence, *out)
        .good();
}

status dicom_frame_bytes(const char *path, DcmPixelData &pixels, E_TransferSyntax syntax,
                         int64_t frame, int64_t frames, Uint32 *fragment, std::vector<Uint8> *out) {
    DcmPixelSequence *sequence = NULL; /* item 0 is the table of offsets */
    Uint32 end = 0;
    if (pixels.getEncapsulatedRepresentation(syntax, NULL, sequence).bad() || !sequence)
        return status_fail(ST_INPUT, "%s: the pixels are not compressed as %s says", path,
                           dicom_tag_name(DCM_TransferSyntaxUID).c_str());
    bool found = first_fragment(*sequence, frame, frames, fragment) &&
                 first_fragment(*sequence, frame + 1, frames, &end) && *fragment < end;
    out->clear();
    for (Uint32 i = *fragment; found && i < end; i++) found = append(*sequence, i, out);
    if (found) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: the compressed bytes of frame %" PRId64 " of %" PRId64
                       " are missing or damaged",
                       path, frame + 1, frames);
}
