/* RT Structure Sets written by pydicom (tests/data/small_rtstruct.py): what a sound one gives, and
 * that each fault is refused with a message that names file and reason. */
#include "io/dicom_rtstruct.h"
#include "tests/scratch.h"
#include "tests/seg_case.h"

enum { DEPTH = 5, ROWS = 9, COLUMNS = 14, PIXELS = ROWS * COLUMNS, VOXELS = DEPTH * PIXELS };
enum { FUZZ = 400 };

static const geometry space = {.shape = {DEPTH, ROWS, COLUMNS},
                               .spacing = {2.5, 0.8, 0.7},
                               .origin = {-40.5, -30.25, 0},
                               .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};

static void write_files(void) {
    char command[2 * PATH_SIZE];
    if (file_exists(in_home("good.dcm"))) return;
    snprintf(command, sizeof command, "/usr/bin/python3 tests/data/small_rtstruct.py %s", home);
    assert_int_equal(system(command), 0);
}

/* Whether a voxel lies in the square, or in the hole, of small_rtstruct.py, moved by columns. */
static bool in_square(int y, int x, int moved) {
    return y >= 2 && y <= 6 && x >= 3 + moved && x <= 8 + moved;
}

static bool in_hole(int y, int x) { return y >= 3 && y <= 4 && x >= 5 && x <= 6; }

static status read_set(const char *name, label_set *set, uint8_t *labels, rtstruct_tally *tally) {
    const seg_target to = {&space, "", 0.5};
    return mask_read(in_home(name), DICOM_RTSTRUCT, &to, set, labels, tally);
}

/* The label of a voxel of the sound file: 1 ROI 9, 2 liver (56 voxels), 3 spleen (60). */
static int truth(int z, int y, int x) {
    if (z <= 1 && in_square(y, x, 0) && !in_hole(y, x)) return 2;
    if ((z == 1 || z == 2) && in_square(y, x, 3)) return 3;
    if (z == 3 && in_hole(y, x)) return 1;
    if (z == 4 && in_hole(y, x)) return 2;
    return 0;
}

static void reads_a_structure_set(void **state) {
    (void)state;
    static const char *const names[] = {"good.dcm", "implicit.dcm"};
    write_files();
    for (int k = 0; k < 2; k++) {
        dicom_header header;
        label_set set = {0};
        uint8_t labels[VOXELS] = {0};
        rtstruct_tally tally = {0};
        assert_ok(dicom_read_header(in_home(names[k]), &header));
        assert_int_equal(header.kind, DICOM_RTSTRUCT);
        assert_string_equal(header.patient_id, "HOSPITAL-0");
        assert_true(header.referenced_series_uid[0] && header.frame_of_reference_uid[0]);
        assert_ok(read_set(names[k], &set, labels, &tally));
        assert_int_equal(set.count, 4);
        assert_string_equal(set.name[0], "background");
        assert_string_equal(set.name[1], "ROI 9");
        assert_string_equal(set.name[2], "liver");
        assert_string_equal(set.name[3], "spleen");
        for (int z = 0; z < DEPTH; z++)
            for (int y = 0; y < ROWS; y++)
                for (int x = 0; x < COLUMNS; x++)
                    if (labels[z * PIXELS + y * COLUMNS + x] != truth(z, y, x))
                        fail_msg("voxel %d %d %d is %d, not %d", z, y, x,
                                 labels[z * PIXELS + y * COLUMNS + x], truth(z, y, x));
        assert_int_equal(tally.painted, 8);
        assert_int_equal(tally.off_slices, 2);
        assert_int_equal(tally.not_closed, 2);
    }
}

/* Explicit VR has no room for more than 64 KiB of numbers: writers fall back on the VR UN. */
static void reads_long_coordinates(void **state) {
    (void)state;
    label_set set = {0};
    uint8_t labels[VOXELS] = {0};
    rtstruct_tally tally = {0};
    int64_t bytes = 0;
    write_files();
    assert_ok(file_size(in_home("huge.dcm"), &bytes));
    assert_true(bytes > 1 << 16);
    assert_ok(read_set("huge.dcm", &set, labels, &tally));
    for (int i = 0; i < VOXELS; i++)
        assert_int_equal(labels[i],
                         i / PIXELS == 1 && in_square(i % PIXELS / COLUMNS, i % COLUMNS, 0));
}

