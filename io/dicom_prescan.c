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

#include "io/dicom_source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PREAMBLE = 128,
    META_MAX = 1 << 20,     /* bytes of file meta information */
    UID_MAX = 64,           /* characters */
    STRAY_ITEMS_MAX = 1000, /* item tags that the walk could not follow */
    STACK = 2 * DICOM_NESTING_MAX + 2
};

static const uint32_t ITEM = 0xfffee000, ITEM_END = 0xfffee00d, SEQUENCE_END = 0xfffee0dd,
                      GROUP_LENGTH = 0x00020000, TRANSFER_SYNTAX = 0x00020010,
                      PIXEL_DATA = 0x7fe00010, UNDEFINED = 0xffffffff;

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
    bool native;               /* Pixel Data has a length: it is not compressed */
    bool whole;                /* it ended behind an element of the data set itself */
    int64_t pixels_end;        /* behind Pixel Data of the data set itself; 0: not passed yet */
    dicom_layout *layout;
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
    if (w->guesses == 0 || end < 0 || end == source_position(w->in)) return true;
    w->ambiguous = true;
    return false;
}

/* An element or item more. DCMTK keeps an object of a few hundred bytes for each: a file cannot
 * hold many in few bytes unless it is deflated. */
static outcome count_element(walk *w) {
    const bool few = ++w->elements <= DICOM_ELEMENTS_FREE || w->elements <= w->in->file_bytes;
    if (few && w->elements <= DICOM_ELEMENTS_MAX) return GOES_ON;
    w->in->fault = status_fail(
        ST_INPUT, "%s: its %" PRId64 " bytes %s more than %" PRId64 " elements: refused",
        w->in->path, w->in->file_bytes, w->in->deflated ? "inflate to" : "hold", w->elements - 1);
    return REFUSED;
}

/* Refuses what claims more bytes than a file of this size can have. */
static outcome check_claim(walk *w, int64_t length) {
    enum { RATIO = 20 };
    source *in = w->in;
    if (length <= DICOM_CLAIM_FREE || length / RATIO <= in->file_bytes) return ENDED;
    in->fault = status_fail(
        ST_INPUT, "%s: a value claims %" PRId64 " bytes in a file of %" PRId64 ": refused",
        in->path, length, in->file_bytes);
    return REFUSED;
}

/* Passes over a value. One that is longer than the rest ends the walk. What follows the pixels may
 * be no data element, and is not read then, unless the data set is deflated. */
static outcome skip_value(walk *w, int64_t length) {
    source *in = w->in;
    const int64_t begin = source_position(in);
    if (source_skip(in, length)) return GOES_ON;
    const bool behind = w->pixels_end > 0 && w->pixels_end <= begin && !in->deflated;
    return in->fault != ST_OK || behind ? ENDED : check_claim(w, length);
}

/* Where the walk has ended: what was taken to be a sequence, but may be a value that is not there.
 */
static void check_guesses(walk *w) {
    if (w->pixels_end > 0 && !w->in->deflated) return; /* they lie behind the pixels */
    for (int k = 0; k < w->depth; k++)
        if (w->stack[k].guessed && w->stack[k].end >= 0 && w->in->fault == ST_OK)
            check_claim(w, w->stack[k].end - source_position(w->in));
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
    } else if (e->length > 0 && e->tag != PIXEL_DATA && source_need(w->in, 4)) {
        e->is_sequence = read_tag(w->in->data + w->in->at, w->big_endian) == ITEM;
        e->guessed = e->is_sequence;
    }
    return GOES_ON;
}

/* Whether the sequence with VR UN whose head of 12 bytes is next has items in explicit VR: the
 * first element of the first item would not fit if it were implicit, and is followed by another tag
 * if it is explicit. */
