/* Volumes at the matrix of their series: the geometry is that of the series again; constants, lines
 * and parabolas are kept, edges stay where they are, a smaller matrix has the means of its
 * pixels, the same one the voxels; hostile records are refused. */
#include "pipeline/data/native_matrix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/data/deform.h"

enum { SIZE = 16, SLICES = 2 };

static const geometry SERIES = {.shape = {SLICES, 40, 52},
                                .spacing = {3, 0.7, 0.8},
                                .origin = {-80, 31, 1200},
                                .direction = {0, 0, 1, 0, 0.6, 0.8, 1, 0, 0}};

/* A volume at the working size of a series of rows x columns, filled by a function of y and x in
 * pixels of the working size. */
static volume working(int64_t rows, int64_t columns, double (*hu)(double, double), int edge) {
    geometry series = SERIES;
    series.shape[1] = rows;
    series.shape[2] = columns;
    volume v = {.id = "synthetic00000-0", .contrast = 1};
    v.space = working_geometry(&series, SIZE, SLICES);
    assert_int_equal(volume_alloc(&v), ST_OK);
    for (int64_t i = 0; i < SLICES * SIZE * SIZE; i++) {
        const int64_t y = i / SIZE % SIZE, x = i % SIZE;
        v.hu[i] = (int16_t)lround(hu((double)y, (double)x));
        v.labels[i] = x >= edge ? 3 : 1;
    }
    return v;
}

static double constant(double y, double x) { return y + x < 0 ? 0 : -47; }
static double plane(double y, double x) { return 100 * y - 60 * x + 5; }
static double parabola(double y, double x) { return 20 * y * y - 8 * x * x + 10 * x * y; }

static void geometry_is_that_of_the_series(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{40, 52}, {52, 40}, {33, 47}, {16, 16}, {9, 7}, {1, 64}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        volume v = working(shapes[k][0], shapes[k][1], constant, 4), out;
        assert_int_equal(native_matrix_resample(&v, shapes[k][0], shapes[k][1], &out), ST_OK);
        assert_string_equal(out.id, v.id);
        assert_int_equal(out.contrast, 1);
        assert_int_equal(out.space.shape[0], SLICES);
        assert_int_equal(out.space.shape[1], shapes[k][0]);
        assert_int_equal(out.space.shape[2], shapes[k][1]);
        for (int a = 0; a < 3; a++) {
            assert_true(fabs(out.space.spacing[a] - SERIES.spacing[a]) < 1e-12);
            assert_true(fabs(out.space.origin[a] - SERIES.origin[a]) < 1e-9);
        }
        assert_memory_equal(out.space.direction, SERIES.direction, sizeof SERIES.direction);
        for (int64_t i = 0; i < SLICES * shapes[k][0] * shapes[k][1]; i++)
            assert_int_equal(out.hu[i], -47);
        volume_free(&v);
        volume_free(&out);
    }
}

/* Cubic convolution keeps polynomials of degree 2 exactly, away from the border. */
static void polynomials_are_kept(void **state) {
    (void)state;
    double (*const of[])(double, double) = {plane, parabola};
    const int64_t rows = 40, columns = 52, side = 52, top = 6;
    for (int f = 0; f < 2; f++) {
        volume v = working(rows, columns, of[f], 4), out;
        int compared = 0;
        assert_int_equal(native_matrix_resample(&v, rows, columns, &out), ST_OK);
        for (int64_t y = 0; y < rows; y++)
            for (int64_t x = 0; x < columns; x++) {
                const double at_y = ((double)(y + top) + 0.5) * SIZE / (double)side - 0.5;
                const double at_x = ((double)x + 0.5) * SIZE / (double)side - 0.5;
                if (at_y < 1 || at_x < 1 || at_y > SIZE - 2 || at_x > SIZE - 2) continue;
                /* HU of both are rounded; weights outside [0, 1] enlarge the rounding. */
                assert_true(fabs(out.hu[y * columns + x] - of[f](at_y, at_x)) < 1.5);
                compared++;
            }
        assert_true(compared > 1000);
        volume_free(&v);
        volume_free(&out);
    }
}

/* The edge between labels lies at the same millimetre, to half a pixel of the series. */
static void edges_stay(void **state) {
    (void)state;
    const int64_t rows = 64, columns = 64, edge = 5;
    volume v = working(rows, columns, constant, (int)edge), out;
    assert_int_equal(native_matrix_resample(&v, rows, columns, &out), ST_OK);
    for (int64_t i = 0; i < SLICES * rows * columns; i++)
        assert_int_equal(out.labels[i], i % columns >= edge * columns / SIZE ? 3 : 1);
    /* A pixel alone keeps its area, to a pixel of its outline, and its place. */
    memset(v.labels, 0, SLICES * SIZE * SIZE);
    v.labels[7 * SIZE + 9] = 2;
    volume_free(&out);
    assert_int_equal(native_matrix_resample(&v, rows, columns, &out), ST_OK);
    double area = 0, y = 0, x = 0;
    for (int64_t i = 0; i < rows * columns; i++) {
        if (out.labels[i] == 0) continue;
        assert_int_equal(out.labels[i], 2);
        area++;
        y += (double)(i / columns);
        x += (double)(i % columns);
    }
    assert_true(area >= 8 && area <= 24); /* 4 x 4 pixels, its corners rounded */
    assert_true(fabs(y / area - (4 * 7 + 1.5)) < 0.01 && fabs(x / area - (4 * 9 + 1.5)) < 0.01);
    volume_free(&v);
    volume_free(&out);
}

