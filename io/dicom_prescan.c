/* The walk over the elements of a data set (PS3.5, 7.1 and 7.5), without their values.
 *
 * The walk goes where DCMTK 3.6.7 goes, deviations from the standard included: wherever the two
 * part ways, a file could hide its nesting. Open sequences and items lie on a stack of fixed size.
 * Where the walk or DCMTK ends early, the rest of the file may still nest as many items as it has
 * item tags: few of them are accepted, many are refused.
 *
 * Implicit VR needs a dictionary to tell a sequence from other bytes. The walk guesses: what begins
 * with an item is a sequence. If such a sequence does not end where its length says, the guess may
 * be wrong, and the item tags of the whole data set count.
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
    META_MAX = 1 << 20,     /* bytes of file meta information */
    UID_MAX = 64,           /* characters */
    STRAY_ITEMS_MAX = 1000, /* item tags that the walk could not follow */
    STACK = 2 * DICOM_NESTING_MAX + 2,
    INFLATED_RATIO = 20
};

static const uint32_t ITEM = 0xfffee000, ITEM_END = 0xfffee00d, SEQUENCE_END = 0xfffee0dd,
                      GROUP_LENGTH = 0x00020000, TRANSFER_SYNTAX = 0x00020010,
                      PIXEL_DATA = 0x7fe00010, UNDEFINED = 0xffffffff;

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
    int64_t begin;        /* of the data set in the file */
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
    bool guessed;   /* it may be no sequence at all */
} level;

typedef struct walk {
    source *in;
    bool implicit, big_endian;
    level stack[STACK];
    int depth, items, guesses; /* open levels, how many of them are items, and guessed */
    int64_t elements;          /* and items, passed so far */
    bool ambiguous;            /* a guess may have been wrong */
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
    w->guesses += l.guessed;
    return GOES_ON;
}

static void pop(walk *w) {
    const level *top = &w->stack[--w->depth];
    w->items -= top->is_item;
    w->guesses -= top->guessed;
}

/* Whether the top level, which ends here, ends where its length says; only matters in a guess. */
static bool ends_as_said(walk *w) {
    const int64_t end = w->stack[w->depth - 1].end;
    if (w->guesses == 0 || end < 0 || end == position(w->in)) return true;
    w->ambiguous = true;
    return false;
}

/* An element or item more. DCMTK keeps an object of a few hundred bytes for each: a file cannot
 * hold many in few bytes unless it is deflated. */
static outcome count_element(walk *w) {
    if (++w->elements <= DICOM_ELEMENTS_FREE || w->elements <= w->in->file_bytes) return GOES_ON;
    w->in->fault = status_fail(
        ST_INPUT, "%s: its %" PRId64 " bytes inflate to more than %" PRId64 " elements: refused",
        w->in->path, w->in->file_bytes, w->elements - 1);
    return REFUSED;
}

/* ---- elements ---- */

typedef enum vr_kind { VR_SHORT, VR_LONG, VR_SEQUENCE, VR_UNKNOWN, VR_FORBIDDEN } vr_kind;

static bool is_one_of(const char *list, const unsigned char vr[2]) {
    for (; *list; list += 3)
        if (memcmp(list, vr, 2) == 0) return true;
    return false;
}

static bool is_standard(const unsigned char vr[2]) {
    return is_one_of("AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US ", vr) ||
           is_one_of("OB OD OF OL OV OW SQ SV UC UN UR UT UV ", vr);
}

/* How DCMTK reads a VR: lengths of 2 or 4 bytes (PS3.5, 7.1.2), its own internal names, upper-case
 * names of the future (4 bytes), and whatever else (2 bytes). */
static vr_kind kind_of_vr(const unsigned char vr[2], uint32_t tag) {
    if (is_one_of("SQ ", vr)) return VR_SEQUENCE;
    if (is_one_of("UN ", vr)) return VR_UNKNOWN;
    if (is_one_of("na pi ", vr)) return VR_FORBIDDEN;
    if (is_one_of("OB OD OF OL OV OW SV UC UR UT UV ox px lt ", vr)) return VR_LONG;
    if (tag == PIXEL_DATA && is_one_of("OX ", vr)) return VR_LONG;
    if (is_standard(vr)) return VR_SHORT;
    const bool future = vr[0] >= 'A' && vr[0] <= 'Z' && vr[1] >= 'A' && vr[1] <= 'Z';
    return future ? VR_UNKNOWN : VR_SHORT;
}

/* The head of an element: what lies before its value. */
typedef struct element {
    uint32_t tag, length;
    bool is_sequence, fragments, guessed;
    bool implicit; /* the items of the sequence */
} element;

static outcome read_implicit_head(walk *w, element *e) {
    const unsigned char *b = w->in->data + w->in->at;
    const bool private = e->tag >> 16 & 1;
    e->length = number(b + 4, 4, w->big_endian);
    e->implicit = true;
    w->in->at += 8;
    if (e->length == UNDEFINED) {
        e->is_sequence = true;
        e->fragments = e->tag == PIXEL_DATA;
        e->guessed = private; /* the fragments of private pixels? */
    } else if (e->length > 0 && e->tag != PIXEL_DATA && need(w->in, 4)) {
        e->is_sequence = read_tag(w->in->data + w->in->at, w->big_endian) == ITEM;
        e->guessed = e->is_sequence;
    }
    return GOES_ON;
}

