/* Warps and resampling: what they must preserve (identity, mean, label sets), and their effect on
 * an image with a known formula. */
#include "model/warp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 64 };

static double smooth(double y, double x) { return sin(4 * y) + cos(3 * x) + y * x; }

/* In units of 1 / UNIT. */
static const double UNIT = 8000;

static void sample_smooth(int16_t *out, int64_t h, int64_t w) {
    for (int64_t i = 0; i < h; i++)
        for (int64_t j = 0; j < w; j++)
            out[i * w + j] = (int16_t)lround(UNIT * smooth((i + 0.5) / h, (j + 0.5) / w));
}

static void identity_keeps_everything(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {7, 5}, {64, 64}, {33, 47}};
    static int16_t in[SIZE * SIZE], out[SIZE * SIZE];
    static uint8_t labels[SIZE * SIZE], warped[SIZE * SIZE];
    warp w;
    warp_identity(&w);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t h = shapes[s][0], width = shapes[s][1];
        sample_smooth(in, h, width);
        for (int64_t i = 0; i < h * width; i++) labels[i] = (uint8_t)(i * 7 % 32);
        warp_image(&w, 0.3, in, h, width, -5, out, h, width);
        warp_labels(&w, 0.3, labels, h, width, warped, h, width);
        for (int64_t i = 0; i < h * width; i++) assert_int_equal(in[i], out[i]);
        assert_memory_equal(labels, warped, (size_t)(h * width));
    }
}

/* A rotation by 90 degrees and a mirror image move pixels onto pixels, so the result is exact. */
static void quarter_turn_and_mirror(void **state) {
    (void)state;
    enum { N = 9 };
    uint8_t in[N * N], out[N * N];
    for (int i = 0; i < N * N; i++) in[i] = (uint8_t)i;
    warp turn = {.affine = {{0, 1, 0}, {-1, 0, 0}}};
    warp_labels(&turn, 0, in, N, N, out, N, N);
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) assert_int_equal(out[y * N + x], in[x * N + N - 1 - y]);
    warp mirror = {.affine = {{1, 0, 0}, {0, -1, 0}}};
    warp_labels(&mirror, 0, in, N, N, out, N, N);
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) assert_int_equal(out[y * N + x], in[y * N + N - 1 - x]);
}

/* Random rotations and zooms of a smooth function equal the function at the transformed point. */
static void drawn_rotation_of_an_analytic_image(void **state) {
    (void)state;
    static int16_t in[SIZE * SIZE], out[SIZE * SIZE];
    sample_smooth(in, SIZE, SIZE);
    for (uint64_t k = 0; k < 10; k++) {
        rng_stream r = rng_open(1, RNG_AUGMENT, k, 0);
        warp w;
        warp_draw(&w, &r, 30, 0, 0, 0, 0);
        double c = w.affine[0][0], s = w.affine[1][0];
        assert_true(fabs(c * c + s * s - 1) < 1e-12);
        assert_true(c >= cos(30 * 3.14159265358979 / 180));
        assert_true(w.affine[1][1] == c && w.affine[0][1] == -s);
        warp_image(&w, 0, in, SIZE, SIZE, 0, out, SIZE, SIZE);
        for (int i = 16; i < 48; i++) {
            for (int j = 16; j < 48; j++) {
                double y = (i + 0.5) / SIZE - 0.5, x = (j + 0.5) / SIZE - 0.5;
                double truth = smooth(c * y - s * x + 0.5, s * y + c * x + 0.5);
                assert_true(fabs(out[i * SIZE + j] / UNIT - truth) < 2e-3);
            }
        }
    }
}

