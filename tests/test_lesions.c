/* Lesions by size: the Dice of each by hand, and the bounds of the classes. */
#include "pipeline/evaluate/lesions.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { DEPTH = 4, SIDE = 40, VOXELS = DEPTH * SIDE * SIDE, LESION = 2 };
static const int64_t shape[3] = {DEPTH, SIDE, SIDE};

/* Sets a box of n x n pixels in `slices` slices from (z, y, x) on. */
static void put_box(uint8_t *map, int z, int y, int x, int slices, int n) {
    for (int k = z; k < z + slices; k++)
        for (int i = y; i < y + n; i++)
            for (int j = x; j < x + n; j++) map[(k * SIDE + i) * SIDE + j] = LESION;
}

static void by_hand(void **state) {
    (void)state;
    const double spacing[3] = {5, 1, 1};
    static uint8_t truth[VOXELS], predicted[VOXELS];
    lesion_sums sums[LESION_SIZES] = {{0}};
    memset(truth, 0, VOXELS);
    memset(predicted, 0, VOXELS);
    put_box(truth, 0, 2, 2, 1, 4);  /* 80 mm3, 5.3 mm: missed */
    put_box(truth, 0, 2, 20, 1, 6); /* 180 mm3, 7.0 mm: half of it found */
    put_box(predicted, 0, 2, 20, 1, 3);
    put_box(truth, 1, 20, 2, 3, 15); /* 3375 mm3, 18.6 mm: found with half of another */
    put_box(predicted, 1, 20, 2, 3, 15);
    put_box(predicted, 0, 36, 36, 1, 3); /* touches nothing */
    assert_int_equal(lesions_score(truth, predicted, shape, spacing, LESION, sums), ST_OK);
    assert_true(sums[0].count == 2 && sums[1].count == 1 && sums[2].count == 0);
    assert_true(fabs(sums[0].dice - 2.0 * 9 / (36 + 9)) < 1e-12);
    assert_true(fabs(sums[1].dice - 1) < 1e-12);

    /* A prediction that joins two lesions counts whole for both. */
    memset(truth, 0, VOXELS);
    memset(predicted, 0, VOXELS);
    memset(sums, 0, sizeof sums);
    put_box(truth, 0, 0, 0, 1, 4);
    put_box(truth, 0, 0, 6, 1, 4);
    put_box(predicted, 0, 0, 0, 1, 10);
    assert_int_equal(lesions_score(truth, predicted, shape, spacing, LESION, sums), ST_OK);
    assert_true(fabs(sums[0].dice - 2 * (2.0 * 16 / (16 + 100))) < 1e-12 && sums[0].count == 2);

    /* No lesion at all. */
    memset(truth, 0, VOXELS);
    memset(sums, 0, sizeof sums);
    assert_int_equal(lesions_score(truth, predicted, shape, spacing, LESION, sums), ST_OK);
    assert_true(sums[0].count + sums[1].count + sums[2].count == 0);
}

/* The class of a lesion of n x n pixels of 1 mm in one slice of `thick` mm. */
static int class_of(int n, double thick) {
    const double spacing[3] = {thick, 1, 1};
    static uint8_t truth[VOXELS];
    lesion_sums sums[LESION_SIZES] = {{0}};
    memset(truth, 0, VOXELS);
    put_box(truth, 0, 0, 0, 1, n);
    assert_int_equal(lesions_score(truth, truth, shape, spacing, LESION, sums), ST_OK);
    for (int i = 0; i < LESION_SIZES; i++)
        if (sums[i].count == 1) return i;
    return -1;
}

static void sizes_are_of_balls(void **state) {
    (void)state;
    /* A ball of 10 mm has 523.6 mm3, one of 20 mm 4188.8 mm3. */
    assert_int_equal(class_of(10, 5.23), 0);
    assert_int_equal(class_of(10, 5.24), 1);
    assert_int_equal(class_of(30, 4.65), 1);
    assert_int_equal(class_of(30, 4.66), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(sizes_are_of_balls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
