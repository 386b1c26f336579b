/* A frame is a header of 16 numbers, how many segments there are and where each begins, and the
 * segments: one for each byte of a pixel, the more significant first, in PackBits (PS3.5 G.3). */
#include "io/dicom_rle.hpp"

#include <algorithm>

enum { HEADER = 64, SEGMENTS_MAX = 15 };

static uint32_t little_endian_32(const Uint8 *at) {
    return at[0] | at[1] << 8 | at[2] << 16 | static_cast<uint32_t>(at[3]) << 24;
}

/* Segments are padded by zeros to an even length, and longer by some writers. */
static bool is_padding(const Uint8 *from, const Uint8 *end) {
    return std::all_of(from, end, [](Uint8 byte) { return byte == 0; });
}

static bool unpack(const Uint8 *from, const Uint8 *end, int64_t room, std::vector<Uint8> *out) {
    out->clear();
    while (from < end) {
        const int64_t left = room - static_cast<int64_t>(out->size());
        if (left == 0 || end - from == 1) return is_padding(from, end);
        const int code = *from++;
        const int64_t run = code < 128 ? code + 1 : code > 128 ? 257 - code : 0;
        const int64_t have = code < 128 ? run : 1;
        if (run == 0) continue;
        if (run > left || have > end - from) return false;
        if (code < 128)
            out->insert(out->end(), from, from + run);
        else
            out->insert(out->end(), static_cast<std::size_t>(run), *from);
        from += have;
    }
    return true;
}

bool dicom_rle_segment(const Uint8 *bytes, int64_t length, uint32_t segments, uint32_t s,
                       int64_t room, std::vector<Uint8> *out) {
    if (length < HEADER || segments > SEGMENTS_MAX || little_endian_32(bytes) != segments)
        return false;
    const int64_t begin = little_endian_32(bytes + 4 + 4 * s);
    const int64_t end = s + 1 < segments ? little_endian_32(bytes + 8 + 4 * s) : length;
    return begin >= HEADER && begin <= end && end <= length &&
           unpack(bytes + begin, bytes + end, room, out);
}
