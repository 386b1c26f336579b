/* Nesting and inflation are bounded before a parser sees a file, in every encoding of data sets;
 * what is sound passes. */
#include "io/dicom_prescan.h"
#include "tests/scratch.h"

#include <stdbool.h>
#include <zlib.h>

enum { ROOM = 1 << 22 };

typedef enum encoding { EXPLICIT, IMPLICIT, BIG, DEFLATED, ENCODINGS } encoding;

static const char *const syntaxes[] = {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2",
                                       "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"};

static unsigned char bytes[ROOM];
static int64_t used;

static void put(const void *data, int64_t n) {
    assert_true(used + n <= ROOM);
    memcpy(bytes + used, data, (size_t)n);
    used += n;
}

static void put_number(uint32_t value, int n, bool big) {
    unsigned char b[4];
    for (int i = 0; i < n; i++) b[big ? n - 1 - i : i] = (unsigned char)(value >> 8 * i);
    put(b, n);
}

static void put_tag(uint32_t tag, bool big) {
    put_number(tag >> 16, 2, big);
    put_number(tag & 0xffff, 2, big);
}

/* Tag, VR and length of an element. */
static void put_header(encoding e, uint32_t tag, const char *vr, uint32_t length) {
    const bool is_long = strstr("SQ OB OW UN", vr) != NULL, big = e == BIG;
    put_tag(tag, big);
    if (e == IMPLICIT) {
        put_number(length, 4, big);
        return;
    }
    put(vr, 2);
    if (is_long) put_number(0, 2, big);
    put_number(length, is_long ? 4 : 2, big);
}

static void begin_file(encoding e) {
    const char *uid = syntaxes[e];
    used = 0;
    memset(bytes, 0, 128);
    used = 128;
    put("DICM", 4);
    put_header(EXPLICIT, 0x00020010, "UI", (uint32_t)(strlen(uid) + 1) / 2 * 2);
    put(uid, (int64_t)(strlen(uid) + 1) / 2 * 2);
}

/* Deflates what lies behind `from`. */
static void deflate_from(int64_t from) {
    static unsigned char packed[ROOM];
    z_stream z = {.next_in = bytes + from,
                  .avail_in = (uInt)(used - from),
                  .next_out = packed,
                  .avail_out = ROOM};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    used = from;
    put(packed, (int64_t)z.total_out);
    deflateEnd(&z);
}

static status scan(void) {
    dicom_layout layout;
    put_file(in_home("scan.dcm"), bytes, used);
    return dicom_prescan(in_home("scan.dcm"), &layout);
}

/* `depth` sequences of one item each, one inside the other, of undefined length. */
static void put_nested(encoding e, int depth) {
    for (int i = 0; i < depth; i++) {
        put_header(e, 0x00081140, "SQ", 0xffffffff);
        put_tag(0xfffee000, e == BIG);
        put_number(0xffffffff, 4, e == BIG);
    }
    for (int i = 0; i < depth; i++) {
        put_tag(0xfffee00d, e == BIG);
        put_number(0, 4, e == BIG);
        put_tag(0xfffee0dd, e == BIG);
        put_number(0, 4, e == BIG);
    }
}

/* The same with the length of every sequence and item. */
static void put_nested_sized(encoding e, int depth) {
    const uint32_t head = e == IMPLICIT ? 8 : 12;
    for (int i = depth - 1; i >= 0; i--) {
        put_header(e, 0x00081140, "SQ", 8 + (uint32_t)i * (8 + head));
        put_tag(0xfffee000, e == BIG);
        put_number((uint32_t)i * (8 + head), 4, e == BIG);
    }
}

static void nesting_is_bounded(void **state) {
    (void)state;
    for (int e = 0; e < ENCODINGS; e++)
        for (int sized = 0; sized < 2; sized++)
            for (int depth = DICOM_NESTING_MAX - 1; depth <= DICOM_NESTING_MAX + 1; depth++) {
                begin_file(e);
                int64_t from = used;
                (sized ? put_nested_sized : put_nested)(e == DEFLATED ? EXPLICIT : e, depth);
                if (e == DEFLATED) deflate_from(from);
                status st = scan();
                if (depth <= DICOM_NESTING_MAX) {
                    assert_ok(st);
                } else {
                    assert_int_equal(st, ST_INPUT);
                    assert_says("scan.dcm");
                    assert_says("nest more than 32 deep");
                }
            }
}

/* The file that overflowed the stack: 5,700 levels in 125 KB. Also inside an element of unknown VR,
 * whose content is implicit, and behind the pixels. */
