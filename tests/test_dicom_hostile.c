/* DICOM files with false, missing or damaged content: reading every one of them ends with a status
 * whose message names the file. */
#include "io/alloc.h"
#include "io/dicom.h"
#include "tests/scratch.h"
#include "tests/seg_case.h"

#include <sys/resource.h>
#include <zlib.h>

enum { SIDE = 16, DEPTH = 3, PIXELS = SIDE * SIDE, VOXELS = DEPTH * PIXELS, FUZZ = 300 };

static geometry small_space(void) {
    return (geometry){.shape = {DEPTH, SIDE, SIDE},
                      .spacing = {2, 1, 1},
                      .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
}

static status read_all(const char *path, int16_t *hu) {
    status st;
    dicom_header h;
    TRY(dicom_read_header(path, &h));
    if (h.kind == DICOM_CT && h.rows == SIDE && h.columns == SIDE) TRY(dicom_read_ct(&h, hu));
done:
    return st;
}

/* Changes a copy of ct-0000.dcm by dcmodify and expects ST_INPUT that names file and reason. */
static void assert_refused(const char *change, const char *reason) {
    char command[3 * PATH_SIZE];
    int16_t hu[PIXELS];
    const char *path = in_home("changed.dcm");
    snprintf(command, sizeof command, "cp %s %s && dcmodify -q -nb -imt %s %s",
             in_home("ct-0000.dcm"), path, change, path);
    assert_int_equal(system(command), 0);
    status st = read_all(path, hu);
    if (st != ST_INPUT) fail_msg("%s: status %d", change, (int)st);
    assert_says("changed.dcm");
    assert_says(reason);
}

static void lacking_and_lying_headers(void **state) {
    (void)state;
    assert_refused("-ea '(0020,0032)'", "ImagePositionPatient (0020,0032)");
    assert_refused("-ea '(0020,0037)'", "ImageOrientationPatient (0020,0037)");
    assert_refused("-ea '(0028,0030)'", "PixelSpacing (0028,0030)");
    assert_refused("-ea '(0028,1052)'", "RescaleIntercept (0028,1052)");
    assert_refused("-ea '(0028,1053)'", "RescaleSlope (0028,1053)");
    assert_refused("-ea '(0028,0010)'", "Rows (0028,0010)");
    assert_refused("-ea '(7fe0,0010)'", "PixelData (7fe0,0010)");
    assert_refused("-m '(0028,0010)=0'", "must be at least 1");
    assert_refused("-m '(0028,0030)=0\\1'", "must be positive");
    assert_refused("-m '(0028,0030)=1'", "has 1 values where 2 are needed");
    assert_refused("-m '(0020,0032)=0\\0\\here'", "value 3, is not a number: 'here'");
    assert_refused("-m '(0020,0037)=1\\0\\0\\1\\0\\0'", "right angles");
    assert_refused("-m '(0028,1053)=0'", "RescaleSlope (0028,1053) is 0");
    assert_refused("-m '(0028,0100)=32'", "Bits Allocated 32");
    assert_refused("-m '(0028,0101)=17'", "Bits Stored 17");
    assert_refused("-m '(0028,0102)=3'", "High Bit 3");
    assert_refused("-m '(0028,0002)=3'", "1 sample a pixel");
    assert_refused("-i '(0028,0008)=2'", "1 frame");
    assert_refused("-m '(0008,0016)=1.2.840.10008.5.1.4.1.1.2.1'",
                   "PerFrameFunctionalGroupsSequence (5200,9230) has 0 items");
}

/* ---- memory ---- */

enum { MIB = 1 << 20, MEMORY_MAX = 50 * MIB };

static int64_t peak_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss * INT64_C(1024);
}

/* What a child process found out. */
typedef struct outcome {
    status st;
    int64_t bytes; /* by which the peak of its memory rose */
    char message[1024];
} outcome;

