/* Reading and writing DICOM, against pydicom (tests/data/dicom_oracle.py) and the compression tools
 * of DCMTK. */
#include "tests/scratch.h"
#include "tests/seg_case.h"

enum { DEPTH = 5, ROWS = 7, COLUMNS = 9, PIXELS = ROWS * COLUMNS, VOXELS = DEPTH * PIXELS };

static void shell(const char *format, ...) {
    char command[4 * PATH_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

static void oracle(const char *what, const char *directory) {
    assert_int_equal(file_make_dirs(directory), ST_OK);
    shell("/usr/bin/python3 tests/data/dicom_oracle.py %s %s", what, directory);
}

static char *load(const char *path, int64_t want) {
    char *data = NULL;
    int64_t bytes = 0;
    assert_ok(file_read(path, 1 << 24, &data, &bytes));
    assert_int_equal(bytes, want);
    return data;
}

/* The HU of a DICOM file must equal those of a raw int16 file. */
static void assert_reads(const char *dicom, const char *raw) {
    dicom_header h;
    int16_t hu[PIXELS];
    assert_ok(dicom_read_header(dicom, &h));
    assert_int_equal(h.kind, DICOM_CT);
    assert_int_equal(h.rows, ROWS);
    assert_int_equal(h.columns, COLUMNS);
    assert_ok(dicom_read_ct(&h, hu));
    char *want = load(raw, sizeof hu);
    for (int i = 0; i < PIXELS; i++)
        if (hu[i] != ((int16_t *)want)[i])
            fail_msg("%s: pixel %d is %d, not %d", dicom, i, hu[i], ((int16_t *)want)[i]);
    free(want);
}

static void every_pixel_form(void **state) {
    (void)state;
    static const char *names[] = {"explicit", "implicit", "bigendian", "deflated",
                                  "signed16", "overlay",  "highbit",   "eight",
                                  "fraction", "widest",   "padding",   "padimplicit"};
    oracle("ct", in_home("forms"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char dicom[64], raw[64];
        snprintf(dicom, sizeof dicom, "forms/%s.dcm", names[i]);
        snprintf(raw, sizeof raw, "forms/%s.hu", names[i]);
        assert_reads(in_home(dicom), in_home(raw));
    }
}

static void every_compression(void **state) {
    (void)state;
    static const char *tools[] = {"dcmcrle", "dcmcjpeg +e1", "dcmcjpeg +el", "dcmcjpls +el"};
    static const char *names[] = {"explicit", "signed16"};
    oracle("ct", in_home("packed"));
    for (size_t t = 0; t < sizeof tools / sizeof *tools; t++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char raw[64];
            snprintf(raw, sizeof raw, "packed/%s.hu", names[i]);
            shell("%s %s/packed/%s.dcm %s/packed/out.dcm", tools[t], home, names[i], home);
            assert_reads(in_home("packed/out.dcm"), in_home(raw));
        }
}

static void header_fields(void **state) {
    (void)state;
    dicom_header h;
    oracle("seg", in_home("header"));
    assert_ok(dicom_read_header(in_home("header/slice3.dcm"), &h));
    assert_string_equal(h.patient_id, "ORACLE-1");
    const double position[3] = {-10.25, 20.5, -292.5}, orientation[6] = {1, 0, 0, 0, 1, 0};
    assert_memory_equal(h.position, position, sizeof position);
    assert_memory_equal(h.orientation, orientation, sizeof orientation);
    assert_true(h.pixel_spacing[0] == 0.75 && h.pixel_spacing[1] == 0.5);
    assert_int_equal(h.contrast, 0);
    dicom_header seg;
    assert_ok(dicom_read_header(in_home("header/seg.dcm"), &seg));
    assert_int_equal(seg.kind, DICOM_SEG);
    assert_string_equal(seg.referenced_series_uid, h.series_uid);
    assert_true(strlen(h.frame_of_reference_uid) > 10);
    assert_string_equal(seg.frame_of_reference_uid, h.frame_of_reference_uid);
}

static geometry oracle_space(void) {
    return (geometry){.shape = {DEPTH, ROWS, COLUMNS},
                      .spacing = {2.5, 0.75, 0.5},
                      .origin = {-10.25, 20.5, -300},
                      .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
}

static void reads_segmentation(void **state) {
    (void)state;
    geometry space = oracle_space();
    const seg_target to = {&space, "", 0.5};
    label_set set = {.count = 4, .name = {"background", "liver", "left kidney", "lesion"}};
    uint8_t labels[VOXELS] = {0};
    oracle("seg", in_home("seg"));
    assert_ok(seg_read(in_home("seg/seg.dcm"), &to, &set, labels));
    assert_int_equal(set.count, 4);
    char *want = load(in_home("seg/seg.labels"), VOXELS);
    assert_memory_equal(labels, want, VOXELS);
    free(want);

    /* Label values follow the names of the set, not the segment numbers. */
    label_set other = {.count = 3, .name = {"background", "spleen", "lesion"}};
    memset(labels, 0, sizeof labels);
    assert_ok(seg_read(in_home("seg/seg.dcm"), &to, &other, labels));
    assert_int_equal(other.count, 5);
    static const int value_of[] = {0, 4, 3, 2}; /* new ones are sorted by name */
    want = load(in_home("seg/seg.labels"), VOXELS);
    for (int i = 0; i < VOXELS; i++) assert_int_equal(labels[i], value_of[(int)want[i]]);
    free(want);
}

static volume make_volume(void) {
    volume v = {.space = oracle_space(), .contrast = 1};
    assert_ok(volume_alloc(&v));
    unsigned random = 1;
    for (int i = 0; i < VOXELS; i++) {
        static const uint8_t values[] = {0, 0, 1, 3};
        random = random * 1664525u + 1013904223u;
        v.hu[i] = (int16_t)(random >> 16);
        v.labels[i] = i < 2 * PIXELS ? 0 : values[random >> 30]; /* two slices without masks */
    }
    return v;
}

static const label_set three = {.count = 4, .name = {"background", "one", "two", "three"}};
static const dicom_identity who = {
    .patient_id = "SYNTH-0001", .description = "a test", .seed_text = "seed 1, volume 1"};

static void writes_what_pydicom_reads(void **state) {
    (void)state;
    volume v = make_volume();
    assert_ok(dicom_write_volume(in_home("out"), &who, &v, &three));
    assert_ok(file_write_atomic(in_home("out/volume.hu"), v.hu, VOXELS * 2));
    assert_ok(file_write_atomic(in_home("out/volume.labels"), v.labels, VOXELS));
    oracle("check", in_home("out"));
    shell("cd %s/out && for f in *.dcm; do dcmftest $f && dcmdump -q $f; done > /dev/null", home);
    volume_free(&v);
}

static void writes_same_bytes_twice(void **state) {
    (void)state;
    volume v = make_volume();
    dicom_identity other = who;
    snprintf(other.seed_text, sizeof other.seed_text, "seed 2");
    assert_ok(dicom_write_volume(in_home("one"), &who, &v, &three));
    assert_ok(dicom_write_volume(in_home("two"), &who, &v, &three));
    shell("diff -r %s/one %s/two", home, home);

    dicom_header a, b;
    assert_ok(dicom_write_volume(in_home("three"), &other, &v, NULL));
    assert_false(file_exists(in_home("three/seg.dcm")));
    assert_ok(dicom_read_header(in_home("one/ct-0000.dcm"), &a));
    assert_ok(dicom_read_header(in_home("three/ct-0000.dcm"), &b));
    assert_string_not_equal(a.sop_uid, b.sop_uid);
    assert_string_not_equal(a.study_uid, b.study_uid);
    assert_memory_equal(a.sop_uid, "2.25.", 5);
    volume_free(&v);
}

static void comes_back(void **state) {
    (void)state;
    volume v = make_volume();
    /* Oblique: rotated by 30 degrees about x. */
    const double oblique[9] = {0, -0.5, 0.8660254037844386, 0, 0.8660254037844386, 0.5, 1, 0, 0};
    memcpy(v.space.direction, oblique, sizeof oblique);
    v.space.origin[0] = 1.0 / 3;
    assert_ok(dicom_write_volume(in_home("back"), &who, &v, &three));
    for (int z = 0; z < DEPTH; z++) {
        char name[32];
        int16_t hu[PIXELS];
        dicom_header h;
        snprintf(name, sizeof name, "back/ct-%04d.dcm", z);
        assert_ok(dicom_read_header(in_home(name), &h));
        assert_ok(dicom_read_ct(&h, hu));
        assert_memory_equal(hu, v.hu + z * PIXELS, sizeof hu);
        assert_int_equal(h.contrast, 1);
        for (int i = 0; i < 3; i++) {
            double want = v.space.origin[i] + z * 2.5 * oblique[i];
            assert_true(h.position[i] - want < 1e-7 && want - h.position[i] < 1e-7);
        }
    }
    uint8_t labels[VOXELS] = {0};
    const seg_target to = {&v.space, "", 0.5};
    label_set set = three;
    assert_ok(seg_read(in_home("back/seg.dcm"), &to, &set, labels));
    assert_memory_equal(labels, v.labels, VOXELS);
    volume_free(&v);
}

static void empty_masks_make_no_segmentation(void **state) {
    (void)state;
    volume v = make_volume();
    memset(v.labels, 0, VOXELS);
    assert_ok(dicom_write_volume(in_home("bare"), &who, &v, &three));
    assert_true(file_exists(in_home("bare/ct-0004.dcm")));
    assert_false(file_exists(in_home("bare/seg.dcm")));
    volume_free(&v);
}

static void write_faults(void **state) {
    (void)state;
    volume v = make_volume();
    assert_ok(file_write_atomic(in_home("plain"), "x", 1));
    assert_int_equal(dicom_write_volume(in_home("plain/under"), &who, &v, NULL), ST_STORAGE);
    assert_says("plain");
    v.space.shape[2] = 70000;
    assert_int_equal(dicom_write_volume(in_home("wide"), &who, &v, NULL), ST_INPUT);
    v.space.shape[2] = COLUMNS;
    volume_free(&v);
}

static int set_up(void **state) {
    (void)state;
    return begin_scratch() ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return end_scratch() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pixel_form),
        cmocka_unit_test(every_compression),
        cmocka_unit_test(header_fields),
        cmocka_unit_test(reads_segmentation),
        cmocka_unit_test(writes_what_pydicom_reads),
        cmocka_unit_test(writes_same_bytes_twice),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(empty_masks_make_no_segmentation),
        cmocka_unit_test(write_faults),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
