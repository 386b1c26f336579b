/* Reading segmentations of every kind and grid, and refusing faulty ones, against pydicom and numpy
 * (tests/data/seg_oracle.py). */
#include "tests/scratch.h"
#include "tests/seg_case.h"

#include <dirent.h>
#include <math.h>

enum { DEPTH = 6, ROWS = 21, COLUMNS = 19, VOXELS = DEPTH * ROWS * COLUMNS };

static geometry space;
static const label_set three = {.count = 4, .name = {"background", "liver", "kidney", "lesion"}};

/* The geometry of the oracle. */
static void make_space(void) {
    const double a = 12 * acos(-1) / 180, b = -20 * acos(-1) / 180;
    space = (geometry){.shape = {DEPTH, ROWS, COLUMNS},
                       .spacing = {2.5, 0.8, 0.7},
                       .origin = {-40.5, 12.25, 300},
                       .direction = {sin(b) * sin(a), -cos(b) * sin(a), cos(a), -sin(b) * cos(a),
                                     cos(b) * cos(a), sin(a), cos(b), sin(b), 0}};
}

static status read_one(const char *path, uint8_t *labels) {
    const seg_target to = {&space, "1.2.3.4", 0.5};
    label_set set = three;
    return seg_read(path, &to, &set, labels);
}

