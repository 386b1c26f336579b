/* The walk over the elements of a data set (PS3.5, 7.1 and 7.5), without their values.
 *
 * Open sequences and items lie on a stack of fixed size. Where the structure cannot be followed (a
 * damaged file, a transfer syntax that lies), the rest of the file may still nest as many items as
 * it has item tags: few of them are accepted, many are refused.
 */
#include "io/dicom_prescan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum {
    BUFFER = 1 << 16,
    PREAMBLE = 128,
    STRAY_ITEMS_MAX = 1000, /* item tags behind the point where the walk loses its way */
    STACK = 2 * DICOM_NESTING_MAX + 2,
    INFLATED_RATIO = 20
};

static const uint32_t ITEM = 0xfffee000, ITEM_END = 0xfffee00d, SEQUENCE_END = 0xfffee0dd,
                      TRANSFER_SYNTAX = 0x00020010, UNDEFINED = 0xffffffff;

/* ---- bytes: of the file, or what a deflated one inflates to ---- */

typedef struct source {
    const char *path;
    int fd;
    bool deflated;
    z_stream inflater;
    unsigned char packed[BUFFER]; /* what the inflater reads */
    unsigned char data[BUFFER];
    int64_t have, at;     /* bytes in data, and how many of them are used */
    int64_t before;       /* bytes before data[0] */
    int64_t file_bytes;   /* of the whole file */
    int64_t inflated_max; /* bytes */
    status fault;
} source;

static int64_t position(const source *s) { return s->before + s->at; }

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

