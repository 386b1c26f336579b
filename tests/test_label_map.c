/* Label maps of synthetic volumes: inserted blobs change voxels of the host alone, have the sizes
 * they were drawn with and follow from the seed; the check of a map fires on forged ones; a map
 * that cannot pass falls back to the deformation alone. */
#include "model/warp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/data/label_map.h"
#include "tests/store_sample.h"

/* Slices are 3 times as thick as pixels are wide. */
enum { DEPTH = 20, SIDE = 48, VOXELS = DEPTH * SIDE * SIDE, LIVER = 1, LESION = 2 };

static const label_set NAMES = {3, {"background", "liver", "lesion"}};
static const geometry SPACE = {.shape = {DEPTH, SIDE, SIDE}, .spacing = {6, 2, 2}};

static uint8_t before[VOXELS], after[VOXELS], again[VOXELS];

static int64_t index_of(int64_t z, int64_t y, int64_t x) { return (z * SIDE + y) * SIDE + x; }

/* A liver that fills a box. */
static void fill_liver(uint8_t *labels) {
    memset(labels, 0, VOXELS);
    for (int z = 2; z < 18; z++)
        for (int y = 4; y < 44; y++)
            for (int x = 4; x < 44; x++) labels[index_of(z, y, x)] = LIVER;
}

static study make_study(double share, int low, int high) {
    study s;
    study_defaults(&s);
    s.generate.insert_count = 1;
    s.generate.insert[0] = (study_insert){"lesion", "liver", share, low, high};
    return s;
}

static int64_t count(const uint8_t *labels, int label) {
    int64_t n = 0;
    for (int64_t i = 0; i < VOXELS; i++) n += labels[i] == label;
    return n;
}

/* Voxels change from host to structure, never otherwise; the record counts them. */
static void only_voxels_of_the_host_change(void **state) {
    (void)state;
    study s = make_study(1, 1, 3);
    label_limits limits = {.labels = 3};
    int64_t blobs[4] = {0};
    for (int64_t v = 0; v < 40; v++) {
        inserted in;
        fill_liver(before);
        memcpy(after, before, sizeof after);
        insert_blobs(&s, &NAMES, &limits, &SPACE, v, 0, after, &in);
        for (int64_t i = 0; i < VOXELS; i++)
            assert_true(after[i] == before[i] || (after[i] == LESION && before[i] == LIVER));
        assert_true(in.blobs[0] >= 1 && in.blobs[0] <= 3);
        blobs[in.blobs[0]]++;
        assert_float_equal(in.volume[LESION], 24.0 * (double)count(after, LESION), 1e-6);
        assert_true(count(after, LESION) > 0);
    }
    assert_true(blobs[1] > 3 && blobs[2] > 3 && blobs[3] > 3);
}

static void no_host_no_blob(void **state) {
    (void)state;
    study s = make_study(1, 2, 2);
    label_limits limits = {.labels = 3};
    inserted in;
    memset(after, 0, sizeof after);
    insert_blobs(&s, &NAMES, &limits, &SPACE, 0, 0, after, &in);
    assert_int_equal(count(after, LESION), 0);
    assert_int_equal(in.blobs[0], 0);
}

/* The mean volume of single blobs in a host that fills the volume is that of balls of the drawn
 * radii. Tolerances: the ripple of the surface adds 3 * 3 * 0.1^2 / 2 = 4.5 %, the border cuts up
 * to 15 %, and the standard error of 200 blobs is 5 %. */
static double mean_volume(const study *s, const label_limits *limits, int64_t *smallest) {
    enum { BLOBS = 200 };
    double sum = 0;
    *smallest = VOXELS;
    for (int64_t v = 0; v < BLOBS; v++) {
        inserted in;
        memset(after, LIVER, sizeof after);
        insert_blobs(s, &NAMES, limits, &SPACE, v, 0, after, &in);
        sum += in.volume[LESION] / BLOBS;
        if (count(after, LESION) < *smallest) *smallest = count(after, LESION);
    }
    return sum;
}