static void deep_files_are_refused(void **state) {
    (void)state;
    begin_file(EXPLICIT);
    put_nested(EXPLICIT, 5700);
    assert_int_equal(scan(), ST_INPUT);
    begin_file(EXPLICIT);
    put_header(EXPLICIT, 0x00091010, "UN", 0xffffffff);
    put_tag(0xfffee000, false), put_number(0xffffffff, 4, false);
    put_nested(IMPLICIT, 5700);
    assert_int_equal(scan(), ST_INPUT);
    begin_file(EXPLICIT);
    put_header(EXPLICIT, 0x7fe00010, "OW", 8), put("12345678", 8);
    put_nested(EXPLICIT, 5700);
    assert_int_equal(scan(), ST_INPUT);
}

/* Where the walk loses its way the number of item tags bounds the nesting. */
static void lost_walks_are_bounded_too(void **state) {
    (void)state;
    for (int many = 0; many < 2; many++) {
        begin_file(EXPLICIT);
        put_tag(0xfffee00d, false), put_number(0, 4, false); /* the end of no item */
        put_nested(EXPLICIT, many ? 5700 : 20);
        assert_int_equal(scan(), many ? ST_INPUT : ST_OK);
        if (many) assert_says("cannot be followed");
    }
}

/* A value that a simple walk would take to be 64 KiB and more long, while DCMTK takes it to be
 * short or a sequence and parses the nested sequences that follow. */
static void put_hiding_place(int trick) {
    switch (trick) {
    case 0: /* a VR of the future has a length of 4 bytes */
        put_tag(0x00080008, false), put("ZZ\xff\xff", 4), put_number(0, 4, false);
        break;
    case 1: /* so has DCMTK's own "ox" */
        put_tag(0x00080008, false), put("ox\xff\xff", 4), put_number(0, 4, false);
        break;
    case 2: /* an item that is longer than its sequence; the tag of the next element is a length */
        put_header(IMPLICIT, 0x00081140, "SQ", 2);
        put_tag(0xfffee000, false), put_number(0xffffffff, 4, false);
        break;
    case 3: /* a private value that only begins like a sequence */
        put_header(IMPLICIT, 0x00091010, "UN", 16);
        put_tag(0xfffee000, false), put_number(0xffffffff, 4, false);
        put_tag(0x00080008, false), put_number(0x00080000, 4, false);
        break;
    case 4: /* a fragment of pixels */
        put_header(IMPLICIT, 0x7fe00010, "OB", 0xffffffff);
        put_tag(0xfffee000, false), put_number(8, 4, false);
        put_tag(0x00080008, false), put_number(0x00080000, 4, false);
        put_tag(0xfffee0dd, false), put_number(0, 4, false);
        break;
    case 5: /* a value that leaves the file */
        put_header(EXPLICIT, 0x00091010, "OB", 0xffffffff);
        put_tag(0xfffee000, false), put_number(0xffffffff, 4, false);
        break;
    }
}

static void nothing_hides_from_the_walk(void **state) {
    (void)state;
    static unsigned char padding[1 << 20];
    for (int trick = 0; trick <= 5; trick++) {
        const encoding e = trick >= 2 && trick <= 4 ? IMPLICIT : EXPLICIT;
        begin_file(e);
        put_hiding_place(trick);
        put_nested(e, 5700);
        put(padding, sizeof padding);
        if (scan() != ST_INPUT) fail_msg("trick %d", trick);
        assert_says("scan.dcm: ");
    }
}