static void smaller_matrix_has_means(void **state) {
    (void)state;
    volume v = working(8, 8, parabola, 4), out;
    assert_int_equal(native_matrix_resample(&v, 8, 8, &out), ST_OK);
    for (int64_t i = 0; i < SLICES * 8 * 8; i++) {
        const int16_t *four = v.hu + i / 8 * 2 * SIZE + i % 8 * 2;
        const double mean = (four[0] + four[1] + four[SIZE] + four[SIZE + 1]) / 4.0;
        assert_true(fabs(out.hu[i] - mean) <= 0.5);
        assert_int_equal(out.labels[i], i % 8 >= 2 ? 3 : 1);
    }
    volume_free(&v);
    volume_free(&out);
}

static void same_matrix_keeps_voxels(void **state) {
    (void)state;
    volume v = working(12, SIZE, parabola, 7), out;
    assert_int_equal(native_matrix_resample(&v, 12, SIZE, &out), ST_OK);
    for (int64_t z = 0; z < SLICES; z++) {
        const int64_t from = z * SIZE * SIZE + 2 * SIZE, to = z * 12 * SIZE;
        assert_memory_equal(out.hu + to, v.hu + from, 12 * SIZE * sizeof *v.hu);
        assert_memory_equal(out.labels + to, v.labels + from, 12 * SIZE);
    }
    volume_free(&v);
    volume_free(&out);
}

/* Cubic weights overshoot beside an edge; HU that the volume does not have would be made up. */
static double edge(double y, double x) { return y + 0 * x < 8 ? -1000 : 300; }

static void hu_stay_in_the_range_of_the_volume(void **state) {
    (void)state;
    volume v = working(64, 64, edge, 4), out;
    int low = 0, high = 0;
    assert_int_equal(native_matrix_resample(&v, 64, 64, &out), ST_OK);
    for (int64_t i = 0; i < SLICES * 64 * 64; i++) {
        assert_true(out.hu[i] >= -1000 && out.hu[i] <= 300);
        low += out.hu[i] == -1000;
        high += out.hu[i] == 300;
    }
    assert_true(low > 28 * 64 * SLICES && high > 28 * 64 * SLICES);
    volume_free(&v);
    volume_free(&out);
}

static void what_no_volume_can_be(void **state) {
    (void)state;
    volume v = working(40, 52, constant, 4), out;
    assert_int_equal(native_matrix_resample(&v, 65535, 65535, &out), ST_INPUT);
    assert_non_null(strstr(status_message(), "are too many"));
    volume_free(&out);
    v.space.shape[2] = SIZE / 2;
    assert_int_equal(native_matrix_resample(&v, 40, 52, &out), ST_INPUT);
    assert_non_null(strstr(status_message(), "not square"));
    volume_free(&out);
    volume_free(&v);
}

static void hostile_records(void **state) {
    (void)state;
    static const char *const bad[] = {"{}",
                                      "{\"matrix\": []}",
                                      "{\"matrix\": [512]}",
                                      "{\"matrix\": [0, 512]}",
                                      "{\"matrix\": [512, -1]}",
                                      "{\"matrix\": [512, 65536]}",
                                      "{\"matrix\": [\"512\", 512]}",
                                      "{\"matrix\": 7}"};
    int64_t rows, columns;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        json_t *record = json_loads(bad[k], 0, NULL);
        assert_non_null(record);
        assert_int_equal(native_matrix_read(record, &rows, &columns), ST_INPUT);
        json_decref(record);
    }
    assert_int_equal(native_matrix_read(NULL, &rows, &columns), ST_INPUT);
    json_t *record = json_object();
    assert_int_equal(native_matrix_describe(40, 52, record), ST_OK);
    assert_int_equal(native_matrix_read(record, &rows, &columns), ST_OK);
    assert_int_equal(rows, 40);
    assert_int_equal(columns, 52);
    json_decref(record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry_is_that_of_the_series),
        cmocka_unit_test(polynomials_are_kept),
        cmocka_unit_test(edges_stay),
        cmocka_unit_test(smaller_matrix_has_means),
        cmocka_unit_test(same_matrix_keeps_voxels),
        cmocka_unit_test(hu_stay_in_the_range_of_the_volume),
        cmocka_unit_test(what_no_volume_can_be),
        cmocka_unit_test(hostile_records),
    };
    return cmocka_run_group_tests_name("native_matrix", tests, NULL, NULL);
}
