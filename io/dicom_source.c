/* Reading a DICOM file by pieces, and inflating within a bound. */
#include "io/dicom_source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "io/dicom_prescan.h"

enum { INFLATED_RATIO = 20 };

static int64_t read_file(source *s, unsigned char *to, size_t bytes) {
    ssize_t n;
    do n = read(s->fd, to, bytes);
    while (n < 0 && errno == EINTR);
    if (n < 0) s->fault = status_fail(ST_INPUT, "%s: cannot read: %s", s->path, strerror(errno));
    return n < 0 ? 0 : n;
}

/* Up to `room` bytes of the data set into `to`; 0 at the end. */
static int64_t inflate_some(source *s, unsigned char *to, int64_t room) {
    z_stream *z = &s->inflater;
    z->next_out = to;
    z->avail_out = (uInt)room;
    while (z->avail_out == (uInt)room) {
        if (z->avail_in == 0) {
            z->next_in = s->packed;
            z->avail_in = (uInt)read_file(s, s->packed, sizeof s->packed);
        }
        bool ended = z->avail_in == 0;
        int result = inflate(z, Z_NO_FLUSH);
        if (result != Z_OK || ended) break; /* the end, or damage: the parser's matter */
    }
    return room - z->avail_out;
}

bool source_need(source *s, int64_t bytes) {
    if (s->have - s->at >= bytes) return true;
    memmove(s->data, s->data + s->at, (size_t)(s->have - s->at));
    s->before += s->at;
    s->have -= s->at;
    s->at = 0;
    while (s->have < bytes) {
        int64_t n = s->deflated
                        ? inflate_some(s, s->data + s->have, SOURCE_BUFFER - s->have)
                        : read_file(s, s->data + s->have, (size_t)(SOURCE_BUFFER - s->have));
        if (n <= 0) return false;
        s->have += n;
        if (s->deflated && s->before + s->have > s->inflated_max) {
            s->fault = status_fail(
                ST_INPUT, "%s: its %" PRId64 " bytes inflate to more than %" PRId64 ": refused",
                s->path, s->file_bytes, s->inflated_max);
            return false;
        }
    }
    return true;
}

bool source_skip(source *s, int64_t bytes) {
    if (s->have - s->at >= bytes) {
        s->at += bytes;
        return true;
    }
    if (!s->deflated) {
        const int64_t to = source_position(s) + bytes;
        if (to > s->file_bytes || lseek(s->fd, to, SEEK_SET) != to) return false;
        s->before = to;
        s->have = s->at = 0;
        return true;
    }
    while (bytes > 0) {
        if (!source_need(s, 1)) return false;
        const int64_t step = s->have - s->at < bytes ? s->have - s->at : bytes;
        s->at += step;
        bytes -= step;
    }
    return true;
}

bool source_go_back(source *in) {
    in->before = in->begin;
    in->have = in->at = 0;
    return lseek(in->fd, in->begin, SEEK_SET) == in->begin;
}

/* The bytes that are in the buffer already are the
 * inflater's. */
status source_begin_inflating(source *in) {
    const int64_t ready = in->have - in->at;
    memcpy(in->packed, in->data + in->at, (size_t)ready);
    in->inflater = (z_stream){.next_in = in->packed, .avail_in = (uInt)ready};
    if (inflateInit2(&in->inflater, -MAX_WBITS) != Z_OK)
        return status_memory("inflating a DICOM file", 0);
    in->deflated = true;
    in->before = in->have = in->at = 0;
    in->inflated_max = INFLATED_RATIO * in->file_bytes;
    if (in->inflated_max < DICOM_INFLATED_FREE) in->inflated_max = DICOM_INFLATED_FREE;
    return ST_OK;
}