/* File meta information that DCMTK would read otherwise than the walk. */
static void meta_information_is_plain(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "1.2.840.10008.1.2 1", "Little Endian Implicit",
                                        " 1.2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const uint32_t length = (uint32_t)(strlen(wrong[i]) + 2) / 2 * 2;
        char padded[64] = "";
        memcpy(padded, wrong[i], strlen(wrong[i]));
        begin_file(EXPLICIT);
        used = 132;
        put_header(EXPLICIT, 0x00020010, "UI", length), put(padded, length);
        if (scan() != ST_INPUT) fail_msg("'%s'", wrong[i]);
        assert_says("no valid transfer syntax");
    }
    for (int sized = 0; sized < 2; sized++) {
        begin_file(EXPLICIT); /* nested in the meta information */
        put_header(EXPLICIT, 0x00020102, "SQ", sized ? 5700 * 20 : 0xffffffff);
        (sized ? put_nested_sized : put_nested)(EXPLICIT, 5700);
        assert_int_equal(scan(), ST_INPUT);
        assert_says("file meta information cannot be followed");
    }
    begin_file(EXPLICIT);
    used = 132;
    put_header(EXPLICIT, 0x00020000, "UL", 4), put_number(0xfffffff3, 4, false);
    assert_int_equal(scan(), ST_INPUT);
    assert_says("no valid length");
    begin_file(EXPLICIT);
    used = 132;
    assert_int_equal(scan(), ST_INPUT);
    assert_says("is missing");
    used = 132; /* DCMTK would take the missing name for one of its own */
    put_header(EXPLICIT, 0x00020010, "UI", 0);
    put_nested(EXPLICIT, 20);
    assert_int_equal(scan(), ST_INPUT);
    assert_says("valid transfer syntax");
    used = 132;
    put_header(EXPLICIT, 0x00020013, "SH", 2), put("1 ", 2);
    put_header(EXPLICIT, 0x00180050, "DS", 2), put("1 ", 2);
    assert_int_equal(scan(), ST_INPUT);
    assert_says("no transfer syntax is named");
    begin_file(IMPLICIT); /* old programs */
    used = 132;
    put_header(IMPLICIT, 0x00020010, "UI", 18), put("1.2.840.10008.1.2", 18);
    put_nested(IMPLICIT, 20);
    assert_ok(scan());
}

/* Both transfer syntaxes that are deflated; many small elements in few bytes. */
static void elements_are_bounded(void **state) {
    (void)state;
    enum { MANY = DICOM_ELEMENTS_FREE + 1, PIECE = 10000 };
    static unsigned char elements[PIECE * 8], packed[ROOM];
    for (int i = 0; i < PIECE; i++) memcpy(elements + 8 * i, "\x09\0\x10\x10LO\0\0", 8);
    z_stream z = {.next_out = packed, .avail_out = ROOM};
    begin_file(DEFLATED);
    memcpy(bytes + used - 22, "1.2.840.10008.1.2.4.95", 22);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    for (int i = 0; i < MANY; i += PIECE) {
        z.next_in = elements, z.avail_in = sizeof elements;
        deflate(&z, i + PIECE < MANY ? Z_NO_FLUSH : Z_FINISH);
    }
    put(packed, (int64_t)z.total_out);
    deflateEnd(&z);
    assert_int_equal(scan(), ST_INPUT);
    assert_says("inflate to more than 1000000 elements");
}

/* Thousands of items side by side, pixel fragments whose bytes look like items, a cut file. */
static void sound_files_pass(void **state) {
    (void)state;
    begin_file(EXPLICIT);
    put_header(EXPLICIT, 0x52009230, "SQ", 0xffffffff);
    for (int i = 0; i < 5000; i++) {
        put_tag(0xfffee000, false), put_number(0xffffffff, 4, false);
        put_nested_sized(EXPLICIT, 3);
        put_tag(0xfffee00d, false), put_number(0, 4, false);
    }
    put_tag(0xfffee0dd, false), put_number(0, 4, false);
    put_header(EXPLICIT, 0x7fe00010, "OB", 0xffffffff);
    put_tag(0xfffee000, false), put_number(0, 4, false);
    for (int k = 0; k < 3; k++) {
        put_tag(0xfffee000, false), put_number(8000, 4, false);
        for (int i = 0; i < 1000; i++) put_tag(0xfffee000, false), put_number(0xffffffff, 4, false);
    }
    put_tag(0xfffee0dd, false), put_number(0, 4, false);
    put_header(EXPLICIT, 0xfffcfffc, "OB", 4), put("\0\0\0\0", 4);
    assert_ok(scan());
    for (int cut = 0; cut < 200; cut++) {
        used -= 37;
        assert_ok(scan());
    }
    put_file(in_home("text"), "no DICOM at all", 15);
    dicom_layout layout;
    assert_int_equal(dicom_prescan(in_home("text"), &layout), ST_INPUT);
    assert_says("no DICM prefix");
    assert_int_equal(dicom_prescan(in_home("none"), &layout), ST_INPUT);
    assert_says("cannot open");
}