static bool has_explicit_items(walk *w) {
    enum { HEAD = 12, ITEM_HEAD = 8, FIRST = HEAD + ITEM_HEAD };
    source *in = w->in;
    if (in->deflated || w->layout->explicit_count == DICOM_EXPLICIT_ITEMS ||
        !source_need(in, FIRST + HEAD))
        return false;
    const unsigned char *item = in->data + in->at + HEAD, *b = item + ITEM_HEAD;
    const uint32_t room = number(item + 4, 4, w->big_endian), tag = read_tag(b, w->big_endian);
    if (read_tag(item, w->big_endian) != ITEM || !is_standard(b + 4) ||
        (room != UNDEFINED && (room < 8 || number(b + 4, 4, w->big_endian) <= room - 8)))
        return false;
    const bool is_short = kind_of_vr(b + 4, tag) == VR_SHORT;
    const int64_t length =
        is_short ? number(b + 6, 2, w->big_endian) : number(b + 8, 4, w->big_endian);
    const int64_t next = FIRST + (is_short ? 8 : 12) + length;
    if (next + 4 > SOURCE_BUFFER || !source_need(in, next + 4)) return false;
    const uint32_t follows = read_tag(in->data + in->at + next, w->big_endian);
    return follows > tag; /* in order, or a delimiter */
}

static outcome read_explicit_head(walk *w, element *e) {
    const unsigned char *b = w->in->data + w->in->at;
    const vr_kind kind = kind_of_vr(b + 4, e->tag);
    if (kind == VR_FORBIDDEN) return LOST;
    if (kind != VR_SHORT && !source_need(w->in, 12)) return ENDED;
    b = w->in->data + w->in->at;
    e->length =
        kind == VR_SHORT ? number(b + 6, 2, w->big_endian) : number(b + 8, 4, w->big_endian);
    e->implicit = kind == VR_UNKNOWN; /* PS3.5, 6.2.2 */
    if (e->length == UNDEFINED && is_one_of("UN ", b + 4) && has_explicit_items(w)) {
        w->layout->explicit_items[w->layout->explicit_count++] = source_position(w->in) + 4;
        e->implicit = false;
    }
    w->in->at += kind == VR_SHORT ? 8 : 12;
    e->is_sequence = kind == VR_SEQUENCE || e->length == UNDEFINED;
    e->fragments = kind == VR_LONG && e->length == UNDEFINED;
    return GOES_ON;
}

static outcome read_head(walk *w, element *e) {
    const bool implicit = w->depth > 0 ? w->stack[w->depth - 1].implicit : w->implicit;
    if (!source_need(w->in, 8)) return ENDED;
    *e = (element){.tag = read_tag(w->in->data + w->in->at, w->big_endian)};
    return implicit ? read_implicit_head(w, e) : read_explicit_head(w, e);
}

/* Item, and the two delimiters. */
static outcome walk_delimiter(walk *w, uint32_t tag) {
    if (w->depth == 0) return LOST;
    if (!source_need(w->in, 8)) return ENDED;
    const uint32_t length = number(w->in->data + w->in->at + 4, 4, w->big_endian);
    const level top = w->stack[w->depth - 1];
    if (tag == ITEM) {
        if (top.is_item) return LOST;
        w->in->at += 8;
        if (count_element(w) == REFUSED) return REFUSED;
        if (top.fragments) return skip_value(w, length);
        return push(w, (level){.end = length == UNDEFINED ? -1 : source_position(w->in) + length,
                               .is_item = true,
                               .implicit = top.implicit});
    }
    if (top.is_item != (tag == ITEM_END)) return LOST;
    w->in->at += 8;
    if (!ends_as_said(w)) return LOST;
    pop(w);
    if (w->depth == 0 && top.fragments && w->layout->pixels > 0)
        w->pixels_end = source_position(w->in);
    return GOES_ON;
}

/* Notes where Pixel Data begins and, if it has a length, ends. */
static void note_pixels(walk *w, const element *e, int64_t begin) {
    w->layout->pixels = begin;
    w->native = e->length != UNDEFINED;
    if (w->native) w->pixels_end = source_position(w->in) + e->length;
}