static void draws_stay_in_their_ranges(void **state) {
    (void)state;
    int mirrored = 0;
    double zoom_low = 9, zoom_high = 0, shift_most = 0;
    for (uint64_t k = 0; k < 2000; k++) {
        rng_stream r = rng_open(2, RNG_AUGMENT, k, 0);
        warp w;
        warp_draw(&w, &r, 10, 0.25, 0.1, 1, 0.05);
        double det = w.affine[0][0] * w.affine[1][1] - w.affine[0][1] * w.affine[1][0];
        double zoom = 1 / sqrt(fabs(det));
        mirrored += det < 0;
        zoom_low = fmin(zoom_low, zoom), zoom_high = fmax(zoom_high, zoom);
        shift_most = fmax(shift_most, fmax(fabs(w.affine[0][2]), fabs(w.affine[1][2])));
        const float *e = &w.elastic[0][0][0][0];
        for (size_t i = 0; i < sizeof w.elastic / sizeof *e; i++) assert_true(fabsf(e[i]) <= 0.05f);
    }
    assert_in_range(mirrored, 900, 1100);
    assert_true(zoom_low >= 0.8 - 1e-9 && zoom_low < 0.81);
    assert_true(zoom_high <= 1.25 + 1e-9 && zoom_high > 1.24);
    assert_true(shift_most <= 0.1 && shift_most > 0.099);
}

/* The spline weights sum to 1 everywhere, also at the borders, so equal displacements on the
 * lattice are a shift. Displacements that are linear along an axis are reproduced. */
static void spline_reproduces_constants_and_lines(void **state) {
    (void)state;
    warp shift, slope;
    warp_identity(&shift);
    warp_identity(&slope);
    for (int z = 0; z < WARP_GRID; z++)
        for (int y = 0; y < WARP_GRID; y++)
            for (int x = 0; x < WARP_GRID; x++) {
                shift.elastic[z][y][x][0] = 0.25f, shift.elastic[z][y][x][1] = -0.125f;
                slope.elastic[z][y][x][0] = (float)z, slope.elastic[z][y][x][1] = (float)(x - y);
            }
    for (int k = 0; k <= 20; k++) {
        double z = k / 20.0, y = (k * 7 % 21) / 20.0, x = (k * 13 % 21) / 20.0, fy, fx;
        warp_point(&shift, z, y, x, &fy, &fx);
        assert_true(fabs(fy - y - 0.25) < 1e-12 && fabs(fx - x + 0.125) < 1e-12);
        warp_point(&slope, z, y, x, &fy, &fx);
        assert_true(fabs(fy - y - (1 + 2 * z)) < 1e-12);
        assert_true(fabs(fx - x - 2 * (x - y)) < 1e-12);
    }
}

/* Values, first and second differences are continuous across the border of a lattice cell, and the
 * map does not fold. */
static void elastic_is_smooth_and_does_not_fold(void **state) {
    (void)state;
    const double h = 1e-3;
    for (uint64_t k = 0; k < 20; k++) {
        rng_stream r = rng_open(3, RNG_DEFORM, k, 0);
        warp w;
        warp_draw(&w, &r, 0, 0, 0, 0, 0.124);
        double before[3][2] = {{0}};
        for (int i = 1; i < 999; i++) {
            double at[3][2];
            for (int d = -1; d <= 1; d++)
                warp_point(&w, 0.37, 0.71, i * h + d * h, &at[d + 1][0], &at[d + 1][1]);
            assert_true(at[1][1] < at[2][1]);
            for (int d = 0; d < 2; d++) {
                double second = (at[2][d] - 2 * at[1][d] + at[0][d]) / (h * h);
                if (i > 1) assert_true(fabs(second - before[0][d]) < 0.1);
                before[0][d] = second;
            }
        }
        double y0, x0, y1, x1, yx, xx;
        warp_point(&w, 1, 1, 1, &y0, &x0);
        warp_point(&w, 1 - 1e-9, 1 - 1e-9, 1 - 1e-9, &y1, &x1);
        assert_true(fabs(y1 - y0) < 1e-8 && fabs(x1 - x0) < 1e-8);
        for (int i = 0; i < 400; i++) {
            double z = rng_uniform(&r), y = 0.99 * rng_uniform(&r), x = 0.99 * rng_uniform(&r);
            warp_point(&w, z, y, x, &y0, &x0);
            warp_point(&w, z, y + h, x, &y1, &x1);
            warp_point(&w, z, y, x + h, &yx, &xx);
            assert_true((y1 - y0) * (xx - x0) - (x1 - x0) * (yx - y0) > 0);
        }
    }
}

