/* Components are found and small ones removed: cases by hand, and random maps against a second
 * algorithm that spreads the smallest voxel number over each component until nothing changes. */
#include "model/components.h"

#include "model/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { Z = 5, Y = 7, X = 6, VOXELS = Z * Y * X };

static const int64_t SHAPE[3] = {Z, Y, X};

static int64_t at(int64_t z, int64_t y, int64_t x) { return (z * Y + y) * X + x; }

/* A diagonal chain is one component; two voxels with a gap are two. */
static void components_by_hand(void **state) {
    (void)state;
    const int64_t shape[3] = {2, 2, 5};
    const uint8_t volume[20] = {0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 4, 0, 4, 0, 3, 0, 0, 0, 3, 3};
    const int32_t truth[20] = {0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0};
    int32_t number[20];
    components c;
    assert_int_equal(components_find(volume, shape, 4, number, &c), ST_OK);
    assert_memory_equal(number, truth, sizeof number);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.size[0], 1);
    assert_int_equal(c.size[1], 3);
    components_free(&c);
    assert_int_equal(components_find(volume, shape, 9, number, &c), ST_OK);
    assert_int_equal(c.count, 0);
    components_free(&c);
}

/* The middle voxel of 3 x 3 x 3 is connected to each of the other 26; across it, nothing is. */
static void neighbourhood(void **state) {
    (void)state;
    enum { N = 27, MIDDLE = N / 2 };
    const int64_t shape[3] = {3, 3, 3};
    int32_t number[N];
    components c;
    for (int i = 0; i < N; i++) {
        uint8_t beside[N] = {0}, across[N] = {0};
        beside[MIDDLE] = beside[i] = 1;
        across[N - 1 - i] = across[i] = 1;
        assert_int_equal(components_find(beside, shape, 1, number, &c), ST_OK);
        assert_int_equal(c.count, 1);
        components_free(&c);
        assert_int_equal(components_find(across, shape, 1, number, &c), ST_OK);
        assert_int_equal(c.count, i == MIDDLE ? 1 : 2);
        components_free(&c);
    }
}

static void corners_connect(void **state) {
    (void)state;
    uint8_t labels[VOXELS] = {0};
    int64_t removed[COMPONENT_LABELS];
    for (int64_t k = 0; k < 4; k++) labels[at(k, k, k)] = 1; /* four voxels by their corners */
    labels[at(4, 0, 0)] = 1;                                 /* one */
    labels[at(4, 6, 0)] = labels[at(4, 6, 1)] = 1;           /* two */
    labels[at(0, 6, 5)] = 2;                                 /* the only one of its label */
    assert_int_equal(components_remove_small(labels, SHAPE, 0.5, NULL, removed), ST_OK);
    for (int64_t k = 0; k < 4; k++) assert_int_equal(labels[at(k, k, k)], 1);
    assert_int_equal(labels[at(4, 0, 0)], 0);
    assert_int_equal(labels[at(4, 6, 0)], 1); /* 2 is no less than half of 4 */
    assert_int_equal(labels[at(4, 6, 1)], 1);
    assert_int_equal(labels[at(0, 6, 5)], 2);
    assert_int_equal(removed[1], 1);
    assert_int_equal(removed[2], 0);
}

static void another_label_divides(void **state) {
    (void)state;
    uint8_t labels[VOXELS] = {0};
    for (int64_t x = 0; x < X; x++) labels[at(2, 2, x)] = 1;
    labels[at(2, 2, 1)] = 2; /* leaves one voxel and four */
    assert_int_equal(components_remove_small(labels, SHAPE, 0.3, NULL, NULL), ST_OK);
    const uint8_t expected[X] = {0, 2, 1, 1, 1, 1};
    assert_memory_equal(labels + at(2, 2, 0), expected, sizeof expected);
}

