/* A NIfTI file that cannot be published leaves no temporary file (tests/test_export.py reads
 * complete ones), and a damaged label mask ends with a status (tests/test_label_files.py has the
 * faults by name). */
#include "io/nifti.h"
#include "io/nifti_read.h"
#include "tests/scratch.h"
#include "tests/seg_case.h"

#include <dirent.h>

static int entries_of(const char *directory) {
    int n = 0;
    DIR *d = opendir(directory);
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2; /* "." and ".." */
}

static void a_failure_leaves_no_temporary(void **state) {
    (void)state;
    const geometry space = {
        .shape = {2, 3, 4}, .spacing = {1, 1, 1}, .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
    const int16_t voxels[24] = {0};
    assert_ok(file_make_dirs(in_home("a/ct.nii/taken"))); /* a folder has its name */
    assert_int_equal(nifti_write_i16(in_home("a/ct.nii"), &space, voxels, "test"), ST_STORAGE);
    assert_says("a/ct.nii");
    assert_int_equal(entries_of(in_home("a")), 1);
    assert_ok(nifti_write_i16(in_home("a/other.nii"), &space, voxels, "test"));
    assert_int_equal(entries_of(in_home("a")), 2);
}

enum { VOXELS = 24, ROUNDS = 2000 };

static const geometry mask_space = {
    .shape = {2, 3, 4}, .spacing = {2, 1, 1}, .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};

static status read_masks(const char *path, label_set *set, uint8_t *labels) {
    const seg_target to = {&mask_space, "", 0.5};
    rtstruct_tally none = {0};
    return mask_read(path, DICOM_NIFTI, &to, set, labels, &none);
}

static void masks_come_back(void **state) {
    (void)state;
    uint8_t voxels[VOXELS], labels[VOXELS] = {0};
    label_set set = {0};
    for (int i = 0; i < VOXELS; i++) voxels[i] = (uint8_t)(i % 3 ? 0 : i);
    assert_ok(nifti_write_u8(in_home("labels.nii"), &mask_space, voxels, "test"));
    assert_ok(read_masks(in_home("labels.nii"), &set, labels));
    assert_int_equal(set.count, 8);
    assert_true(label_find(&set, "structure-3") > 0);
    for (int i = 0; i < VOXELS; i++) {
        char name[LABEL_NAME];
        snprintf(name, sizeof name, "structure-%d", i);
        assert_string_equal(set.name[labels[i]], i % 3 || i == 0 ? "background" : name);
    }
}

/* The mask of an absent organ has no structure, and marks nothing. */
static void an_empty_mask_is_sound(void **state) {
    (void)state;
    uint8_t voxels[VOXELS] = {0}, labels[VOXELS] = {0};
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    structure_texts texts = {0};
    structure_names names = {0};
    masks *all = NULL;
    int64_t overlapped = 0;
    assert_ok(nifti_write_u8(in_home("spleen.nii"), &mask_space, voxels, "test"));
    assert_ok(nifti_label_texts(in_home("spleen.nii"), &texts));
    assert_int_equal(texts.count, 0);
    assert_ok(structure_names_make(&texts, NULL, 0, &names));
    assert_ok(masks_new(&mask_space, &all));
    assert_ok(nifti_read_labels(in_home("spleen.nii"), &mask_space, &names, all));
    assert_ok(masks_join(all, &smaller, &names.set, labels, &overlapped));
    for (int i = 0; i < VOXELS; i++) assert_int_equal(labels[i], 0);
    masks_free(all);
    structure_names_free(&names);
    structure_texts_free(&texts);
}

/* What no rule has is left out; what was not there when the names were made is refused. */
static void rules_choose_values(void **state) {
    (void)state;
    static const char *const rules[] = {"liver: structure-2"};
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    uint8_t voxels[VOXELS] = {0, 1, 2, 0, 2, 1}, labels[VOXELS] = {0};
    structure_texts texts = {0};
    structure_names names = {0}, none = {0};
    masks *all = NULL;
    int64_t overlapped = 0;
    assert_ok(nifti_write_u8(in_home("two.nii"), &mask_space, voxels, "test"));
    assert_ok(nifti_label_texts(in_home("two.nii"), &texts));
    assert_int_equal(texts.count, 2);
    assert_ok(structure_names_make(&texts, rules, 1, &names));
    assert_ok(masks_new(&mask_space, &all));
    assert_ok(nifti_read_labels(in_home("two.nii"), &mask_space, &names, all));
    assert_ok(masks_join(all, &smaller, &names.set, labels, &overlapped));
    for (int i = 0; i < VOXELS; i++) assert_int_equal(labels[i], voxels[i] == 2);
    assert_int_equal(nifti_read_labels(in_home("two.nii"), &mask_space, &none, all), ST_INPUT);
    assert_says("two.nii: its value 1 is new: the file changed while it was read");
    masks_free(all);
    structure_names_free(&names);
    structure_texts_free(&texts);
}

/* Changed bytes of the header, and files that are cut off. */
static void damaged_masks(void **state) {
    (void)state;
    const char *path = in_home("damaged.nii");
    uint8_t voxels[VOXELS] = {0, 1, 0, 2};
    char *good = NULL;
    int64_t bytes = 0;
    int read = 0, refused = 0;
    uint32_t random = 7;
    assert_ok(nifti_write_u8(path, &mask_space, voxels, "test"));
    assert_ok(file_read(path, 1 << 20, &good, &bytes));
    for (int round = 0; round < ROUNDS; round++) {
        char bad[4096];
        uint8_t labels[VOXELS] = {0};
        label_set set = {0};
        assert_true(bytes <= (int64_t)sizeof bad);
        memcpy(bad, good, (size_t)bytes);
        for (int k = 0; k <= round % 4; k++) {
            random = random * 1664525 + 1013904223;
            const int64_t at = (random >> 8) % bytes;
            random = random * 1664525 + 1013904223;
            bad[at] = (char)(random >> 24);
        }
        put_file(path, bad, round % 10 ? bytes : (random >> 8) % bytes);
        const status st = read_masks(path, &set, labels);
        if (st != ST_OK && st != ST_INPUT) fail_msg("round %d: status %d", round, (int)st);
        if (st != ST_OK) assert_says("damaged.nii");
        for (int i = 0; i < VOXELS; i++) assert_true(labels[i] == 0 || labels[i] < set.count);
        read += st == ST_OK;
        refused += st != ST_OK;
    }
    assert_true(read > 0 && refused > 0);
    free(good);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_leaves_no_temporary),
        cmocka_unit_test(masks_come_back),
        cmocka_unit_test(an_empty_mask_is_sound),
        cmocka_unit_test(rules_choose_values),
        cmocka_unit_test(damaged_masks),
    };
    if (!begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return !end_scratch() || failed;
}
