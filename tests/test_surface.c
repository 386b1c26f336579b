/* Surface distances, distance transform and components: against scipy.ndimage, against all pairs of
 * voxels, by hand, and the cases without a structure. */
#include "model/components.h"
#include "model/metric/distance_transform.h"
#include "model/metric/surface.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/golden/surface.h"

enum { VOXELS_MAX = 10000 };

static int64_t voxels_of(const int64_t shape[3]) { return shape[0] * shape[1] * shape[2]; }

/* The volumes of tests/golden/surface.py; which: 0 truth, 1 prediction. */
static void fill(uint8_t *volume, const struct golden_surface *g, int which) {
    int64_t i = 0;
    assert_true(voxels_of(g->shape) <= VOXELS_MAX);
    for (int64_t z = 0; z < g->shape[0]; z++)
        for (int64_t y = 0; y < g->shape[1]; y++)
            for (int64_t x = 0; x < g->shape[2]; x++) {
                int64_t dz = z - g->shape[0] / 2 - which * g->shift[0];
                int64_t dy = y - g->shape[1] / 2 - which * g->shift[1];
                int64_t dx = x - g->shape[2] / 2 - which * g->shift[2];
                uint64_t mixed = (uint64_t)(z * 7331 + y * 1793 + x * 283 + which * 99991 + 17);
                int hash = (int)((uint32_t)(mixed * 2654435761u) >> 24);
                bool inside = 9 * dz * dz + 4 * dy * dy + 5 * dx * dx < g->radius[which];
                volume[i++] = (uint8_t)(hash < g->noise ? 2 * (hash % 2) : inside);
            }
}

static void equals_scipy(void **state) {
    (void)state;
    static uint8_t truth[VOXELS_MAX], predicted[VOXELS_MAX], site[VOXELS_MAX];
    static double squared[VOXELS_MAX];
    static int32_t number[VOXELS_MAX];
    for (size_t k = 0; k < sizeof golden_surface / sizeof *golden_surface; k++) {
        const struct golden_surface *g = &golden_surface[k];
        int64_t n = voxels_of(g->shape), largest = 0, checksum = 0;
        double sum = 0;
        surface_scores s;
        components c;
        fill(truth, g, 0);
        fill(predicted, g, 1);
        assert_int_equal(
            surface_compare(truth, predicted, g->shape, g->spacing, 1, g->tolerance, &s), ST_OK);
        assert_true(fabs(s.hd95 - g->hd95) < 1e-9 * (1 + g->hd95));
        assert_true(fabs(s.nsd - g->nsd) < 1e-12);
        assert_true(fabs(s.volume_error - g->volume_error) < 1e-12);
        assert_false(s.false_positive);

        for (int64_t i = 0; i < n; i++) site[i] = truth[i] == 1;
        assert_int_equal(distance_transform(site, g->shape, g->spacing, squared), ST_OK);
        for (int64_t i = 0; i < n; i++) sum += sqrt(squared[i]);
        assert_true(fabs(sum - g->distances) < 1e-9 * (1 + g->distances));

        assert_int_equal(components_find(truth, g->shape, 1, number, &c), ST_OK);
        for (int64_t i = 0; i < n; i++) checksum = (checksum + i * number[i]) % 1000003;
        for (int64_t i = 0; i < c.count; i++)
            if (c.size[i] > largest) largest = c.size[i];
        assert_int_equal(c.count, g->components);
        assert_int_equal(largest, g->largest);
        assert_int_equal(checksum, g->checksum);
        components_free(&c);
    }
}

/* Each voxel's distance against the smallest over all sites. */
static void nearest_of_all_sites(void **state) {
    (void)state;
    enum { D = 6, H = 9, W = 11, N = D * H * W };
    const int64_t shape[3] = {D, H, W};
    const double spacing[3] = {2.5, 0.7, 1.3};
    uint8_t site[N];
    static double squared[N];
    rng_stream r = rng_open(8, RNG_VALIDATE, 0, 0);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < N; i++) site[i] = rng_uniform(&r) < (round == 0 ? 0 : 0.002 * round);
        assert_int_equal(distance_transform(site, shape, spacing, squared), ST_OK);
        for (int i = 0; i < N; i++) {
            double best = INFINITY;
            for (int j = 0; j < N; j++) {
                double dz = (i / (H * W) - j / (H * W)) * spacing[0];
                double dy = (i / W % H - j / W % H) * spacing[1], dx = (i % W - j % W) * spacing[2];
                if (site[j]) best = fmin(best, dz * dz + dy * dy + dx * dx);
            }
            assert_true(squared[i] == best || fabs(squared[i] - best) < 1e-12 * best);
        }
    }
}