/* Masks of an earlier file stay, names keep their values, and the tally grows. */
static void adds_to_what_is_there(void **state) {
    (void)state;
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    label_set set = {.count = 3, .name = {"background", "ROI 9", "bone"}};
    uint8_t labels[VOXELS], bone[PIXELS];
    rtstruct_tally tally = {.painted = 100};
    structure_names names = {0};
    masks *all = NULL;
    int64_t overlapped = 0;
    write_files();
    memset(bone, 2, sizeof bone);
    assert_ok(mask_labels(in_home("good.dcm"), DICOM_RTSTRUCT, &set));
    assert_int_equal(set.count, 5);
    assert_string_equal(set.name[3], "liver");
    assert_ok(seg_names(&set, &names));
    assert_ok(masks_new(&space, &all));
    for (int z = 0; z < DEPTH; z++)
        assert_ok(masks_add(all, &(mask_box){z, 0, 0, ROWS, COLUMNS}, bone));
    assert_ok(dicom_read_rtstruct(in_home("good.dcm"), &space, &names, all, &tally));
    assert_ok(masks_join(all, &smaller, &set, labels, &overlapped));
    static const int value_of[] = {2, 1, 3, 4};
    int marked = 0;
    for (int i = 0; i < VOXELS; i++) {
        const int value = truth(i / PIXELS, i % PIXELS / COLUMNS, i % COLUMNS);
        assert_int_equal(labels[i], value_of[value]);
        marked += value != 0;
    }
    assert_int_equal(overlapped, marked);
    assert_int_equal(tally.painted, 108);
    masks_free(all);
    structure_names_free(&names);
}

/* What no rule has is not painted and not counted; a name that was not there is refused. */
static void rules_choose_rois(void **state) {
    (void)state;
    static const char *const rules[] = {"milz: spleen"};
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    uint8_t labels[VOXELS];
    rtstruct_tally tally = {0};
    structure_texts texts = {0};
    structure_names names = {0}, none = {0};
    masks *all = NULL;
    int64_t overlapped = 0;
    write_files();
    assert_ok(dicom_rtstruct_texts(in_home("good.dcm"), &texts));
    assert_int_equal(texts.count, 3);
    assert_ok(structure_names_make(&texts, rules, 1, &names));
    assert_ok(masks_new(&space, &all));
    assert_ok(dicom_read_rtstruct(in_home("good.dcm"), &space, &names, all, &tally));
    assert_ok(masks_join(all, &smaller, &names.set, labels, &overlapped));
    for (int i = 0; i < VOXELS; i++) {
        const int z = i / PIXELS;
        assert_int_equal(labels[i],
                         (z == 1 || z == 2) && in_square(i % PIXELS / COLUMNS, i % COLUMNS, 3));
    }
    assert_int_equal(tally.painted, 2);
    assert_int_equal(tally.off_slices, 2);
    assert_int_equal(tally.not_closed, 1); /* the point, which has no name in the list */
    assert_int_equal(dicom_read_rtstruct(in_home("good.dcm"), &space, &none, all, &tally),
                     ST_INPUT);
    assert_says("good.dcm: ROI 3: its name is new: the file changed while it was read");
    masks_free(all);
    structure_names_free(&names);
    structure_texts_free(&texts);
}

/* What is called background is left out. */
static void background_is_no_structure(void **state) {
    (void)state;
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    uint8_t labels[VOXELS];
    rtstruct_tally tally = {0};
    structure_texts texts = {0};
    structure_names names = {0};
    masks *all = NULL;
    int64_t overlapped = 0;
    write_files();
    assert_ok(dicom_rtstruct_texts(in_home("background.dcm"), &texts));
    assert_int_equal(texts.count, 1);
    assert_ok(structure_names_make(&texts, NULL, 0, &names));
    assert_int_equal(names.set.count, 1);
    assert_ok(masks_new(&space, &all));
    assert_ok(dicom_read_rtstruct(in_home("background.dcm"), &space, &names, all, &tally));
    assert_ok(masks_join(all, &smaller, &names.set, labels, &overlapped));
    for (int i = 0; i < VOXELS; i++) assert_int_equal(labels[i], 0);
    assert_int_equal(tally.painted + tally.off_slices + tally.not_closed, 0);
    masks_free(all);
    structure_names_free(&names);
    structure_texts_free(&texts);
}

static void too_many_names(void **state) {
    (void)state;
    structure_texts texts = {0};
    structure_names names = {0};
    write_files();
    assert_ok(dicom_rtstruct_texts(in_home("many.dcm"), &texts));
    assert_int_equal(texts.count, 256);
    assert_int_equal(structure_names_make(&texts, NULL, 0, &names), ST_INPUT);
    assert_says("256 structures, a store holds at most 255");
    structure_texts_free(&texts);
}