static void sizes_are_those_seen_or_of_the_default_range(void **state) {
    (void)state;
    const double ball = 4 * 3.14159265358979323846 / 3;
    study s = make_study(1, 1, 1);
    label_piece seen[3] = {{LESION, 8}, {LESION, 8}, {LESION, 8}};
    label_limits limits = {.labels = 3, .pieces = seen, .piece_count = 3};
    int64_t smallest;
    /* E[f^3] for f uniform in [0.7, 1.5]. */
    double cubes = (pow(1.5, 4) - pow(0.7, 4)) / (4 * 0.8);
    double expected = ball * 512 * cubes, found = mean_volume(&s, &limits, &smallest);
    assert_true(found > 0.75 * expected && found < 1.15 * expected);
    assert_true((double)smallest * 24 > 0.1 * ball * 512 * 0.343);
    /* Too few were seen: radii of 1.4 to 6 pixels of 2 mm. */
    limits.piece_count = 2;
    cubes = (pow(12, 4) - pow(2.8, 4)) / (4 * 9.2);
    expected = ball * cubes;
    found = mean_volume(&s, &limits, &smallest);
    assert_true(found > 0.75 * expected && found < 1.15 * expected);
    assert_true(smallest >= 1);
}

/* The number of blobs follows from seed and volume; their places also from the draw. */
static void everything_follows_from_seed_volume_and_draw(void **state) {
    (void)state;
    study s = make_study(0.5, 1, 3);
    label_limits limits = {.labels = 3};
    int64_t with = 0;
    for (int64_t v = 0; v < 200; v++) {
        inserted a, b, c;
        fill_liver(before);
        fill_liver(after);
        fill_liver(again);
        insert_blobs(&s, &NAMES, &limits, &SPACE, v, 0, before, &a);
        insert_blobs(&s, &NAMES, &limits, &SPACE, v, 0, after, &b);
        insert_blobs(&s, &NAMES, &limits, &SPACE, v, 1, again, &c);
        assert_memory_equal(before, after, sizeof before);
        assert_int_equal(a.blobs[0], c.blobs[0]);
        assert_int_equal(memcmp(before, again, sizeof before) == 0, a.blobs[0] == 0);
        with += a.blobs[0] > 0;
    }
    assert_true(with > 72 && with < 128); /* 100 +- 4 standard deviations of 7 */
}

static void unknown_names_are_refused_with_those_known(void **state) {
    (void)state;
    study s = make_study(1, 1, 1);
    assert_int_equal(insert_check(&s, &NAMES), ST_OK);
    s.generate.insert[0] = (study_insert){"lesion", "spleen", 1, 1, 1};
    assert_int_equal(insert_check(&s, &NAMES), ST_USAGE);
    assert_non_null(strstr(status_message(), "\"spleen\""));
    assert_non_null(strstr(status_message(), "background, liver, lesion"));
}

static label_fault fault_of(const label_limits *l, const double *added, int *label) {
    label_fault fault;
    assert_int_equal(label_limits_check(l, after, SPACE.shape, SPACE.spacing, added, &fault, label),
                     ST_OK);
    return fault;
}

/* Sizes are volumes over the length of the scan: 25,600 voxels of 24 mm3 over 120 mm. */
static void forged_maps_are_found(void **state) {
    (void)state;
    const double liver = 25600.0 * 24 / 120;
    double added[3] = {0};
    label_limits l = {.labels = 3, .low = {0, liver, 0}, .high = {0, liver, 10}};
    int label = 0;
    l.single[LIVER] = l.single[LESION] = true;
    fill_liver(after);
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_GOOD);
    /* A speck of less than 1 % may be apart. */
    after[0] = LIVER;
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_GOOD);
    /* A slice is missing: two pieces, which a single corner joins again. */
    for (int64_t i = 0; i < SIDE * SIDE; i++) after[10 * SIDE * SIDE + i] = 0;
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_PIECES);
    assert_int_equal(label, LIVER);
    after[index_of(10, 3, 3)] = LIVER;
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_GOOD);
    after[index_of(10, 3, 3)] = 0;
    l.single[LIVER] = false;
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_GOOD);
    /* Beyond 1.5 times the sizes seen. */
    l.low[LIVER] = 1.6 * liver;
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_SMALL);
    l.low[LIVER] = 0;
    l.high[LIVER] = liver / 1.7;
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_LARGE);
    l.high[LIVER] = liver;
    /* Lesions: 100 voxels in two pieces are 20 mm2, more than 1.5 * 10, unless inserted. */
    for (int y = 10; y < 12; y++)
        for (int x = 10; x < 35; x++)
            after[index_of(4, y, x)] = after[index_of(6, y + 20, x)] = LESION;
    assert_int_equal(fault_of(&l, NULL, &label), LABELS_LARGE);
    assert_int_equal(label, LESION);
    added[LESION] = 2400;
    assert_int_equal(fault_of(&l, added, &label), LABELS_GOOD);
}