/* Whether pixel i has its label all around. */
static bool is_far_from_edges(const uint8_t *labels, int h, int w, int i) {
    enum { REACH = 5 };
    for (int y = i / w - REACH; y <= i / w + REACH; y++)
        for (int x = i % w - REACH; x <= i % w + REACH; x++)
            if (y < 0 || y >= h || x < 0 || x >= w || labels[y * w + x] != labels[i]) return false;
    return true;
}

static void labels_stay_in_the_set_and_follow_the_image(void **state) {
    (void)state;
    int far = 0;
    enum { H = 40, W = 56 };
    static int16_t image[H * W], warped[H * W];
    static uint8_t labels[H * W], warped_labels[H * W];
    for (int i = 0; i < H * W; i++) {
        int y = i / W, x = i % W;
        labels[i] = (y - 20) * (y - 20) + (x - 28) * (x - 28) < 120 ? 9 : y < 8 ? 4 : 0;
        image[i] = (int16_t)(1000 * labels[i]);
    }
    for (uint64_t k = 0; k < 20; k++) {
        rng_stream r = rng_open(4, RNG_AUGMENT, k, 0);
        warp w;
        warp_draw(&w, &r, 20, 0.2, 0.1, 1, 0.1);
        warp_labels(&w, 0.5, labels, H, W, warped_labels, H, W);
        warp_image(&w, 0.5, image, H, W, 0, warped, H, W);
        for (int i = 0; i < H * W; i++) {
            int label = warped_labels[i];
            assert_true(label == 0 || label == 4 || label == 9);
            /* Farther from edges than the kernel reaches the two resamplings agree. */
            if (is_far_from_edges(warped_labels, H, W, i)) {
                assert_int_equal(warped[i], 1000 * label);
                far++;
            }
        }
    }
    assert_true(far > 1000);
}

static void outside_is_fill(void **state) {
    (void)state;
    int16_t in[16], out[16];
    uint8_t labels[16], warped[16];
    for (int i = 0; i < 16; i++) in[i] = 1, labels[i] = 3;
    static const double far[] = {2, -2, 1e300, -1e300, INFINITY, NAN};
    for (size_t k = 0; k < sizeof far / sizeof *far; k++) {
        warp w = {.affine = {{1, 0, far[k]}, {0, 1, 0}}};
        warp_image(&w, 0, in, 4, 4, -7, out, 4, 4);
        warp_labels(&w, 0, labels, 4, 4, warped, 4, 4);
        for (int i = 0; i < 16; i++) assert_true(out[i] == -7 && warped[i] == 0);
    }
}

static void area_average_keeps_the_mean(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{64, 64}, {61, 61}, {8, 8}, {1, 1}, {64, 37}, {30, 63}};
    static const int64_t sizes[] = {1, 5, 16, 31, 64, 77};
    static int16_t hu[SIZE * SIZE];
    static float out[77 * 77];
    rng_stream r = rng_open(5, RNG_AUGMENT, 0, 0);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t h = shapes[s][0], w = shapes[s][1], side = h > w ? h : w;
        double sum = -1024.0 * (double)(side * side - h * w);
        for (int64_t i = 0; i < h * w; i++) {
            hu[i] = (int16_t)((int)rng_below(&r, 4000) - 1000);
            sum += hu[i];
        }
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            int64_t n = sizes[k] * sizes[k];
            double mean = 0;
            resize_image(hu, h, w, -1024, out, sizes[k]);
            for (int64_t i = 0; i < n; i++) mean += out[i] / (double)n;
            assert_true(fabs(mean - sum / (double)(side * side)) < 1e-3);
        }
    }
}

/* 2 x 2 blocks by hand; resizing to the same size is the identity; a slice that is not square is
 * centred. */