/* Runs read_file(path) in a child process. A crash fails the test. */
static outcome run_apart(status (*read_file)(const char *path), const char *path) {
    outcome o = {0};
    int pipes[2], code = 0;
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int64_t before = peak_bytes();
        o.st = read_file(path);
        o.bytes = peak_bytes() - before;
        snprintf(o.message, sizeof o.message, "%s", status_message());
        _exit(write(pipes[1], &o, sizeof o) == sizeof o ? 0 : 1);
    }
    close(pipes[1]);
    if (read(pipes[0], &o, sizeof o) != sizeof o) fail_msg("%s: the reader crashed", path);
    close(pipes[0]);
    assert_int_equal(waitpid(child, &code, 0), child);
    return o;
}

static status read_header(const char *path) {
    dicom_header h;
    return dicom_read_header(path, &h);
}

/* Reads pixels whatever the header says: a program might have it from elsewhere. */
static status read_pixels(const char *path, int64_t rows, int64_t columns) {
    static int16_t little[PIXELS];
    dicom_header h = {.rows = rows, .columns = columns, .kind = DICOM_CT};
    snprintf(h.path, sizeof h.path, "%s", path);
    return dicom_read_ct(&h, little);
}

static status read_small_ct(const char *path) { return read_pixels(path, SIDE, SIDE); }
static status read_large_ct(const char *path) { return read_pixels(path, 30000, 30000); }
static status read_2000_ct(const char *path) { return read_pixels(path, 2000, 2000); }

static status read_seg(const char *path) {
    static uint8_t labels[VOXELS];
    geometry space = small_space();
    const seg_target to = {&space, "", 0.5};
    label_set set = {0};
    return seg_read(path, &to, &set, labels);
}

static status read_seg_labels(const char *path) {
    label_set set = {0};
    return seg_labels(path, &set);
}

static void assert_cheaply_refused(status (*read_file)(const char *path), const char *path,
                                   const char *reason) {
    const outcome o = run_apart(read_file, path);
    if (o.st != ST_INPUT) fail_msg("%s: status %d", path, (int)o.st);
    if (!strstr(o.message, path) || !strstr(o.message, reason))
        fail_msg("\"%s\" lacks \"%s\"", o.message, reason);
    if (o.bytes > MEMORY_MAX) fail_msg("%s: %d MiB", o.message, (int)(o.bytes / MIB));
}