static store *open_sample(void) {
    char path[PATH_SIZE];
    store *s = NULL;
    assert_int_equal(path_join(path, home, "store"), ST_OK);
    assert_int_equal(write_store(path, MANY), ST_OK);
    assert_int_equal(store_open(path, &s), ST_OK);
    return s;
}

/* The limits of a store contain the maps they were measured on. */
static void training_maps_pass_and_impossible_limits_give_the_deformation_alone(void **state) {
    (void)state;
    enum { SIZE = 8 };
    store *from = open_sample();
    const map_stores stores = {.real = from};
    study s = make_study(1, 1, 3);
    split sp = {0};
    label_limits limits;
    label_map_record r;
    deformed d;
    uint8_t plain[4 * SIZE * SIZE], map[4 * SIZE * SIZE];
    s.data.size = SIZE;
    s.generate.insert[0] = (study_insert){"bone", "liver", 1, 1, 3};
    assert_int_equal(split_create(from, &s, &sp), ST_OK);
    assert_int_equal(label_limits_measure(&s, from, &sp, &limits), ST_OK);
    assert_true(limits.piece_count > 0 && limits.high[1] > 0);
    assert_int_equal(label_limits_pieces(&limits, 1) + label_limits_pieces(&limits, 2),
                     limits.piece_count);
    for (int64_t v = 0; v < deformed_sources(&sp, SPLIT_TRAIN); v++) {
        label_fault fault;
        int label;
        assert_int_equal(deformed_plan(&s, from, &sp, v, &d), ST_OK);
        warp_identity(&d.warp);
        assert_int_equal(deformed_labels(&s, &stores, &d, plain), ST_OK);
        assert_int_equal(label_limits_check(&limits, plain, d.entry.space.shape,
                                            d.entry.space.spacing, NULL, &fault, &label),
                         ST_OK);
        assert_int_equal(fault, LABELS_GOOD);
        deformed_free(&d);
    }
    limits.low[1] = 1e9;
    for (int64_t v = 0; v < 3; v++) {
        json_t *told = json_object();
        assert_int_equal(deformed_plan(&s, from, &sp, v, &d), ST_OK);
        assert_int_equal(deformed_labels(&s, &stores, &d, plain), ST_OK);
        assert_int_equal(label_map_make(&s, &stores, &sp, &limits, v, map, &r), ST_OK);
        assert_int_equal(r.rejected, LABEL_MAP_DRAWS);
        assert_int_equal(label_map_draw(&r), 0);
        assert_int_equal(r.fault[8], LABELS_SMALL);
        assert_memory_equal(map, plain, (size_t)d.entry.space.shape[0] * SIZE * SIZE);
        assert_int_equal(label_map_describe(&s, from, &r, told), ST_OK);
        assert_int_equal(json_array_size(json_object_get(told, "rejected")), LABEL_MAP_DRAWS);
        assert_true(json_is_true(json_object_get(told, "plain")));
        json_decref(told);
        deformed_free(&d);
    }
    label_limits_free(&limits);
    split_free(&sp);
    store_close(from);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_voxels_of_the_host_change),
        cmocka_unit_test(no_host_no_blob),
        cmocka_unit_test(sizes_are_those_seen_or_of_the_default_range),
        cmocka_unit_test(everything_follows_from_seed_volume_and_draw),
        cmocka_unit_test(unknown_names_are_refused_with_those_known),
        cmocka_unit_test(forged_maps_are_found),
        cmocka_unit_test(training_maps_pass_and_impossible_limits_give_the_deformation_alone),
    };
    if (!begin_tests(&argc, &argv)) return 1;
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