/* Two cubes of 4 voxels, 56 of them on the surface, one shifted by 2 voxels of 1.5 mm along x. */
static void shifted_cubes(void **state) {
    (void)state;
    enum { N = 10 };
    const int64_t shape[3] = {N, N, N};
    const double spacing[3] = {1, 1, 1.5};
    static uint8_t a[N * N * N], b[N * N * N];
    surface_scores s;
    for (int z = 3; z < 7; z++)
        for (int y = 3; y < 7; y++)
            for (int x = 1; x < 5; x++) {
                a[(z * N + y) * N + x] = 7;
                b[(z * N + y) * N + x + 2] = 7;
            }
    /* The far faces are 3 mm away: 16 of 56 voxels, more than 5 %. Of the columns next to them 12
     * voxels are on the surface, at 1.5 mm. The third column is on b's near face: 16 voxels of b,
     * 12 of a, at 0. The last column of a has 16 surface voxels; the 4 in the middle are inside b,
     * 1 mm from its surface. */
    assert_int_equal(surface_compare(a, b, shape, spacing, 7, 1.5, &s), ST_OK);
    assert_true(s.hd95 == 3 && s.volume_error == 0);
    assert_true(fabs(s.nsd - (56 - 16) / 56.0) < 1e-15);
    assert_int_equal(surface_compare(a, b, shape, spacing, 7, 1, &s), ST_OK);
    assert_true(fabs(s.nsd - (56 - 16 - 12) / 56.0) < 1e-15);
    assert_int_equal(surface_compare(a, b, shape, spacing, 7, 0, &s), ST_OK);
    assert_true(fabs(s.nsd - (56 - 16 - 12 - 4) / 56.0) < 1e-15);
    assert_int_equal(surface_compare(a, a, shape, spacing, 7, 0, &s), ST_OK);
    assert_true(s.hd95 == 0 && s.nsd == 1 && s.volume_error == 0);
}

/* In f64 3 * 0.1 is larger than 0.3: rounding must not decide. */
static void tolerance_equal_to_distance(void **state) {
    (void)state;
    const int64_t shape[3] = {1, 1, 8};
    const double spacing[3] = {1, 1, 0.1};
    const uint8_t a[8] = {1}, b[8] = {0, 0, 0, 1};
    surface_scores s;
    assert_int_equal(surface_compare(a, b, shape, spacing, 1, 0.3, &s), ST_OK);
    assert_true(s.nsd == 1);
    assert_int_equal(surface_compare(a, b, shape, spacing, 1, 0.299, &s), ST_OK);
    assert_true(s.nsd == 0 && fabs(s.hd95 - 0.3) < 1e-15);
}

static void absent_structures(void **state) {
    (void)state;
    const int64_t shape[3] = {2, 3, 4};
    const double spacing[3] = {2, 1, 1.5};
    uint8_t a[24] = {0}, b[24] = {0};
    surface_scores s;
    a[5] = a[6] = 1;
    assert_int_equal(surface_compare(a, b, shape, spacing, 2, 1, &s), ST_OK);
    assert_true(isnan(s.hd95) && isnan(s.nsd) && isnan(s.volume_error) && !s.false_positive);
    assert_int_equal(surface_compare(b, a, shape, spacing, 1, 1, &s), ST_OK);
    assert_true(isnan(s.hd95) && isnan(s.nsd) && isnan(s.volume_error) && s.false_positive);
    assert_int_equal(s.predicted, 2);
    assert_int_equal(surface_compare(a, b, shape, spacing, 1, 1, &s), ST_OK);
    assert_true(fabs(s.hd95 - sqrt(16 + 9 + 36)) < 1e-14 && s.nsd == 0 && s.volume_error == -1);
    assert_int_equal(s.truth, 2);
    assert_false(s.false_positive);
}

static void unusable_input(void **state) {
    (void)state;
    const int64_t good[3] = {1, 1, 1}, empty[3] = {1, 0, 1};
    const double spacing[3] = {1, 1, 1}, zero[3] = {1, 0, 1}, nan[3] = {1, 1, NAN};
    const uint8_t voxel[1] = {1};
    double squared[1];
    surface_scores s;
    assert_int_equal(surface_compare(voxel, voxel, empty, spacing, 1, 1, &s), ST_INPUT);
    assert_int_equal(surface_compare(voxel, voxel, good, zero, 1, 1, &s), ST_INPUT);
    assert_int_equal(surface_compare(voxel, voxel, good, nan, 1, 1, &s), ST_INPUT);
    assert_int_equal(surface_compare(voxel, voxel, good, spacing, 1, -1, &s), ST_INPUT);
    assert_int_equal(surface_compare(voxel, voxel, good, spacing, 1, NAN, &s), ST_INPUT);
    assert_true(isnan(s.hd95) && isnan(s.nsd));
    assert_int_equal(distance_transform(voxel, empty, spacing, squared), ST_INPUT);
    assert_int_equal(distance_transform(voxel, good, zero, squared), ST_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scipy),      cmocka_unit_test(nearest_of_all_sites),
        cmocka_unit_test(shifted_cubes),     cmocka_unit_test(tolerance_equal_to_distance),
        cmocka_unit_test(absent_structures), cmocka_unit_test(unusable_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