static void ends_of_a_row_are_no_neighbours(void **state) {
    (void)state;
    uint8_t labels[VOXELS] = {0};
    labels[at(1, 1, X - 1)] = labels[at(1, 1, X - 2)] = labels[at(1, 2, 0)] = 1;
    labels[at(1, Y - 1, 3)] = labels[at(2, 0, 3)] = 2;
    int64_t removed[COMPONENT_LABELS];
    assert_int_equal(components_remove_small(labels, SHAPE, 0.6, NULL, removed), ST_OK);
    assert_int_equal(labels[at(1, 2, 0)], 0);
    assert_int_equal(labels[at(1, 1, X - 1)], 1);
    assert_int_equal(removed[2], 0); /* equal ones stay */
    bool keep[COMPONENT_LABELS] = {[1] = true};
    labels[at(1, 2, 0)] = 1;
    assert_int_equal(components_remove_small(labels, SHAPE, 1, keep, removed), ST_OK);
    assert_int_equal(labels[at(1, 2, 0)], 1);
    assert_int_equal(removed[1], 0);
}

/* number[voxel] = the smallest voxel of its component. */
static void spread(const uint8_t *labels, int64_t *number) {
    bool changed = true;
    for (int64_t i = 0; i < VOXELS; i++) number[i] = i;
    while (changed) {
        changed = false;
        for (int64_t i = 0; i < VOXELS; i++)
            for (int64_t j = 0; j < VOXELS; j++) {
                const bool near = llabs(i / (Y * X) - j / (Y * X)) <= 1 &&
                                  llabs(i / X % Y - j / X % Y) <= 1 && llabs(i % X - j % X) <= 1;
                if (!near || labels[i] != labels[j] || number[j] >= number[i]) continue;
                number[i] = number[j];
                changed = true;
            }
    }
}

static void random_maps(void **state) {
    (void)state;
    int64_t number[VOXELS], all = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint8_t labels[VOXELS], expected[VOXELS];
        int64_t size[VOXELS] = {0}, largest[4] = {0}, removed[COMPONENT_LABELS], gone[4] = {0};
        rng_stream r = rng_open(seed, RNG_PHANTOM, 0, 0);
        const double share = rng_uniform(&r), density = 0.1 + 0.3 * rng_uniform(&r);
        for (int64_t i = 0; i < VOXELS; i++)
            labels[i] = rng_uniform(&r) < density ? (uint8_t)(1 + rng_below(&r, 3)) : 0;
        memcpy(expected, labels, sizeof labels);
        spread(labels, number);
        for (int64_t i = 0; i < VOXELS; i++) size[number[i]]++;
        for (int64_t i = 0; i < VOXELS; i++)
            if (size[i] > largest[labels[i]]) largest[labels[i]] = size[i];
        for (int64_t i = 0; i < VOXELS; i++) {
            const bool small =
                labels[i] && (double)size[number[i]] < share * (double)largest[labels[i]];
            if (small) expected[i] = 0;
            if (small && number[i] == i) gone[labels[i]]++;
        }
        assert_int_equal(components_remove_small(labels, SHAPE, share, NULL, removed), ST_OK);
        assert_memory_equal(labels, expected, sizeof labels);
        for (int k = 1; k < 4; k++) assert_int_equal(removed[k], gone[k]);
        for (int k = 1; k < 4; k++) all += gone[k];
    }
    assert_true(all > 100);
}

static void sizes_below_one_are_refused(void **state) {
    (void)state;
    const int64_t empty[3] = {1, 0, 1};
    uint8_t voxel[1] = {1};
    int32_t number[1];
    components c;
    assert_int_equal(components_find(voxel, empty, 1, number, &c), ST_INPUT);
    assert_null(c.size);
    assert_int_equal(components_remove_small(voxel, empty, 0.5, NULL, NULL), ST_INPUT);
    assert_int_equal(voxel[0], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(components_by_hand),
        cmocka_unit_test(neighbourhood),
        cmocka_unit_test(corners_connect),
        cmocka_unit_test(another_label_divides),
        cmocka_unit_test(ends_of_a_row_are_no_neighbours),
        cmocka_unit_test(random_maps),
        cmocka_unit_test(sizes_below_one_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