static void faults_are_named(void **state) {
    (void)state;
    static const struct {
        const char *file, *reason;
        bool needs_ct; /* cannot be seen without the geometry */
    } faults[] = {
        {"odd", "11 values, which are no points of three", false},
        {"two", "2 values, which are no points of three", false},
        {"nan", "value 12 of a contour's ContourData (3006,0050) is not a number", false},
        {"infinite", "is not a number", false},
        {"word", "is not a number", false},
        {"hex", "is not a number", false},
        {"gap", "value 5 of a contour's", false},
        {"long", "is not a number", false},
        {"more", "is 2147483647, but it has 4 points", false},
        {"negative", "is -1, but it has 4 points", false},
        {"unknown", "contours of ROI 77, which is not there", false},
        {"twice", "two ROIs have the number 1", false},
        {"norois", "StructureSetROISequence (3006,0020) is missing", false},
        {"nocontours", "it holds no closed contour", false},
        {"points", "it holds no closed contour", false},
        {"short", "it holds no closed contour", false},
        {"empty", "it holds no closed contour", false},
        {"charset", "is no text in the SpecificCharacterSet (0008,0005)", false},
        {"far", "none of its 2 closed contours lies on a slice", true},
        {"between", "none of its 1 closed contours lies on a slice", true},
        {"sagittal", "none of its 1 closed contours lies on a slice", true},
        {"second", "ROI 1: it is drawn on one of 2 slices of the CT only", true},
    };
    write_files();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char name[64];
        structure_texts texts = {0};
        structure_names names = {0};
        masks *all = NULL;
        rtstruct_tally tally = {0};
        snprintf(name, sizeof name, "%s.dcm", faults[i].file);
        assert_int_equal(dicom_rtstruct_texts(in_home(name), &texts),
                         faults[i].needs_ct ? ST_OK : ST_INPUT);
        assert_ok(structure_names_make(&texts, NULL, 0, &names));
        assert_ok(masks_new(&space, &all));
        if (dicom_read_rtstruct(in_home(name), &space, &names, all, &tally) != ST_INPUT)
            fail_msg("%s is not refused", name);
        assert_says(name);
        assert_says(faults[i].reason);
        assert_null(strstr(status_message(), "liver")); /* names may be of people */
        assert_int_equal(tally.painted + tally.off_slices + tally.not_closed, 0);
        masks_free(all);
        structure_names_free(&names);
        structure_texts_free(&texts);
    }
}

static void long_names_are_not_shown(void **state) {
    (void)state;
    structure_texts texts = {0};
    write_files();
    assert_int_equal(dicom_rtstruct_texts(in_home("name.dcm"), &texts), ST_INPUT);
    assert_says("name.dcm: ROI 1: the name of a structure has 300 bytes; it may have 256");
    structure_texts_free(&texts);
}

/* Damaged bytes end with a status, and every fault of the input names the file. */
static void damaged_bytes(void **state) {
    (void)state;
    char *good = NULL, *bad = NULL;
    int64_t bytes = 0;
    uint32_t random = 99;
    write_files();
    assert_ok(file_read(in_home("good.dcm"), 1 << 20, &good, &bytes));
    assert_non_null(bad = malloc((size_t)bytes));
    for (int round = 0; round < FUZZ; round++) {
        label_set set = {0};
        uint8_t labels[VOXELS] = {0};
        rtstruct_tally tally = {0};
        memcpy(bad, good, (size_t)bytes);
        for (int k = 0; k <= round % 8; k++) {
            random = random * 1664525 + 1013904223;
            const int64_t at = 132 + (random >> 8) % (bytes - 132);
            random = random * 1664525 + 1013904223;
            bad[at] = (char)(random >> 24);
        }
        put_file(in_home("damaged.dcm"), bad, round % 5 ? bytes : bytes - (random >> 8) % bytes);
        const status st = read_set("damaged.dcm", &set, labels, &tally);
        if (st != ST_OK && st != ST_INPUT) fail_msg("round %d: status %d", round, (int)st);
        if (st != ST_OK) assert_says("damaged.dcm");
        for (int i = 0; i < VOXELS; i++) assert_true(labels[i] == 0 || labels[i] < set.count);
    }
    free(good);
    free(bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_structure_set),
        cmocka_unit_test(reads_long_coordinates),
        cmocka_unit_test(adds_to_what_is_there),
        cmocka_unit_test(rules_choose_rois),
        cmocka_unit_test(background_is_no_structure),
        cmocka_unit_test(too_many_names),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(long_names_are_not_shown),
        cmocka_unit_test(damaged_bytes),
    };
    if (!begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return !end_scratch() || failed;
}