static outcome walk_element(walk *w) {
    element e;
    const int64_t begin = source_position(w->in);
    outcome o = read_head(w, &e);
    if (o == GOES_ON) o = count_element(w);
    if (o != GOES_ON) return o;
    if (w->depth == 0 && e.tag == PIXEL_DATA) note_pixels(w, &e, begin);
    if (e.is_sequence)
        return push(w,
                    (level){.end = e.length == UNDEFINED ? -1 : source_position(w->in) + e.length,
                            .implicit = e.implicit,
                            .fragments = e.fragments,
                            .guessed = e.guessed});
    return skip_value(w, e.length);
}

static outcome walk_next(walk *w) {
    while (w->depth > 0 && w->stack[w->depth - 1].end >= 0 &&
           w->stack[w->depth - 1].end <= source_position(w->in)) {
        if (!ends_as_said(w)) return LOST;
        pop(w);
    }
    if (!source_need(w->in, 4)) {
        w->whole = w->depth == 0 && w->in->have == w->in->at;
        return ENDED;
    }
    const uint32_t tag = read_tag(w->in->data + w->in->at, w->big_endian);
    if (w->depth == 0 && w->pixels_end > 0 && tag <= PIXEL_DATA && !w->in->deflated) return LOST;
    if (tag == ITEM || tag == ITEM_END || tag == SEQUENCE_END) return walk_delimiter(w, tag);
    if (w->depth > 0 && !w->stack[w->depth - 1].is_item) return LOST;
    return walk_element(w);
}

/* How many item tags the rest has, of either byte order, at any position; counts no further than
 * one too many. */
static int64_t count_stray_items(source *in) {
    int64_t found = 0;
    while (found <= STRAY_ITEMS_MAX && source_need(in, 4)) {
        const unsigned char *b = in->data + in->at;
        found += read_tag(b, false) == ITEM || read_tag(b, true) == ITEM;
        in->at++;
    }
    return found;
}

/* Walks until the end, or until the file is refused: then in->fault is set. */
static void walk_data_set(walk *w) {
    source *in = w->in;
    outcome o;
    do o = walk_next(w);
    while (o == GOES_ON);
    check_guesses(w);
    if (o == LOST && in->deflated && in->fault == ST_OK)
        in->fault = status_fail(ST_INPUT, "%s: its deflated data set cannot be followed: refused",
                                in->path);
    if (in->fault != ST_OK) return;
    w->ambiguous |= w->guesses > 0;
    bool unbounded = w->ambiguous && (in->deflated || !source_go_back(in));
    if (!unbounded) unbounded = count_stray_items(in) + w->items > STRAY_ITEMS_MAX;
    if (unbounded && in->fault == ST_OK)
        in->fault = status_fail(ST_INPUT,
                                "%s: the structure of its sequences cannot be followed, and they "
                                "may nest deeper than %d: refused",
                                in->path, DICOM_NESTING_MAX);
    if (w->pixels_end > 0 && w->pixels_end <= in->file_bytes && !in->deflated && !w->whole)
        w->layout->end = w->pixels_end; /* what follows is not read */
}

/* ---- the file ---- */

static status refuse_meta(const source *in, const char *why) {
    return status_fail(ST_INPUT, "%s: not a readable DICOM file: its file meta information %s",
                       in->path, why);
}

/* Whether the group of file meta information goes on; it ends at `end`, or, if that is -1, with the
 * last element of group 0002. */
static bool meta_goes_on(source *in, int64_t end) {
    if (!source_need(in, 4)) return false;
    return end >= 0 ? source_position(in) < end : read_tag(in->data + in->at, false) >> 16 == 2;
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
        if (e->length != 4 || !source_need(in, 4)) return refuse_meta(in, "has no valid length");
        const uint32_t length = number(in->data + in->at, 4, false);
        if (length > META_MAX) return refuse_meta(in, "has no valid length");
        *end = source_position(in) + 4 + length;
    }
    if (e->tag == TRANSFER_SYNTAX && !*uid) {
        if (e->length > UID_MAX || !source_need(in, e->length))
            return refuse_meta(in, "names no valid transfer syntax");
        memcpy(uid, in->data + in->at, e->length);
        if (!cut_padding(uid, e->length)) return refuse_meta(in, "names no valid transfer syntax");
    }
    return source_skip(in, e->length) ? ST_OK : refuse_meta(in, "is cut");
}