static outcome read_explicit_head(walk *w, element *e) {
    const unsigned char *b = w->in->data + w->in->at;
    const vr_kind kind = kind_of_vr(b + 4, e->tag);
    if (kind == VR_FORBIDDEN) return LOST;
    if (kind != VR_SHORT && !need(w->in, 12)) return ENDED;
    b = w->in->data + w->in->at;
    e->length =
        kind == VR_SHORT ? number(b + 6, 2, w->big_endian) : number(b + 8, 4, w->big_endian);
    w->in->at += kind == VR_SHORT ? 8 : 12;
    e->is_sequence = kind == VR_SEQUENCE || e->length == UNDEFINED;
    e->fragments = kind == VR_LONG && e->length == UNDEFINED;
    e->implicit = kind == VR_UNKNOWN; /* PS3.5, 6.2.2 */
    return GOES_ON;
}

static outcome read_head(walk *w, element *e) {
    const bool implicit = w->depth > 0 ? w->stack[w->depth - 1].implicit : w->implicit;
    if (!need(w->in, 8)) return ENDED;
    *e = (element){.tag = read_tag(w->in->data + w->in->at, w->big_endian)};
    return implicit ? read_implicit_head(w, e) : read_explicit_head(w, e);
}

/* Item, and the two delimiters. */
static outcome walk_delimiter(walk *w, uint32_t tag) {
    if (w->depth == 0) return LOST;
    if (!need(w->in, 8)) return ENDED;
    const uint32_t length = number(w->in->data + w->in->at + 4, 4, w->big_endian);
    const level top = w->stack[w->depth - 1];
    if (tag == ITEM) {
        if (top.is_item) return LOST;
        w->in->at += 8;
        if (count_element(w) == REFUSED) return REFUSED;
        if (top.fragments) return skip(w->in, length) ? GOES_ON : ENDED;
        return push(w, (level){.end = length == UNDEFINED ? -1 : position(w->in) + length,
                               .is_item = true,
                               .implicit = top.implicit});
    }
    if (top.is_item != (tag == ITEM_END)) return LOST;
    w->in->at += 8;
    if (!ends_as_said(w)) return LOST;
    pop(w);
    return GOES_ON;
}

static outcome walk_element(walk *w) {
    element e;
    outcome o = read_head(w, &e);
    if (o == GOES_ON) o = count_element(w);
    if (o != GOES_ON) return o;
    if (e.is_sequence)
        return push(w, (level){.end = e.length == UNDEFINED ? -1 : position(w->in) + e.length,
                               .implicit = e.implicit,
                               .fragments = e.fragments,
                               .guessed = e.guessed});
    return skip(w->in, e.length) ? GOES_ON : ENDED;
}

static outcome walk_next(walk *w) {
    while (w->depth > 0 && w->stack[w->depth - 1].end >= 0 &&
           w->stack[w->depth - 1].end <= position(w->in)) {
        if (!ends_as_said(w)) return LOST;
        pop(w);
    }
    if (!need(w->in, 4)) return ENDED;
    const uint32_t tag = read_tag(w->in->data + w->in->at, w->big_endian);
    if (tag == ITEM || tag == ITEM_END || tag == SEQUENCE_END) return walk_delimiter(w, tag);
    if (w->depth > 0 && !w->stack[w->depth - 1].is_item) return LOST;
    return walk_element(w);
}

/* How many item tags the rest has, of either byte order, at any position; counts no further than
 * one too many. */
static int64_t count_stray_items(source *in) {
    int64_t found = 0;
    while (found <= STRAY_ITEMS_MAX && need(in, 4)) {
        const unsigned char *b = in->data + in->at;
        found += read_tag(b, false) == ITEM || read_tag(b, true) == ITEM;
        in->at++;
    }
    return found;
}

/* Goes back to the begin of a data set that is not deflated. */
static bool go_back(source *in) {
    in->before = in->begin;
    in->have = in->at = 0;
    return lseek(in->fd, in->begin, SEEK_SET) == in->begin;
}

/* Walks until the end, or until the file is refused: then in->fault is set. */
static void walk_data_set(walk *w) {
    source *in = w->in;
    outcome o;
    do o = walk_next(w);
    while (o == GOES_ON);
    if (in->fault != ST_OK) return;
    w->ambiguous |= w->guesses > 0;
    bool unbounded = w->ambiguous && (in->deflated || !go_back(in));
    if (!unbounded) unbounded = count_stray_items(in) + w->items > STRAY_ITEMS_MAX;
    if (unbounded && in->fault == ST_OK)
        in->fault = status_fail(ST_INPUT,
                                "%s: the structure of its sequences cannot be followed, and they "
                                "may nest deeper than %d: refused",
                                in->path, DICOM_NESTING_MAX);
}