static void shell(const char *format, ...) {
    char command[4 * PATH_SIZE];
    int length = snprintf(command, sizeof command, "cd %s && ", home);
    va_list list;
    va_start(list, format);
    vsnprintf(command + length, sizeof command - (size_t)length, format, list);
    va_end(list);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

/* Slices of 1.6 KB, compressed or not, that claim 30,000 x 30,000 pixels. */
static void claims_that_the_bytes_belie(void **state) {
    (void)state;
    static const char *const tools[] = {"cp", "dcmcrle", "dcmcjpeg +e1", "dcmcjpls +el"};
    for (size_t t = 0; t < sizeof tools / sizeof *tools; t++) {
        shell("%s ct-0000.dcm huge.dcm && "
              "dcmodify -q -nb -imt -m '(0028,0010)=30000' -m '(0028,0011)=30000' huge.dcm",
              tools[t]);
        const char *path = in_home("huge.dcm");
        assert_cheaply_refused(read_header, path, "it claims 1 frame of 30000 x 30000 pixels");
        assert_cheaply_refused(read_large_ct, path,
                               t == 0 ? "the pixel array is cut: 512 bytes of 1800000000"
                                      : "it claims 1 frame of 30000 x 30000 pixels");
        /* 8 MB are allowed, but not there. */
        shell("dcmodify -q -nb -imt -m '(0028,0010)=2000' -m '(0028,0011)=2000' huge.dcm");
        assert_cheaply_refused(read_2000_ct, path, "huge.dcm: ");
    }
}

/* A frame header (T.81 B.2.2, T.87 C.2.2) inside of the stream that claims 65,500 x 65,500, and a
 * smaller one, which would leave pixels unset. 0xc1 and 0xc2: sequential and progressive, for which
 * the decoder allocates coefficients of all pixels. */
static void streams_of_another_size(void **state) {
    (void)state;
    static const char *const tools[] = {"dcmcjpeg +e1", "dcmcjpeg +ee", "dcmcjpls +el"};
    static const unsigned char markers[] = {0xc3, 0xc1, 0xf7};
    static const uint16_t sides[] = {65500, 8};
    for (size_t t = 0; t < sizeof tools / sizeof *tools; t++)
        for (int i = 0; i < 4; i++) {
            const unsigned char begin[] = {0xff, markers[t], 0};
            const uint16_t side = sides[i / 2];
            char *data = NULL;
            int64_t bytes = 0;
            shell("%s ct-0000.dcm stream.dcm", tools[t]);
            assert_ok(read_small_ct(in_home("stream.dcm")));
            assert_ok(file_read(in_home("stream.dcm"), 1 << 20, &data, &bytes));
            char *frame = memmem(data, (size_t)bytes, begin, sizeof begin);
            assert_non_null(frame);
            if (i % 2 && t == 1) frame[1] = (char)0xc2;
            frame[5] = frame[7] = (char)(side >> 8);
            frame[6] = frame[8] = (char)side;
            put_file(in_home("stream.dcm"), data, bytes);
            free(data);
            assert_cheaply_refused(read_small_ct, in_home("stream.dcm"),
                                   "damaged, or not 16 x 16 as the header says");
        }
}

/* Constant images compress best, and are read. Fragments of 1 KiB split streams anywhere. */
static void constant_images_are_read(void **state) {
    (void)state;
    enum { LARGE = 512 };
    static const char *const tools[] = {"cp",           "dcmcrle",      "dcmcjpeg +e1",
                                        "dcmcjpeg +el", "dcmcjpls +el", "dcmcjpeg +e1 +fs 1",
                                        "dcmconv +td"};
    static const dicom_identity who = {
        .patient_id = "CONSTANT", .description = "a test", .seed_text = "constant"};
    volume v = {.space = {.shape = {2, LARGE, LARGE},
                          .spacing = {2, 1, 1},
                          .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}}};
    assert_ok(volume_alloc(&v));
    for (int i = 0; i < 2 * LARGE * LARGE; i++) v.hu[i] = -1000;
    assert_ok(dicom_write_volume(in_home("constant"), &who, &v, NULL));
    for (size_t t = 0; t < sizeof tools / sizeof *tools; t++) {
        dicom_header h;
        shell("%s constant/ct-0000.dcm constant/packed.dcm", tools[t]);
        assert_ok(dicom_read_header(in_home("constant/packed.dcm"), &h));
        assert_int_equal(h.compressed, t > 0);
        memset(v.hu, 0, LARGE * LARGE * sizeof *v.hu);
        assert_ok(dicom_read_ct(&h, v.hu));
        for (int i = 0; i < LARGE * LARGE; i++)
            if (v.hu[i] != -1000) fail_msg("%s: pixel %d is %d", tools[t], i, v.hu[i]);
    }
    volume_free(&v);
}

/* A SEG whose frames, rows or columns do not fit in its bytes. */
static void segmentations_that_claim_too_much(void **state) {
    (void)state;
    static const char *const changes[] = {"-m '(0028,0008)=2147483647'", "-m '(0028,0008)=5000'",
                                          "-m '(0028,0010)=65535' -m '(0028,0011)=65535'",
                                          "-m '(0028,0100)=65535'"};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        shell("cp seg.dcm claim.dcm && dcmodify -q -nb -imt %s claim.dcm", changes[i]);
        assert_cheaply_refused(read_header, in_home("claim.dcm"), "it claims ");
        assert_cheaply_refused(read_seg, in_home("claim.dcm"), "claim.dcm: ");
    }
    /* As many frames as items, but not as many bits. */
    shell("cp seg.dcm claim.dcm && dcmodify -q -nb -imt -m '(7fe0,0010)=01\\02' claim.dcm");
    assert_cheaply_refused(read_seg, in_home("claim.dcm"), "bytes, but has only 2 bytes");
}