/* The group of file meta information (PS3.10, 7.1): explicit, little endian; old programs wrote it
 * implicit. Sets what the data set behind it is encoded in. */
static status read_meta(source *in, walk *w, char uid[UID_MAX + 1]) {
    int64_t end = -1;
    bool first = true;
    if (source_need(in, 8)) w->implicit = !is_standard(in->data + in->at + 4);
    for (; meta_goes_on(in, end); first = false) {
        element e;
        if (!source_need(in, 8)) return refuse_meta(in, "is cut");
        const unsigned char *vr = in->data + in->at + 4;
        if (first && !w->implicit && read_tag(vr - 4, false) == GROUP_LENGTH &&
            memcmp(vr, "UL", 2) != 0)
            return refuse_meta(in, "has no valid length");
        if (read_head(w, &e) != GOES_ON || e.is_sequence || e.tag >= ITEM)
            return refuse_meta(in, "cannot be followed");
        status st = read_meta_value(in, &e, first, &end, uid);
        if (st != ST_OK) return st;
    }
    return first ? refuse_meta(in, "is missing") : ST_OK;
}

/* ---- the encoding of the data set ---- */

typedef struct encoding {
    const char *uid, *name;
    bool implicit, big_endian, deflated;
} encoding;

static const encoding explicit_little = {"1.2.840.10008.1.2.1", "explicit VR little endian", 0, 0,
                                         0};

/* All others are explicit and little endian. */
static const encoding encodings[] = {
    {"1.2.840.10008.1.2", "implicit VR little endian", true, false, false},
    {"1.2.840.10008.1.2.2", "explicit VR big endian", false, true, false},
    {"1.2.840.113619.5.2", NULL, true, false, false}, /* of GE: pixels are big endian */
    {"1.2.840.10008.1.2.1.99", NULL, false, false, true},
    {"1.2.840.10008.1.2.4.95", NULL, false, false, true}, /* JPIP */
};
enum { ENCODINGS = sizeof encodings / sizeof *encodings };

static encoding encoding_of(const char *uid) {
    for (int i = 0; i < ENCODINGS; i++)
        if (strcmp(uid, encodings[i].uid) == 0) return encodings[i];
    return explicit_little;
}

/* Whether what comes next looks like the begin of a data set in this encoding: three elements from
 * group 8 on, in order, with lengths that fit. */
static bool looks_like(source *in, const encoding *e) {
    enum { LOOKED_AT = 3, HEAD = 12 };
    int64_t offset = 0;
    uint32_t before = 0;
    for (int i = 0; i < LOOKED_AT; i++) {
        if (!source_need(in, offset + HEAD)) return i > 0;
        const unsigned char *b = in->data + in->at + offset;
        const uint32_t tag = read_tag(b, e->big_endian);
        if (tag <= before || (i == 0 && tag >> 16 != 8)) return false;
        if (!e->implicit && !is_standard(b + 4)) return false;
        const bool is_short = !e->implicit && kind_of_vr(b + 4, tag) == VR_SHORT;
        const bool is_long = !e->implicit && !is_short;
        const uint32_t length = is_short ? number(b + 6, 2, e->big_endian)
                                         : number(b + (is_long ? 8 : 4), 4, e->big_endian);
        if (length == UNDEFINED) return i > 0 || !e->implicit;
        if (length > in->file_bytes - source_position(in) - offset) return false;
        offset += (is_long ? 12 : 8) + (int64_t)length;
        if (offset > SOURCE_BUFFER - HEAD) return i > 0;
        before = tag;
    }
    return true;
}

/* The encoding of the data set that comes next: what is said if it looks like that, else another
 * one that it looks like. NULL if none. */
static const encoding *guess_encoding(source *in, const encoding *said) {
    static const encoding *const all[] = {&encodings[0], &explicit_little, &encodings[1]};
    if (said && looks_like(in, said)) return said;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (looks_like(in, all[i])) return all[i];
    return NULL;
}

static bool is_compressed_syntax(const char *uid) {
    return strncmp(uid, "1.2.840.10008.1.2.4.", 20) == 0 ||
           strncmp(uid, "1.2.840.10008.1.2.5", 19) == 0;
}

