/* Distances between sets of slices: identities (a set against itself, a shifted one), how many
 * slices each measure takes, what is left out of small sets, and the members of the JSON. */
#include "pipeline/evaluate/distribution.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { DIM = 6, SIZE = 16, IMAGES = 4, SEED = 5 };

/* n normal vectors of stream `which`, plus `shift`; images of noise. */
static slice_set random_set(int64_t n, uint64_t which, float shift) {
    slice_set s;
    assert_int_equal(slice_set_alloc(n, DIM, IMAGES, SIZE, &s), ST_OK);
    rng_stream r = rng_open(SEED, RNG_NOISE, which, 0);
    rng_fill_normal(&r, s.features, n * DIM);
    for (int64_t i = 0; i < n * DIM; i++) s.features[i] += shift;
    rng_fill_uniform(&r, s.images, IMAGES * SIZE * SIZE);
    return s;
}

static distribution measured(const slice_set *real, const slice_set *made, const slice_set *floor) {
    distribution d;
    assert_int_equal(distribution_measure(real, made, floor, DIM, SIZE, SEED, &d), ST_OK);
    return d;
}

static bool equal(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (1 + fabs(b));
}

/* The subsets of KID are other vectors of the same set: 100 of 100 from 400, so that its mean is 0
 * within a few hundredths. */
static void a_set_against_itself(void **state) {
    (void)state;
    slice_set s = random_set(400, 0, 0);
    const distribution d = measured(&s, &s, &s);
    assert_true(d.fid < 1e-8 && d.fid_floor == d.fid);
    assert_true(equal(d.fid_curve[FID_SIZES - 1], 0, 1e-8));
    assert_true(fabs(d.kid) < 0.05 && d.kid_floor == d.kid);
    assert_true(d.kid_low <= d.kid && d.kid <= d.kid_high);
    assert_true(d.manifold.precision == 1 && d.manifold.recall == 1 && d.manifold.coverage == 1);
    assert_true(d.manifold.density >= 1 && d.manifold_floor.density == d.manifold.density);
    assert_true(d.ms_ssim == d.ms_ssim_floor && d.ms_ssim < 0.5);
    slice_set_free(&s);
}

/* Shifted vectors have the same covariance: FID is the squared length of the shift, 6 x 3^2, up to
 * the rounding of f32 features. The floor, other vectors of the same kind, is far below. */
static void a_shifted_set(void **state) {
    (void)state;
    slice_set real = random_set(300, 0, 0), made = random_set(300, 0, 3),
              floor = random_set(300, 1, 0);
    const distribution d = measured(&real, &made, &floor);
    assert_true(equal(d.fid, DIM * 9.0, 1e-5));
    assert_true(d.fid_floor > 0 && d.fid_floor < 1);
    assert_true(equal(d.fid_curve[FID_SIZES - 1], d.fid, 1e-12));
    assert_true(equal(d.fid_infinity, DIM * 9.0, 0.1));
    assert_true(d.kid_low > d.kid_floor && fabs(d.kid_floor) < 0.1);
    assert_true(d.manifold.precision < 0.1 && d.manifold_floor.precision > 0.7);
    assert_true(d.manifold.coverage < 0.1 && d.manifold_floor.coverage > 0.7);
    slice_set_free(&real);
    slice_set_free(&made);
    slice_set_free(&floor);
}

/* FID takes all real slices; KID and the others equally many of each set. */
static void numbers_of_slices(void **state) {
    (void)state;
    const struct {
        int64_t real, made, floor, fid, equal;
    } cases[] = {
        {40, 30, 50, 30, 30}, {20, 30, 50, 30, 20}, {50, 40, 17, 17, 17}, {16, 16, 16, 16, 16}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        slice_set real = random_set(cases[k].real, 0, 0), made = random_set(cases[k].made, 1, 1),
                  floor = random_set(cases[k].floor, 2, 0);
        const distribution d = measured(&real, &made, &floor);
        assert_int_equal(d.n_real, cases[k].real);
        assert_int_equal(d.n_synthetic, cases[k].fid);
        assert_int_equal(d.n_floor, cases[k].fid);
        assert_int_equal(d.n_equal, cases[k].equal);
        assert_int_equal(d.dim, DIM);
        for (int i = 0; i < FID_SIZES; i++)
            assert_int_equal(d.fid_size[i], cases[k].equal * (i + 1) / FID_SIZES);
        slice_set_free(&real);
        slice_set_free(&made);
        slice_set_free(&floor);
    }
}