/* ---- structure ---- */

/* home/name with `bytes` bytes of `extra` before its pixels. */
static void insert_before_pixels(const char *name, const char *out, const void *extra,
                                 int64_t extra_bytes) {
    char *data = NULL, *all = NULL;
    int64_t bytes = 0;
    assert_ok(file_read(in_home(name), 1 << 20, &data, &bytes));
    char *pixels = memmem(data, (size_t)bytes, "\xe0\x7f\x10\x00O", 5);
    assert_non_null(pixels);
    assert_ok(array_alloc(&all, bytes + extra_bytes, 1, "a file"));
    const int64_t before = pixels - data;
    memcpy(all, data, (size_t)before);
    memcpy(all + before, extra, (size_t)extra_bytes);
    memcpy(all + before + extra_bytes, pixels, (size_t)(bytes - before));
    put_file(in_home(out), all, bytes + extra_bytes);
    free(data);
    free(all);
}

/* 5,700 levels of undefined length in 114 KB overflowed the stack of the parser. */
static void nested_sequences_are_refused(void **state) {
    (void)state;
    enum { LEVELS = 5700, LEVEL = 20 };
    static char levels[LEVELS * LEVEL];
    for (int i = 0; i < LEVELS; i++)
        memcpy(levels + i * LEVEL,
               "\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff", LEVEL);
    insert_before_pixels("ct-0000.dcm", "deep.dcm", levels, sizeof levels);
    insert_before_pixels("seg.dcm", "deep-seg.dcm", levels, sizeof levels);
    const char *ct = in_home("deep.dcm"), *seg = in_home("deep-seg.dcm");
    static const char reason[] = "its sequences nest more than 32 deep: refused";
    assert_cheaply_refused(read_header, ct, reason);
    assert_cheaply_refused(read_small_ct, ct, reason);
    assert_cheaply_refused(read_header, seg, reason);
    assert_cheaply_refused(read_seg, seg, reason);
    assert_cheaply_refused(read_seg_labels, seg, reason);
}

/* Half a MB that inflates to 560 MB of pixels. */
static void inflation_is_refused(void **state) {
    (void)state;
    enum { INFLATED = 560 };
    static unsigned char zeros[MIB], packed[MIB];
    static const char head[] = "\x02\0\x10\0UI\x16\0"
                               "1.2.840.10008.1.2.1.99";
    unsigned char pixels[12] = {0xe0, 0x7f, 0x10, 0, 'O', 'W'};
    const uint32_t length = INFLATED * MIB;
    memcpy(packed + 128, "DICM", 4);
    memcpy(packed + 132, head, sizeof head - 1);
    const int64_t begin = 132 + sizeof head - 1;
    z_stream z = {.next_out = packed + begin, .avail_out = (uInt)(sizeof packed - begin)};
    memcpy(pixels + 8, &length, 4);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = pixels, z.avail_in = sizeof pixels;
    deflate(&z, Z_NO_FLUSH);
    for (int i = 0; i < INFLATED; i++) {
        z.next_in = zeros, z.avail_in = MIB;
        deflate(&z, i + 1 < INFLATED ? Z_NO_FLUSH : Z_FINISH);
    }
    put_file(in_home("inflates.dcm"), packed, begin + (int64_t)z.total_out);
    deflateEnd(&z);
    assert_cheaply_refused(read_header, in_home("inflates.dcm"), "inflate to more than 268435456");
    assert_cheaply_refused(read_small_ct, in_home("inflates.dcm"), "inflate to more than");
    assert_cheaply_refused(read_seg, in_home("inflates.dcm"), "inflate to more than");
}

static void other_kinds(void **state) {
    (void)state;
    static const char *changes[] = {
        "-m '(0008,0008)=ORIGINAL\\PRIMARY\\LOCALIZER' -ea '(0020,0032)'",
        "-m '(0008,0016)=1.2.840.10008.5.1.4.1.1.4'", /* MR */
        "-m '(0028,1054)=ED'",                        /* electron density */
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char command[3 * PATH_SIZE];
        dicom_header h;
        snprintf(command, sizeof command, "cp %s %s && dcmodify -q -nb -imt %s %s",
                 in_home("ct-0000.dcm"), in_home("other.dcm"), changes[i], in_home("other.dcm"));
        assert_int_equal(system(command), 0);
        assert_ok(dicom_read_header(in_home("other.dcm"), &h));
        assert_int_equal(h.kind, DICOM_OTHER);
    }
}