/* Makes at least `bytes` (few) bytes available in data; false at the end or after a fault. */
static bool need(source *s, int64_t bytes) {
    if (s->have - s->at >= bytes) return true;
    memmove(s->data, s->data + s->at, (size_t)(s->have - s->at));
    s->before += s->at;
    s->have -= s->at;
    s->at = 0;
    while (s->have < bytes) {
        int64_t n = s->deflated ? inflate_some(s, s->data + s->have, BUFFER - s->have)
                                : read_file(s, s->data + s->have, (size_t)(BUFFER - s->have));
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

/* Passes over `bytes` bytes; false if there are not so many. */
static bool skip(source *s, int64_t bytes) {
    if (s->have - s->at >= bytes) {
        s->at += bytes;
        return true;
    }
    if (!s->deflated) {
        const int64_t to = position(s) + bytes;
        if (to > s->file_bytes || lseek(s->fd, to, SEEK_SET) != to) return false;
        s->before = to;
        s->have = s->at = 0;
        return true;
    }
    while (bytes > 0) {
        if (!need(s, 1)) return false;
        const int64_t step = s->have - s->at < bytes ? s->have - s->at : bytes;
        s->at += step;
        bytes -= step;
    }
    return true;
}

static uint32_t number(const unsigned char *b, int bytes, bool big_endian) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | b[big_endian ? i : bytes - 1 - i];
    return value;
}

static uint32_t read_tag(const unsigned char *b, bool big_endian) {
    return number(b, 2, big_endian) << 16 | number(b + 2, 2, big_endian);
}

/* ---- the walk ---- */

/* An open sequence or item. */
typedef struct level {
    int64_t end; /* position; -1: until its delimiter */
    bool is_item, implicit;
    bool fragments; /* a sequence of pixel fragments: its items hold bytes */
} level;

typedef struct walk {
    source *in;
    bool implicit, big_endian;
    level stack[STACK];
    int depth, items; /* open levels, and how many of them are items */
} walk;

typedef enum outcome { GOES_ON, ENDED, LOST, REFUSED } outcome;

static outcome push(walk *w, level l) {
    if (w->items + l.is_item > DICOM_NESTING_MAX || w->depth == STACK) {
        w->in->fault = status_fail(ST_INPUT, "%s: its sequences nest more than %d deep: refused",
                                   w->in->path, DICOM_NESTING_MAX);
        return REFUSED;
    }
    w->stack[w->depth++] = l;
    w->items += l.is_item;
    return GOES_ON;
}

static void pop(walk *w) { w->items -= w->stack[--w->depth].is_item; }

static bool inside_fragments(const walk *w) {
    return w->depth > 0 && w->stack[w->depth - 1].fragments;
}

/* Whether values of this VR have a length of 4 bytes (PS3.5, 7.1.2). */
static bool has_long_length(const unsigned char vr[2]) {
    static const char known[] = "OB OD OF OL OV OW SQ SV UC UN UR UT UV ";
    for (const char *k = known; *k; k += 3)
        if (memcmp(k, vr, 2) == 0) return true;
    return false;
}

/* Item, and the two delimiters. */
static outcome walk_delimiter(walk *w, uint32_t tag) {
    if (!need(w->in, 8)) return ENDED;
    const uint32_t length = number(w->in->data + w->in->at + 4, 4, w->big_endian);
    w->in->at += 8;
    if (w->depth == 0) return LOST;
    const level top = w->stack[w->depth - 1];
    if (tag == ITEM) {
        if (top.is_item) return LOST;
        if (top.fragments) return skip(w->in, length) ? GOES_ON : ENDED;
        return push(w, (level){.end = length == UNDEFINED ? -1 : position(w->in) + length,
                               .is_item = true,
                               .implicit = top.implicit});
    }
    if (top.is_item != (tag == ITEM_END)) return LOST;
    pop(w);
    return GOES_ON;
}

/* A value of defined length in implicit VR is a sequence if it begins with an item: without a
 * dictionary nothing else tells. */
static bool begins_with_item(walk *w, uint32_t length) {
    return length >= 8 && need(w->in, 4) &&
           read_tag(w->in->data + w->in->at, w->big_endian) == ITEM;
}

static outcome walk_element(walk *w, uint32_t tag) {
    const bool implicit = w->depth > 0 ? w->stack[w->depth - 1].implicit : w->implicit;
    const unsigned char *b = w->in->data + w->in->at;
    uint32_t length;
    bool is_sequence = false, unknown = false;
    (void)tag;
    if (implicit) {
        if (!need(w->in, 8)) return ENDED;
        b = w->in->data + w->in->at;
        length = number(b + 4, 4, w->big_endian);
        w->in->at += 8;
        is_sequence = length == UNDEFINED || begins_with_item(w, length);
    } else {
        if (!need(w->in, 8)) return ENDED;
        b = w->in->data + w->in->at;
        if (b[4] < 'A' || b[4] > 'Z' || b[5] < 'A' || b[5] > 'Z') return LOST;
        const bool is_long = has_long_length(b + 4);
        is_sequence = b[4] == 'S' && b[5] == 'Q';
        unknown = b[4] == 'U' && b[5] == 'N';
        if (is_long && !need(w->in, 12)) return ENDED;
        b = w->in->data + w->in->at;
        length = is_long ? number(b + 8, 4, w->big_endian) : number(b + 6, 2, w->big_endian);
        w->in->at += is_long ? 12 : 8;
    }
    if (is_sequence || length == UNDEFINED)
        return push(w, (level){.end = length == UNDEFINED ? -1 : position(w->in) + length,
                               .implicit = implicit || unknown,
                               .fragments = !is_sequence && !unknown});
    return skip(w->in, length) ? GOES_ON : ENDED;
}

static outcome walk_next(walk *w) {
    while (w->depth > 0 && w->stack[w->depth - 1].end == position(w->in)) pop(w);
    if (w->depth > 0 && w->stack[w->depth - 1].end >= 0 &&
        w->stack[w->depth - 1].end < position(w->in))
        return LOST;
    if (!need(w->in, 4)) return w->in->fault == ST_OK ? ENDED : REFUSED;
    const uint32_t tag = read_tag(w->in->data + w->in->at, w->big_endian);
    if (tag == ITEM || tag == ITEM_END || tag == SEQUENCE_END) return walk_delimiter(w, tag);
    if (inside_fragments(w) || (w->depth > 0 && !w->stack[w->depth - 1].is_item)) return LOST;
    return walk_element(w, tag);
}

/* How many item tags the rest has, of either byte order, at any position. */
static int64_t count_stray_items(source *in) {
    int64_t found = 0;
    while (need(in, 4)) {
        const unsigned char *b = in->data + in->at;
        found += read_tag(b, false) == ITEM || read_tag(b, true) == ITEM;
        in->at++;
    }
    return found;
}

/* ---- the file ---- */

/* The group of file meta information (PS3.10, 7.1): always explicit, little endian. Sets what the
 * data set behind it is encoded in. */
static bool read_meta(source *in, walk *w) {
    char uid[65] = "";
    for (;;) {
        if (!need(in, 8)) break;
        const unsigned char *b = in->data + in->at;
        const uint32_t tag = read_tag(b, false);
        if (tag >> 16 != 2) break;
        const bool is_long = has_long_length(b + 4);
        if (is_long && !need(in, 12)) break;
        b = in->data + in->at;
        const uint32_t length = is_long ? number(b + 8, 4, false) : number(b + 6, 2, false);
        in->at += is_long ? 12 : 8;
        if (tag == TRANSFER_SYNTAX && length < sizeof uid && need(in, length)) {
            memcpy(uid, in->data + in->at, length);
            uid[length] = '\0';
        }
        if (!skip(in, length)) return false;
    }
    w->implicit = strcmp(uid, "1.2.840.10008.1.2") == 0;
    w->big_endian = strcmp(uid, "1.2.840.10008.1.2.2") == 0;
    return strcmp(uid, "1.2.840.10008.1.2.1.99") == 0;
}

/* What is read from here on is inflated first. The bytes that are in the buffer already are the
 * inflater's. */
static status begin_inflating(source *in) {
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

static status walk_file(source *in) {
    status st = ST_OK;
    walk w = {.in = in};
    outcome o;
    if (!need(in, PREAMBLE + 4) || memcmp(in->data + PREAMBLE, "DICM", 4) != 0) {
        st = in->fault != ST_OK
                 ? in->fault
                 : status_fail(ST_INPUT, "%s: not a DICOM file (no DICM prefix)", in->path);
        goto done;
    }
    in->at = PREAMBLE + 4;
    if (read_meta(in, &w)) TRY(begin_inflating(in));
    do o = walk_next(&w);
    while (o == GOES_ON);
    if (o == LOST && count_stray_items(in) + w.items > STRAY_ITEMS_MAX && in->fault == ST_OK)
        in->fault = status_fail(ST_INPUT,
                                "%s: the structure of its sequences cannot be followed, and they "
                                "may nest deeper than %d: refused",
                                in->path, DICOM_NESTING_MAX);
    st = in->fault;
done:
    if (in->deflated) inflateEnd(&in->inflater);
    return st;
}

status dicom_prescan(const char *path) {
    status st = ST_OK;
    struct stat about;
    source *in = calloc(1, sizeof *in);
    if (!in) return status_memory("a DICOM file", sizeof *in);
    in->path = path;
    in->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (in->fd < 0) {
        st = status_fail(ST_INPUT, "%s: cannot open: %s", path, strerror(errno));
        goto done;
    }
    if (fstat(in->fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        st = status_fail(ST_INPUT, "%s: not a regular file", path);
        goto done;
    }
    in->file_bytes = about.st_size;
    st = walk_file(in);
done:
    if (in->fd >= 0) close(in->fd);
    free(in);
    return st;
}