/* What is said of the encoding: *uid, empty if nothing is said. Leaves `in` at the data set. */
static status read_begin(source *in, walk *w, char uid[UID_MAX + 1]) {
    const bool has_prefix =
        source_need(in, PREAMBLE + 4) && memcmp(in->data + PREAMBLE, "DICM", 4) == 0;
    w->layout->as_said = has_prefix;
    if (has_prefix) {
        in->at = PREAMBLE + 4;
        return read_meta(in, w, uid);
    }
    if (in->fault == ST_OK && source_need(in, 8) && read_tag(in->data + in->at, false) >> 16 == 2 &&
        is_standard(in->data + in->at + 4)) {
        w->layout->note = "no preamble";
        return read_meta(in, w, uid);
    }
    w->layout->note = "no file meta information: the transfer syntax was guessed";
    return in->fault;
}

/* Finds out how the data set is encoded that comes next. */
static status choose_encoding(source *in, walk *w, const char *uid, encoding *chosen) {
    dicom_layout *l = w->layout;
    const encoding said = encoding_of(uid);
    const bool sure = said.name == NULL || is_compressed_syntax(uid);
    const encoding *guess = sure ? &said : guess_encoding(in, uid[0] ? &said : NULL);
    if (in->fault != ST_OK) return in->fault;
    if (!guess && !uid[0])
        return status_fail(ST_INPUT, "%s: not a %s", in->path,
                           l->as_said
                               ? "readable DICOM file: no transfer syntax is named, and none "
                                 "can be guessed"
                               : "DICOM file (no DICM prefix)");
    *chosen = guess ? *guess : said;
    snprintf(l->syntax, sizeof l->syntax, "%s", guess && guess != &said ? guess->uid : uid);
    if (strcmp(l->syntax, uid) != 0) {
        l->as_said = false;
        if (uid[0])
            l->note = "the transfer syntax is not the one that is named";
        else if (!l->note)
            l->note = "no transfer syntax is named: it was guessed";
    }
    return ST_OK;
}

/* The transfer syntax names a compression, but Pixel Data has a length as plain pixels have. */
static void check_compression(const walk *w) {
    dicom_layout *l = w->layout;
    if (w->in->deflated || !w->native || !is_compressed_syntax(l->syntax)) return;
    l->as_said = false;
    snprintf(l->syntax, sizeof l->syntax, "%s", explicit_little.uid);
    l->note = "the pixels are not compressed as the transfer syntax says";
}

static status walk_file(source *in, dicom_layout *out) {
    status st = ST_OK;
    walk w = {.in = in, .layout = out};
    encoding e = explicit_little;
    char uid[UID_MAX + 1] = "";
    TRY(read_begin(in, &w, uid));
    TRY(choose_encoding(in, &w, uid, &e));
    w.implicit = e.implicit;
    w.big_endian = e.big_endian;
    out->begin = in->begin = source_position(in);
    out->end = in->file_bytes;
    if (e.deflated) TRY(source_begin_inflating(in));
    walk_data_set(&w);
    st = in->fault;
    check_compression(&w);
    out->content = in->deflated ? in->before + in->have : in->file_bytes;
    out->without_pixels = w.whole && out->pixels == 0;
    if (out->pixels == 0) out->pixels = out->end;
    if (out->explicit_count > 0) out->note = "an unknown sequence has items in explicit VR";
    if (out->end != in->file_bytes) out->note = "bytes after the pixels";
    if (out->explicit_count > 0 || out->end != in->file_bytes) out->as_said = false;
done:
    if (in->deflated) inflateEnd(&in->inflater);
    return in->fault != ST_OK ? in->fault : st;
}

status dicom_prescan(const char *path, dicom_layout *out) {
    status st = ST_OK;
    struct stat about;
    source *in = calloc(1, sizeof *in);
    *out = (dicom_layout){0};
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
    st = walk_file(in, out);
done:
    if (in->fd >= 0) close(in->fd);
    free(in);
    return st;
}
