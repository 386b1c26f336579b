/* A NIfTI file that cannot be published leaves no temporary file. (tests/test_export.py reads
 * complete ones.) */
#include "io/nifti.h"
#include "tests/scratch.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_failure_leaves_no_temporary)};
    if (!begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return !end_scratch() || failed;
}