static void not_dicom(void **state) {
    (void)state;
    static const struct {
        const char *name, *content;
        int64_t bytes;
    } files[] = {{"empty", "", 0},
                 {"notes.txt", "HU of patient 1\n", 16},
                 {"one-byte", "D", 1},
                 {"picture.png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16}};
    dicom_header h;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_ok(file_write_atomic(in_home(files[i].name), files[i].content, files[i].bytes));
        assert_int_equal(dicom_read_header(in_home(files[i].name), &h), ST_INPUT);
        assert_says(files[i].name);
    }
    assert_int_equal(dicom_read_header(in_home("absent"), &h), ST_INPUT);
    assert_says("absent");
    assert_int_equal(dicom_read_header(home, &h), ST_INPUT);
}

/* Nothing is read from a truncated slice, wherever it is cut, compressed or not. */
/* A transfer syntax that nobody knows, over elements in implicit VR: DCMTK would guess that, and
 * allocate the 1.4 GB that the patient's ID claims. The walk before it has seen explicit VR. */
static void unknown_syntaxes_are_not_guessed(void **state) {
    (void)state;
    static const char head[] = "DICM\x02\0\x10\0UI\x14\0"
                               "1.2.840.10008.3.2   "
                               "\x08\0\x16\0\x1a\0\0\0"
                               "1.2.840.10008.5.1.4.1.1.2\0"
                               "\x10\0\x20\0\x08\0IMPLICIT";
    unsigned char file[128 + sizeof head - 1] = {0};
    dicom_header h;
    dicom_remains remains;
    memcpy(file + 128, head, sizeof head - 1);
    put_file(in_home("syntax.dcm"), file, sizeof file);
    assert_int_equal(dicom_read_header(in_home("syntax.dcm"), &h), ST_INPUT);
    assert_ok(dicom_salvage(in_home("syntax.dcm"), &h, &remains));
    assert_true(remains.torn);
    assert_int_equal(h.kind, DICOM_OTHER);
}

static void cut_slices(void **state) {
    (void)state;
    static const char *tools[] = {"cp", "dcmcrle", "dcmcjpeg +e1", "dcmcjpls +el"};
    for (size_t t = 0; t < sizeof tools / sizeof *tools; t++) {
        char command[3 * PATH_SIZE], *data = NULL;
        int64_t bytes = 0;
        int16_t hu[PIXELS];
        snprintf(command, sizeof command, "%s %s %s", tools[t], in_home("ct-0000.dcm"),
                 in_home("whole.dcm"));
        assert_int_equal(system(command), 0);
        assert_ok(read_all(in_home("whole.dcm"), hu));
        assert_ok(file_read(in_home("whole.dcm"), 1 << 20, &data, &bytes));
        /* The last 8 bytes of an encapsulated stream are its end mark. Without them the pixels are
         * present, but the file is still truncated. */
        for (int64_t keep = bytes - 1; keep > 0; keep -= keep > bytes - 20 ? 1 : 41) {
            put_file(in_home("cut.dcm"), data, keep);
            status st = read_all(in_home("cut.dcm"), hu);
            if (st != ST_INPUT)
                fail_msg("%s: %d of %d bytes: status %d", tools[t], (int)keep, (int)bytes, (int)st);
            assert_says("cut.dcm");
        }
        free(data);
    }
}

/* An RLE header (PS3.5 G.5: count 2, offsets 64 and more) whose second offset leaves the file. */
static void wild_rle_offset(void **state) {
    (void)state;
    static const char begin[] = {2, 0, 0, 0, 64, 0, 0, 0};
    static const uint32_t offsets[] = {0xffffff00, 63, 1 << 20, 0x80000000};
    char command[3 * PATH_SIZE], *data = NULL;
    int64_t bytes = 0;
    int16_t hu[PIXELS];
    snprintf(command, sizeof command, "dcmcrle %s %s", in_home("ct-0000.dcm"), in_home("rle.dcm"));
    assert_int_equal(system(command), 0);
    assert_ok(file_read(in_home("rle.dcm"), 1 << 20, &data, &bytes));
    char *header = memmem(data, (size_t)bytes, begin, sizeof begin);
    assert_non_null(header);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        memcpy(header + sizeof begin, &offsets[i], 4);
        put_file(in_home("rle.dcm"), data, bytes);
        assert_int_equal(read_all(in_home("rle.dcm"), hu), ST_INPUT);
        assert_says("rle.dcm: the RLE data of the pixels are cut or damaged");
    }
    free(data);
}

