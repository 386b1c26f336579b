/* Volumes: sizes are checked before memory is allocated; labels are found by name. */
#include "io/volume.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

static void counts_voxels(void **state) {
    (void)state;
    static const struct {
        int64_t shape[3], voxels; /* 0: refused */
    } cases[] = {
        {{1, 1, 1}, 1},
        {{108, 256, 256}, 7077888},
        {{1 << 20, 1 << 10, 1 << 10}, INT64_C(1) << 40},
        {{(1 << 20) + 1, 1 << 10, 1 << 10}, 0},
        {{0, 256, 256}, 0},
        {{5, -1, 5}, 0},
        {{-1, -1, 4}, 0},
        {{INT64_MAX, INT64_MAX, INT64_MAX}, 0},
        {{1, INT64_C(1) << 33, INT64_C(1) << 31}, 0}, /* the product is 2^64 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        geometry space = {0};
        int64_t voxels = -7;
        memcpy(space.shape, cases[i].shape, sizeof space.shape);
        status st = geometry_voxels(&space, &voxels);
        assert_int_equal(st, cases[i].voxels ? ST_OK : ST_INPUT);
        assert_int_equal(voxels, cases[i].voxels ? cases[i].voxels : -7);
    }
}

static void allocates_zeroed(void **state) {
    (void)state;
    volume v = {.space.shape = {3, 4, 5}};
    assert_int_equal(volume_alloc(&v), ST_OK);
    for (int i = 0; i < 60; i++) assert_true(v.hu[i] == 0 && v.labels[i] == 0);
    volume_free(&v);
    assert_null(v.hu);
    volume_free(&v); /* twice is harmless */

    v.space.shape[1] = 0;
    assert_int_equal(volume_alloc(&v), ST_INPUT);
    assert_null(v.hu);
    assert_null(v.labels);
}

static void finds_names(void **state) {
    (void)state;
    label_set set = {.count = 2, .name = {"background", "liver", "beyond the count"}};
    assert_int_equal(label_find(&set, "background"), 0);
    assert_int_equal(label_find(&set, "liver"), 1);
    assert_int_equal(label_find(&set, "live"), -1);
    assert_int_equal(label_find(&set, "beyond the count"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_voxels),
        cmocka_unit_test(allocates_zeroed),
        cmocka_unit_test(finds_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
