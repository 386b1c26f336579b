/* Deformed label maps: without deformation they equal the patient's own; a map that is not square
 * is rotated without shear; a synthetic volume is centred where its source was; each slice records
 * which patient and slice it came from. */
#include "model/warp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/data/deform.h"
#include "tests/store_sample.h"

enum { SIZE = 8 }; /* store_sample.h's slices are 6 or 7 by 5 */

static store *open_sample(void) {
    char path[PATH_SIZE];
    store *s = NULL;
    assert_int_equal(path_join(path, home, "store"), ST_OK);
    assert_int_equal(write_store(path, MANY), ST_OK);
    assert_int_equal(store_open(path, &s), ST_OK);
    return s;
}

static study make_study(void) {
    study st;
    study_defaults(&st);
    st.data.size = SIZE;
    return st;
}

/* The label map of slice z of volume i at the working size, warped or (affine NULL) not. */
static void condition(const study *st, store *s, int64_t i, int64_t z, const double affine[2][3],
                      uint8_t *out) {
    deformed d = {.entry.space.shape = {1, SIZE, SIZE}, .source = i, .slices = &z};
    slice_sample sample = {.labels = out};
    warp_identity(&d.warp);
    if (affine) memcpy(d.warp.affine, affine, sizeof d.warp.affine);
    assert_int_equal(deformed_condition(st, &(map_stores){.real = s}, &d, 0, &sample), ST_OK);
}

static void nothing_deformed_is_the_map_itself(void **state) {
    (void)state;
    store *s = open_sample();
    study st = make_study();
    for (int64_t i = 0; i < 3; i++) {
        uint8_t out[SIZE * SIZE], expected[SIZE * SIZE];
        volume v = make_volume(i);
        int64_t h = v.space.shape[1], w = v.space.shape[2];
        condition(&st, s, i, 1, NULL, out);
        resize_labels(v.labels + h * w, h, w, expected, SIZE);
        assert_memory_equal(out, expected, sizeof out);
        volume_free(&v);
    }
    store_close(s);
}

/* A rotation of the field of view by 90 degrees rotates every pixel of the square that frames the
 * slice. */
static void a_quarter_turn_does_not_shear(void **state) {
    (void)state;
    const double turn[2][3] = {{0, 1, 0}, {-1, 0, 0}};
    store *s = open_sample();
    study st = make_study();
    uint8_t plain[7 * 7], turned[7 * 7];
    st.data.size = 7; /* the side of volume 1's frame: no resampling */
    condition(&st, s, 1, 0, NULL, plain);
    condition(&st, s, 1, 0, turn, turned);
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 7; x++) assert_int_equal(turned[y * 7 + x], plain[x * 7 + 6 - y]);
    store_close(s);
}

static void a_synthetic_volume_lies_where_its_source_lay(void **state) {
    (void)state;
    store *s = open_sample();
    study st = make_study();
    split sp = {0};
    assert_int_equal(split_create(s, &st, &sp), ST_OK);
    for (int64_t v = 0; v < 20; v++) {
        deformed d;
        assert_int_equal(deformed_plan(&st, s, &sp, v, &d), ST_OK);
        const geometry *from = &store_at(s, d.source)->space, *to = &d.entry.space;
        int64_t train = 0;
        for (int64_t r = 0; r < sp.run_count[SPLIT_TRAIN]; r++)
            if (sp.runs[SPLIT_TRAIN][r].volume == d.source) train += sp.runs[SPLIT_TRAIN][r].count;
        assert_true(train > 0);
        assert_int_equal(to->shape[0], train);
        int64_t side = from->shape[1] > from->shape[2] ? from->shape[1] : from->shape[2];
        for (int a = 1; a < 3; a++) {
            /* Axes 1 and 2 run along patient y and x: origin[1] and origin[0]. The centre of the
             * square. */
            double source =
                from->origin[2 - a] +
                from->spacing[a] * ((double)(side - 1) / 2 - (double)((side - from->shape[a]) / 2));
            double made = to->origin[2 - a] + to->spacing[a] * (SIZE - 1) / 2.0;
            assert_float_equal(source, made, 1e-9);
            assert_float_equal(to->spacing[a] * SIZE, from->spacing[a] * (double)side, 1e-9);
        }
        json_t *told = deformed_json(&d, s);
        assert_int_equal(json_array_size(json_object_get(told, "source_slices")), to->shape[0]);
        assert_string_equal(json_string_value(json_object_get(told, "source")),
                            store_at(s, d.source)->id);
        json_decref(told);
        deformed_free(&d);
    }
    split_free(&sp);
    store_close(s);
}

/* Every part: its own volumes and slices, in turn, not deformed. */
static void volumes_of_a_part_are_planned_as_they_are(void **state) {
    (void)state;
    store *s = open_sample();
    study st = make_study();
    split sp = {0};
    warp none;
    warp_identity(&none);
    assert_int_equal(split_create(s, &st, &sp), ST_OK);
    for (split_part part = SPLIT_TRAIN; part <= SPLIT_TEST; part++) {
        const int64_t volumes = deformed_sources(&sp, part);
        assert_true(volumes > 0);
        for (int64_t n = 0; n < 2 * volumes; n++) {
            deformed d;
            int64_t slices = 0;
            assert_int_equal(deformed_plan_part(&st, s, &sp, part, n, &d), ST_OK);
            for (int64_t r = 0; r < sp.run_count[part]; r++)
                if (sp.runs[part][r].volume == d.source) slices += sp.runs[part][r].count;
            assert_true(slices > 0 && !d.pseudo);
            assert_int_equal(d.entry.space.shape[0], slices);
            assert_memory_equal(&d.warp, &none, sizeof none);
            deformed_free(&d);
        }
    }
    split_free(&sp);
    store_close(s);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_deformed_is_the_map_itself),
        cmocka_unit_test(a_quarter_turn_does_not_shear),
        cmocka_unit_test(volumes_of_a_part_are_planned_as_they_are),
        cmocka_unit_test(a_synthetic_volume_lies_where_its_source_lay),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK || !begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!end_scratch()) failed++;
    comm_stop(world);
    return failed;
}