static void lacking_segmentations(void **state) {
    (void)state;
    static const struct {
        const char *change, *reason;
    } cases[] = {
        {"-ea '(0062,0002)'", "SegmentSequence (0062,0002)"},
        {"-ea '(0062,0002)[0].(0062,0005)'", "SegmentLabel (0062,0005)"},
        {"-i '(0008,0005)=ISO_IR 192' -m '(0062,0002)[1].(0062,0005)=\xE9t\xE9'",
         "segment 2: SegmentLabel (0062,0005) is no text"},
        {"-ea '(0008,0005)' -m '(0062,0002)[0].(0062,0005)=\xE9t\xE9'",
         "is no text in the SpecificCharacterSet (0008,0005)"},
        {"-m '(0008,0005)=KLINGON' -m '(0062,0002)[1].(0062,0005)=\xE9t\xE9'",
         "SpecificCharacterSet (0008,0005)"},
        {"-m '(0062,0002)[1].(0062,0004)=1'", "two segments have the number 1"},
        {"-ea '(5200,9229)'", "PlaneOrientationSequence (0020,9116)"},
        {"-ea '(5200,9230)'", "has 0 items"},
        {"-ea '(5200,9230)[1].(0020,9113)'", "PlanePositionSequence (0020,9113)"},
        {"-m '(5200,9230)[1].(0062,000a)[0].(0062,000b)=9'", "refers to segment 9"},
        {"-m '(0062,0001)=FRACTIONAL'", "MaximumFractionalValue"},
        {"-m '(0028,0100)=8'", "it claims"},
        {"-m '(0028,0008)=2147483647'", "NumberOfFrames (0028,0008) is 2147483647"},
        {"-ea '(7fe0,0010)'", "PixelData (7fe0,0010) is missing"},
    };
    geometry space = small_space();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[3 * PATH_SIZE];
        label_set set = {0};
        uint8_t labels[VOXELS] = {0};
        snprintf(command, sizeof command, "cp %s %s && dcmodify -q -nb -imt %s %s",
                 in_home("seg.dcm"), in_home("lacking.dcm"), cases[i].change,
                 in_home("lacking.dcm"));
        assert_int_equal(system(command), 0);
        const seg_target to = {&space, "", 0.5};
        status st = seg_read(in_home("lacking.dcm"), &to, &set, labels);
        if (st != ST_INPUT) fail_msg("%s: status %d", cases[i].change, (int)st);
        assert_says("lacking.dcm");
        assert_says(cases[i].reason);
    }
}