/* Of a set that is too large every other vector is taken: those at odd places do not count. */
static void thinned_evenly(void **state) {
    (void)state;
    slice_set real = random_set(32, 0, 0), made = random_set(64, 1, 0), few = random_set(32, 2, 0);
    for (int64_t i = 0; i < 32; i++)
        memcpy(few.features + i * DIM, made.features + 2 * i * DIM, DIM * sizeof(float));
    const distribution one = measured(&real, &made, &real), two = measured(&real, &few, &real);
    assert_true(one.fid == two.fid && one.kid == two.kid &&
                one.manifold.density == two.manifold.density);
    slice_set_free(&real);
    slice_set_free(&made);
    slice_set_free(&few);
}

static void small_sets_have_a_fid(void **state) {
    (void)state;
    slice_set real = random_set(15, 0, 0), made = random_set(30, 1, 0), one = random_set(1, 2, 0);
    distribution d = measured(&real, &made, &made);
    assert_true(isfinite(d.fid) && isfinite(d.fid_floor));
    assert_true(isnan(d.kid) && isnan(d.fid_infinity) && isnan(d.manifold.recall));
    assert_int_equal(d.fid_size[0], 0);
    json_t *entry = distribution_json(&d);
    assert_int_equal(json_array_size(json_object_get(entry, "fid_curve")), 0);
    assert_true(json_is_null(json_object_get(entry, "kid")));
    assert_true(json_is_null(json_object_get(entry, "recall_floor")));
    json_decref(entry);
    assert_int_equal(distribution_measure(&one, &made, &made, DIM, SIZE, SEED, &d), ST_INPUT);
    assert_int_equal(distribution_measure(&real, &one, &made, DIM, SIZE, SEED, &d), ST_INPUT);
    real.features[3] = (float)NAN;
    assert_int_equal(distribution_measure(&real, &made, &made, DIM, SIZE, SEED, &d), ST_INPUT);
    slice_set_free(&real);
    slice_set_free(&made);
    slice_set_free(&one);
}

/* Equal images have the similarity 1; images of 8 x 8 pixels have none. */
static void similarity_of_pairs(void **state) {
    (void)state;
    slice_set s = random_set(16, 0, 0), floor = random_set(16, 1, 0);
    for (int i = 1; i < IMAGES; i++)
        memcpy(s.images + (ptrdiff_t)i * SIZE * SIZE, s.images, SIZE * SIZE * sizeof(float));
    distribution d = measured(&floor, &s, &floor);
    assert_true(equal(d.ms_ssim, 1, 1e-6) && d.ms_ssim_floor < 0.5);
    assert_int_equal(distribution_measure(&floor, &s, &floor, DIM, 8, SEED, &d), ST_OK);
    assert_true(isnan(d.ms_ssim) && isnan(d.ms_ssim_floor));
    slice_set_free(&s);
    slice_set_free(&floor);
}

static void json_has_every_member(void **state) {
    (void)state;
    static const char *const names[] = {
        "n_real",        "n_synthetic",   "n_floor",         "n_equal",
        "dim",           "fid",           "fid_floor",       "fid_infinity",
        "kid",           "kid_low",       "kid_high",        "kid_floor",
        "precision",     "recall",        "density",         "coverage",
        "ms_ssim",       "ms_ssim_floor", "precision_floor", "recall_floor",
        "density_floor", "coverage_floor"};
    slice_set real = random_set(20, 0, 0), made = random_set(20, 1, 1);
    const distribution d = measured(&real, &made, &real);
    json_t *entry = distribution_json(&d);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!json_is_number(json_object_get(entry, names[i]))) fail_msg("%s", names[i]);
    const json_t *curve = json_object_get(entry, "fid_curve");
    assert_int_equal(json_array_size(curve), FID_SIZES);
    const json_t *last = json_array_get(curve, FID_SIZES - 1);
    assert_int_equal(json_integer_value(json_array_get(last, 0)), 20);
    assert_true(equal(json_real_value(json_array_get(last, 1)), d.fid, 1e-12));
    json_decref(entry);
    slice_set_free(&real);
    slice_set_free(&made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_against_itself),  cmocka_unit_test(a_shifted_set),
        cmocka_unit_test(numbers_of_slices),     cmocka_unit_test(thinned_evenly),
        cmocka_unit_test(small_sets_have_a_fid), cmocka_unit_test(similarity_of_pairs),
        cmocka_unit_test(json_has_every_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