/* A megabyte of deflated zeros inflates to a gigabyte; a few hundred megabytes may. */
static void inflation_is_bounded(void **state) {
    (void)state;
    enum { MIB = 1 << 20 };
    static unsigned char zeros[MIB], packed[ROOM];
    const int sizes[] = {200, 400};
    for (int k = 0; k < 2; k++) {
        z_stream z = {.next_out = packed, .avail_out = ROOM};
        begin_file(DEFLATED);
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
        unsigned char header[12] = {0xe0, 0x7f, 0x10, 0x00, 'O', 'W', 0, 0};
        uint32_t length = (uint32_t)sizes[k] * MIB;
        memcpy(header + 8, &length, 4);
        z.next_in = header, z.avail_in = 12;
        deflate(&z, Z_NO_FLUSH);
        for (int i = 0; i < sizes[k]; i++) {
            z.next_in = zeros, z.avail_in = MIB;
            assert_int_equal(deflate(&z, i + 1 < sizes[k] ? Z_NO_FLUSH : Z_FINISH),
                             i + 1 < sizes[k] ? Z_OK : Z_STREAM_END);
        }
        put(packed, (int64_t)z.total_out);
        deflateEnd(&z);
        assert_int_equal(scan(), k == 0 ? ST_OK : ST_INPUT);
        if (k == 1) assert_says("inflate to more than");
    }
}

/* A value that is not there: as long as a cut file may claim, and longer; also of pixels, of a
 * fragment, of what is no element behind the pixels, and of what only looks like a sequence. */
static void claims_are_bounded(void **state) {
    (void)state;
    const uint32_t small = DICOM_CLAIM_FREE, large = DICOM_CLAIM_FREE + 2;
    for (int e = EXPLICIT; e <= BIG; e++) {
        begin_file((encoding)e);
        put_header((encoding)e, 0x00091010, "OB", small);
        assert_ok(scan());
        begin_file((encoding)e);
        put_header((encoding)e, 0x00091010, "OB", large);
        assert_int_equal(scan(), ST_INPUT);
        assert_says("claims 268435458 bytes");
        begin_file((encoding)e);
        put_header((encoding)e, 0x7fe00010, "OW", large);
        assert_int_equal(scan(), ST_INPUT);
        begin_file((encoding)e);
        put_header((encoding)e, 0x7fe00010, "OW", 4), put_number(0, 4, false);
        put_header((encoding)e, 0x7fe10010, "OB", large);
        assert_ok(scan());
    }
    begin_file(EXPLICIT);
    put_header(EXPLICIT, 0x7fe00010, "OB", 0xffffffff);
    put_tag(0xfffee000, false), put_number(large, 4, false);
    assert_int_equal(scan(), ST_INPUT);
    for (int k = 0; k < 2; k++) { /* a value that looks like a sequence */
        begin_file(IMPLICIT);
        put_header(IMPLICIT, 0x00091010, "OB", k ? 2 * large : small);
        put_tag(0xfffee000, false), put_number(8, 4, false), put("\0\0\0\0\0\0\0\0", 8);
        assert_int_equal(scan(), k ? ST_INPUT : ST_OK);
        if (k) assert_says("a value claims");
    }
}

/* DCMTK reads a deflated data set to its end, and allocates what is claimed there: also behind the
 * pixels, and behind what is in no order. A claim that a cut file may make, and padding, pass. */
static void deflated_claims_are_bounded(void **state) {
    (void)state;
    const uint32_t sizes[] = {DICOM_CLAIM_FREE, 2700000000u};
    for (int trick = 0; trick < 4; trick++)
        for (int k = 0; k < 2; k++) {
            begin_file(DEFLATED);
            const int64_t from = used;
            put_header(EXPLICIT, 0x00080060, "CS", 4), put("SEG ", 4);
            if (trick == 1 || trick == 2) put_header(EXPLICIT, 0x7fe00010, "OB", 4), put("1234", 4);
            if (trick == 2) put("\0\0\0\0\0\0\0\0", 8);
            if (trick == 3) put_tag(0xfffee0dd, false), put_number(0, 4, false);
            put_header(EXPLICIT, trick == 1 ? 0x7fe10010 : 0x00091020, "OB", sizes[k]);
            put("8 bytes.", 8);
            deflate_from(from);
            const bool sound = k == 0 && trick < 3;
            if (scan() != (sound ? ST_OK : ST_INPUT))
                fail_msg("trick %d, %d: %s", trick, k, status_message());
            if (sound) continue;
            assert_says("scan.dcm: ");
            assert_says(trick < 3 ? "a value claims 2700000000 bytes" : "cannot be followed");
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_is_bounded),         cmocka_unit_test(deep_files_are_refused),
        cmocka_unit_test(lost_walks_are_bounded_too), cmocka_unit_test(sound_files_pass),
        cmocka_unit_test(inflation_is_bounded),       cmocka_unit_test(nothing_hides_from_the_walk),
        cmocka_unit_test(meta_information_is_plain),  cmocka_unit_test(elements_are_bounded),
        cmocka_unit_test(claims_are_bounded),         cmocka_unit_test(deflated_claims_are_bounded),
    };
    if (!begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return end_scratch() ? failed : 1;
}