/* ---- the file ---- */

static status refuse_meta(const source *in, const char *why) {
    return status_fail(ST_INPUT, "%s: not a readable DICOM file: its file meta information %s",
                       in->path, why);
}

/* Whether the group of file meta information goes on; it ends at `end`, or, if that is -1, with the
 * last element of group 0002. */
static bool meta_goes_on(source *in, int64_t end) {
    if (!need(in, 4)) return false;
    return end >= 0 ? position(in) < end : read_tag(in->data + in->at, false) >> 16 == 2;
}

/* A UID of digits and dots, padded at its end only. DCMTK would accept more, and read the empty UID
 * as a transfer syntax of its own. */
static bool cut_padding(char *uid, size_t bytes) {
    while (bytes > 0 && (uid[bytes - 1] == '\0' || uid[bytes - 1] == ' ')) bytes--;
    uid[bytes] = '\0';
    return bytes > 0 && strspn(uid, "0123456789.") == bytes;
}

/* The value of a meta element; `end` and `uid` take what they need. */
static status read_meta_value(source *in, const element *e, bool first, int64_t *end, char *uid) {
    if (first && e->tag == GROUP_LENGTH && e->length > 0) {
        if (e->length != 4 || !need(in, 4)) return refuse_meta(in, "has no valid length");
        const uint32_t length = number(in->data + in->at, 4, false);
        if (length > META_MAX) return refuse_meta(in, "has no valid length");
        *end = position(in) + 4 + length;
    }
    if (e->tag == TRANSFER_SYNTAX && !*uid) {
        if (e->length > UID_MAX || !need(in, e->length))
            return refuse_meta(in, "names no valid transfer syntax");
        memcpy(uid, in->data + in->at, e->length);
        if (!cut_padding(uid, e->length)) return refuse_meta(in, "names no valid transfer syntax");
    }
    return skip(in, e->length) ? ST_OK : refuse_meta(in, "is cut");
}

/* The group of file meta information (PS3.10, 7.1): explicit, little endian; old programs wrote it
 * implicit. Sets what the data set behind it is encoded in. */
static status read_meta(source *in, walk *w, bool *deflated) {
    static const struct {
        const char *uid;
        bool implicit, big_endian, deflated;
    } encodings[] = {{"1.2.840.10008.1.2", true, false, false},
                     {"1.2.840.113619.5.2", true, false, false}, /* of GE: pixels are big endian */
                     {"1.2.840.10008.1.2.2", false, true, false},
                     {"1.2.840.10008.1.2.1.99", false, false, true},
                     {"1.2.840.10008.1.2.4.95", false, false, true}}; /* JPIP */
    char uid[UID_MAX + 1] = "";
    int64_t end = -1;
    bool first = true;
    if (need(in, 8)) w->implicit = !is_standard(in->data + in->at + 4);
    for (; meta_goes_on(in, end); first = false) {
        element e;
        if (!need(in, 8)) return refuse_meta(in, "is cut");
        const unsigned char *vr = in->data + in->at + 4;
        if (first && !w->implicit && read_tag(vr - 4, false) == GROUP_LENGTH &&
            memcmp(vr, "UL", 2) != 0)
            return refuse_meta(in, "has no valid length");
        if (read_head(w, &e) != GOES_ON || e.is_sequence || e.tag >= ITEM)
            return refuse_meta(in, "cannot be followed");
        status st = read_meta_value(in, &e, first, &end, uid);
        if (st != ST_OK) return st;
    }
    if (first) return refuse_meta(in, "is missing");
    w->implicit = w->big_endian = false;
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if (strcmp(uid, encodings[i].uid) == 0) {
            w->implicit = encodings[i].implicit;
            w->big_endian = encodings[i].big_endian;
            *deflated = encodings[i].deflated;
        }
    return ST_OK;
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

static status walk_file(source *in, int64_t *content) {
    status st = ST_OK;
    walk w = {.in = in};
    bool deflated = false;
    if (!need(in, PREAMBLE + 4) || memcmp(in->data + PREAMBLE, "DICM", 4) != 0)
        return in->fault != ST_OK
                   ? in->fault
                   : status_fail(ST_INPUT, "%s: not a DICOM file (no DICM prefix)", in->path);
    in->at = PREAMBLE + 4;
    TRY(read_meta(in, &w, &deflated));
    in->begin = position(in);
    if (deflated) TRY(begin_inflating(in));
    walk_data_set(&w);
    st = in->fault;
    *content = in->deflated ? in->before + in->have : in->file_bytes;
done:
    if (in->deflated) inflateEnd(&in->inflater);
    return in->fault != ST_OK ? in->fault : st;
}

status dicom_prescan(const char *path, int64_t *content) {
    status st = ST_OK;
    struct stat about;
    source *in = calloc(1, sizeof *in);
    *content = 0;
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
    st = walk_file(in, content);
done:
    if (in->fd >= 0) close(in->fd);
    free(in);
    return st;
}