/* Calls `check` with each file home/folder/NAME.dcm, less ".dcm"; returns their number. */
static int for_each(const char *folder, void (*check)(const char *path)) {
    struct dirent **entries = NULL;
    const int n = scandir(in_home(folder), &entries, NULL, alphasort);
    int files = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        char path[PATH_SIZE];
        const size_t length = strlen(entries[i]->d_name);
        if (length > 4 && strcmp(entries[i]->d_name + length - 4, ".dcm") == 0) {
            snprintf(path, sizeof path, "%s/%s/%.*s", home, folder, (int)length - 4,
                     entries[i]->d_name);
            check(path);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    return files;
}

static char *load(const char *path, const char *suffix, int64_t *bytes) {
    char name[PATH_SIZE + 16], *data = NULL;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    assert_ok(file_read(name, 1 << 20, &data, bytes));
    return data;
}

static void check_good(const char *path) {
    char name[PATH_SIZE + 16];
    uint8_t labels[VOXELS];
    int64_t bytes = 0;
    char *want = load(path, ".labels", &bytes);
    snprintf(name, sizeof name, "%s.dcm", path);
    assert_int_equal(bytes, VOXELS);
    memset(labels, 77, sizeof labels);
    assert_ok(read_one(name, labels));
    for (int i = 0; i < VOXELS; i++)
        if (labels[i] != (uint8_t)want[i])
            fail_msg("%s: voxel %d %d %d is %d, not %d", path, i / (ROWS * COLUMNS),
                     i / COLUMNS % ROWS, i % COLUMNS, labels[i], want[i]);
    free(want);
}

static void reads_every_kind_and_grid(void **state) {
    (void)state;
    assert_true(for_each("good", check_good) >= 38);
}

static void check_bad(const char *path) {
    char name[PATH_SIZE + 16];
    uint8_t labels[VOXELS];
    int64_t bytes = 0;
    char *want = load(path, ".reason", &bytes);
    snprintf(name, sizeof name, "%s.dcm", path);
    const status st = read_one(name, labels);
    if (st != ST_INPUT) fail_msg("%s: status %d", path, (int)st);
    assert_says(name);
    assert_says(want);
    free(want);
}

static void refuses_every_fault_by_name(void **state) {
    (void)state;
    assert_true(for_each("bad", check_bad) >= 40);
}

static void the_threshold_of_fractions(void **state) {
    (void)state;
    uint8_t low[VOXELS] = {0}, high[VOXELS] = {0};
    int more = 0;
    for (int pass = 0; pass < 2; pass++) {
        const seg_target to = {&space, "1.2.3.4", pass ? 0.9 : 0.1};
        label_set set = three;
        assert_ok(seg_read(in_home("good/fractional-plain.dcm"), &to, &set, pass ? high : low));
    }
    for (int i = 0; i < VOXELS; i++) more += (low[i] > 0) - (high[i] > 0);
    assert_true(more > VOXELS / 10);
    /* From 0 on: all that is above 0, and not the whole frame. */
    const seg_target to = {&space, "", 0};
    label_set set = three;
    assert_ok(seg_read(in_home("good/fractional-plain.dcm"), &to, &set, low));
    more = 0;
    for (int i = 0; i < VOXELS; i++) more += low[i] == 0;
    assert_in_range(more, 1, VOXELS - 1);
}

static void a_ct_without_reference_takes_any(void **state) {
    (void)state;
    const seg_target to = {&space, "", 0.5};
    label_set set = three;
    uint8_t labels[VOXELS];
    assert_ok(seg_read(in_home("bad/reference.dcm"), &to, &set, labels));
}

/* A SEG that refers to no series is matched by place. */
static void fits_its_own_ct_alone(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool fits;
    } cases[] = {
        {"good/binary-explicit", true},  {"good/crop", true},         {"good/sparse", true},
        {"good/mirrored-all", true},     {"good/no-reference", true}, {"good/larger", false},
        {"good/shifted", false},         {"bad/reference", false},    {"bad/half-a-slice", false},
        {"bad/coronal", false},          {"bad/beside", false},       {"bad/far", false},
        {"good/longer-and-empty", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[128];
        bool fits = !cases[i].fits;
        snprintf(name, sizeof name, "%s.dcm", cases[i].name);
        assert_ok(dicom_seg_fits(in_home(name), &space, "1.2.3.4", &fits));
        if (fits != cases[i].fits) fail_msg("%s: %d", cases[i].name, fits);
    }
    bool fits = true;
    assert_int_equal(dicom_seg_fits(in_home("bad/no-frames.dcm"), &space, "1.2.3.4", &fits),
                     ST_INPUT);
    assert_false(fits);
}

/* A label that names has not, and one that it leaves out. */
static void names_decide(void **state) {
    (void)state;
    static const char *const rules[] = {"organ: liver|kidney"};
    const seg_target to = {&space, "1.2.3.4", 0.5};
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    const char *path = in_home("good/map-8-plain.dcm");
    structure_texts texts = {0};
    structure_names names = {0};
    masks *all = NULL;
    uint8_t labels[VOXELS];
    int64_t bytes = 0, overlapped = -1;
    assert_ok(dicom_seg_texts(path, &texts));
    assert_int_equal(texts.count, 3);
    assert_ok(structure_names_make(&texts, rules, 1, &names));
    assert_int_equal(names.set.count, 2);
    assert_ok(masks_new(&space, &all));
    assert_ok(dicom_read_seg(path, &to, &names, all));
    assert_ok(masks_join(all, &smaller, &names.set, labels, &overlapped));
    assert_int_equal(overlapped, 0);
    char *want = load(in_home("good/map-8-plain"), ".labels", &bytes);
    for (int i = 0; i < VOXELS; i++) assert_int_equal(labels[i], want[i] == 1 || want[i] == 2);
    free(want);
    structure_names_free(&names);
    structure_texts_free(&texts);

    assert_ok(structure_names_make(&texts, rules, 1, &names)); /* of no texts */
    assert_int_equal(dicom_read_seg(path, &to, &names, all), ST_INPUT);
    assert_says("is new: the file changed");
    structure_names_free(&names);
    masks_free(all);
}

static int set_up(void **state) {
    (void)state;
    char command[2 * PATH_SIZE];
    make_space();
    if (!begin_scratch()) return -1;
    snprintf(command, sizeof command, "/usr/bin/python3 tests/data/seg_oracle.py %s", home);
    return system(command);
}

static int tear_down(void **state) {
    (void)state;
    return end_scratch() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_and_grid),
        cmocka_unit_test(refuses_every_fault_by_name),
        cmocka_unit_test(the_threshold_of_fractions),
        cmocka_unit_test(a_ct_without_reference_takes_any),
        cmocka_unit_test(fits_its_own_ct_alone),
        cmocka_unit_test(names_decide),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