static void resize_by_hand(void **state) {
    (void)state;
    const int16_t hu[16] = {0, 4, 10, 10, 8, 0, 10, 10, 1, 1, -5, 5, 1, 1, 5, -5};
    const uint8_t labels[16] = {1, 1, 2, 0, 2, 2, 2, 2, 0, 0, 7, 0, 0, 3, 0, 0};
    float out[16];
    uint8_t voted[16];
    resize_image(hu, 4, 4, 0, out, 2);
    resize_labels(labels, 4, 4, voted, 2);
    assert_true(out[0] == 3 && out[1] == 10 && out[2] == 1 && out[3] == 0);
    assert_int_equal(voted[0], 2); /* a tie goes to the larger label */
    assert_int_equal(voted[1], 2);
    assert_int_equal(voted[2], 0);
    assert_int_equal(voted[3], 0);
    resize_image(hu, 4, 4, 0, out, 4);
    resize_labels(labels, 4, 4, voted, 4);
    for (int i = 0; i < 16; i++) assert_true(out[i] == hu[i] && voted[i] == labels[i]);

    const int16_t row[6] = {1, 2, 3, 4, 5, 6};
    const uint8_t row_labels[6] = {1, 2, 3, 4, 5, 6};
    resize_image(row, 2, 3, -9, out, 3); /* the missing row is added below */
    resize_labels(row_labels, 2, 3, voted, 3);
    for (int i = 0; i < 9; i++) {
        assert_true(out[i] == (i < 6 ? row[i] : -9));
        assert_int_equal(voted[i], i < 6 ? row_labels[i] : 0);
    }
    resize_image(row, 6, 1, -9, out, 2); /* six rows of one column in a square of six */
    for (int i = 0; i < 4; i++) {
        double inside = i == 0 ? 1 + 2 + 3 : i == 2 ? 4 + 5 + 6 : 0;
        double empty = i % 2 == 0 ? 6 : 9;
        assert_true(fabs(out[i] - (inside - 9 * empty) / 9) < 1e-6);
    }
}

/* Area average against a plain sum over a grid that refines both pixel grids. */
static void resize_of_odd_sizes_against_brute_force(void **state) {
    (void)state;
    enum { IN = 7, OUT = 5 };
    int16_t hu[IN * IN];
    float out[OUT * OUT];
    rng_stream r = rng_open(6, RNG_AUGMENT, 0, 0);
    for (int i = 0; i < IN * IN; i++) hu[i] = (int16_t)rng_below(&r, 2000);
    resize_image(hu, IN, IN, 0, out, OUT);
    for (int y = 0; y < OUT; y++)
        for (int x = 0; x < OUT; x++) {
            double sum = 0;
            for (int a = y * IN; a < (y + 1) * IN; a++)
                for (int b = x * IN; b < (x + 1) * IN; b++) sum += hu[a / OUT * IN + b / OUT];
            assert_true(fabs(out[y * OUT + x] - sum / (IN * IN)) < 1e-3);
        }
}

static void window_there_and_back(void **state) {
    (void)state;
    for (int hu = -300; hu <= 500; hu++)
        assert_int_equal(window_invert(window_apply((float)hu, -300, 500), -300, 500), hu);
    assert_true(window_apply(-2000, -300, 500) == -1 && window_apply(9999, -300, 500) == 1);
    assert_true(window_apply(100, -300, 500) == 0);
    assert_int_equal(window_invert(-3, -300, 500), -300);
    assert_int_equal(window_invert(INFINITY, -300, 500), 500);
    assert_int_equal(window_invert(1, -1e6, 1e6), INT16_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_keeps_everything),
        cmocka_unit_test(quarter_turn_and_mirror),
        cmocka_unit_test(drawn_rotation_of_an_analytic_image),
        cmocka_unit_test(draws_stay_in_their_ranges),
        cmocka_unit_test(spline_reproduces_constants_and_lines),
        cmocka_unit_test(elastic_is_smooth_and_does_not_fold),
        cmocka_unit_test(labels_stay_in_the_set_and_follow_the_image),
        cmocka_unit_test(outside_is_fill),
        cmocka_unit_test(area_average_keeps_the_mean),
        cmocka_unit_test(resize_by_hand),
        cmocka_unit_test(resize_of_odd_sizes_against_brute_force),
        cmocka_unit_test(window_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