/* A name is the same in every character set of the archive. */
static void labels_become_utf8(void **state) {
    (void)state;
    static const char *const changes[] = {
        "-m '(0008,0005)=ISO_IR 192' -m '(0062,0002)[0].(0062,0005)=N\xC3\xA9phron'",
        "-m '(0008,0005)=ISO_IR 100' -m '(0062,0002)[0].(0062,0005)=N\xE9phron'",
        "-m '(0008,0005)=\\ISO 2022 IR 100' -m '(0062,0002)[0].(0062,0005)=N\x1B-A\xE9phron'",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char command[3 * PATH_SIZE];
        label_set set = {0};
        snprintf(command, sizeof command, "cp %s %s && dcmodify -q -nb -imt %s %s",
                 in_home("seg.dcm"), in_home("named.dcm"), changes[i], in_home("named.dcm"));
        assert_int_equal(system(command), 0);
        assert_ok(seg_labels(in_home("named.dcm"), &set));
        assert_true(label_find(&set, "N\xC3\xA9phron") > 0);
    }
}

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* Random flipped bytes and truncations: always a status, and never a label outside the set. */
static void fuzz(const char *name, uint32_t seed) {
    char *data = NULL;
    int64_t bytes = 0;
    geometry space = small_space();
    const seg_target to = {&space, "", 0.5};
    assert_ok(file_read(in_home(name), 1 << 20, &data, &bytes));
    for (int round = 0; round < FUZZ; round++) {
        int16_t hu[PIXELS];
        uint8_t labels[VOXELS] = {0};
        label_set set = {0};
        char *copy = malloc((size_t)bytes);
        memcpy(copy, data, (size_t)bytes);
        int flips = 1 + (int)(next_random(&seed) % 8);
        for (int i = 0; i < flips; i++)
            copy[next_random(&seed) % (uint32_t)bytes] = (char)next_random(&seed);
        int64_t keep = round % 4 ? bytes : next_random(&seed) % bytes;
        put_file(in_home("fuzz.dcm"), copy, keep);
        free(copy);
        read_all(in_home("fuzz.dcm"), hu);
        seg_read(in_home("fuzz.dcm"), &to, &set, labels);
        assert_in_range(set.count, 0, LABELS_MAX);
        for (int i = 0; i < VOXELS; i++) assert_true(labels[i] == 0 || labels[i] < set.count);
    }
    free(data);
}

static void random_damage(void **state) {
    (void)state;
    static const char *tools[] = {"dcmcrle", "dcmcjpeg +e1", "dcmcjpls +el"};
    fuzz("ct-0000.dcm", 1);
    fuzz("seg.dcm", 2);
    for (size_t t = 0; t < sizeof tools / sizeof *tools; t++) {
        char command[3 * PATH_SIZE];
        snprintf(command, sizeof command, "%s %s %s", tools[t], in_home("ct-0000.dcm"),
                 in_home("packed.dcm"));
        assert_int_equal(system(command), 0);
        fuzz("packed.dcm", (uint32_t)t + 3);
    }
}

/* Writes the valid files that the tests damage: ct-0000.dcm ... and seg.dcm. */
static int set_up(void **state) {
    (void)state;
    if (!begin_scratch()) return -1;
    volume v = {.space = small_space()};
    static const dicom_identity who = {
        .patient_id = "HOSTILE", .description = "a test", .seed_text = "hostile"};
    static const label_set set = {3, {"background", "one", "two"}};
    if (volume_alloc(&v) != ST_OK) return -1;
    for (int i = 0; i < VOXELS; i++) {
        v.hu[i] = (int16_t)(i * i % 1999 - 1000);
        v.labels[i] = (uint8_t)(i / 5 % 3);
    }
    status st = dicom_write_volume(home, &who, &v, &set);
    volume_free(&v);
    return st == ST_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return end_scratch() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lacking_and_lying_headers),
        cmocka_unit_test(claims_that_the_bytes_belie),
        cmocka_unit_test(streams_of_another_size),
        cmocka_unit_test(constant_images_are_read),
        cmocka_unit_test(segmentations_that_claim_too_much),
        cmocka_unit_test(nested_sequences_are_refused),
        cmocka_unit_test(inflation_is_refused),
        cmocka_unit_test(other_kinds),
        cmocka_unit_test(not_dicom),
        cmocka_unit_test(unknown_syntaxes_are_not_guessed),
        cmocka_unit_test(cut_slices),
        cmocka_unit_test(wild_rle_offset),
        cmocka_unit_test(lacking_segmentations),
        cmocka_unit_test(labels_become_utf8),
        cmocka_unit_test(random_damage),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
