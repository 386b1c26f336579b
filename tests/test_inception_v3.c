/* Inception v3 against PyTorch: the features of an image, with parameters and an image that follow
 * from a formula (golden/inception.txt, written by golden/inception.py). */
#include "model/net/inception_v3.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 32, FAULT_NONE = 0, FAULT_MISSING, FAULT_NAN };

/* Number i of the stream `name`, in [-1, 1): noise() of golden/inception.py. */
static double noise(const char *name, int64_t i) {
    uint32_t v = 2166136261u;
    for (; *name; name++) v = (v ^ (uint8_t)*name) * 16777619u;
    v += (uint32_t)i;
    v = (v ^ v >> 16) * 0x7feb352du;
    v = (v ^ v >> 15) * 0x846ca68bu;
    v ^= v >> 16;
    return v / 2147483648.0 - 1;
}

static bool ends(const char *name, const char *with) {
    const size_t n = strlen(name), m = strlen(with);
    return n >= m && strcmp(name + n - m, with) == 0;
}

/* parameter() of golden/inception.py; *context: a fault of the last parameter. */
static status formula(void *context, const char *name, int rank, const int64_t *shape,
                      float *values) {
    const int *fault = context;
    int64_t fan = 1;
    for (int i = 1; i < rank; i++) fan *= shape[i];
    for (int64_t i = 0; i < shape[0] * fan; i++) {
        double v = noise(name, i);
        if (ends(name, "conv.weight"))
            v *= sqrt(6.0 / (double)fan);
        else
            v = 0.3 * v + (ends(name, "running_var") || ends(name, "bn.weight"));
        values[i] = (float)v;
    }
    if (strcmp(name, "Mixed_7c.branch_pool.bn.running_var") != 0) return ST_OK;
    if (*fault == FAULT_NAN) values[7] = NAN;
    return *fault == FAULT_MISSING ? status_fail(ST_INPUT, "no %s here", name) : ST_OK;
}

static void features_equal_pytorch(void **state) {
    (void)state;
    int fault = FAULT_NONE;
    const inception_v3_source source = {formula, &fault};
    static float images[3][SIZE][SIZE], features[3][INCEPTION_V3_FEATURES];
    inception_v3 *n = NULL;
    double largest = 0, error = 0;
    assert_int_equal(inception_v3_create(&source, 2, &n), ST_OK);
    for (int i = 0; i < SIZE * SIZE; i++) {
        (&images[0][0][0])[i] = 0.25f;
        (&images[1][0][0])[i] = (&images[2][0][0])[i] = (float)noise("image", i);
    }
    assert_int_equal(inception_v3_features(n, &images[0][0][0], 3, SIZE, &features[0][0]), ST_OK);
    inception_v3_destroy(n);
    FILE *golden = fopen("tests/golden/inception.txt", "r");
    assert_non_null(golden);
    for (int i = 0; i < INCEPTION_V3_FEATURES; i++) {
        double want = NAN;
        assert_int_equal(fscanf(golden, "%lf", &want), 1);
        largest = fmax(largest, want);
        error = fmax(error, fabs((double)features[1][i] - want));
    }
    fclose(golden);
    /* PyTorch's are of f64. Ours are sums of f32 in 48 layers, each with a rounding error of the
     * order of 6e-8 of its values. */
    if (!(error < 1e-5 * largest))
        fail_msg("a feature differs by %g, the largest is %g", error, largest);
    /* The second batch, of one image, gives the same bits as the first, of two. */
    assert_memory_equal(features[1], features[2], sizeof features[1]);
    assert_memory_not_equal(features[0], features[1], sizeof features[0]);
}

static void faults_are_errors(void **state) {
    (void)state;
    int fault = FAULT_MISSING;
    const inception_v3_source source = {formula, &fault};
    inception_v3 *n = NULL;
    float features[INCEPTION_V3_FEATURES], image[4] = {0, 0, INFINITY, 0};
    assert_int_equal(inception_v3_create(&source, 1, &n), ST_INPUT);
    assert_null(n);
    assert_non_null(strstr(status_message(), "no Mixed_7c.branch_pool.bn.running_var"));
    fault = FAULT_NAN;
    assert_int_equal(inception_v3_create(&source, 1, &n), ST_INPUT);
    assert_non_null(strstr(status_message(), "value 7 of Mixed_7c.branch_pool.bn.running_var"));
    assert_int_equal(inception_v3_create(&source, 0, &n), ST_USAGE);
    assert_int_equal(inception_v3_create(&source, INT64_MAX / 8, &n), ST_USAGE);
    fault = FAULT_NONE;
    assert_int_equal(inception_v3_create(&source, 1, &n), ST_OK);
    assert_int_equal(inception_v3_features(n, image, 1, 2, features), ST_INPUT);
    assert_non_null(strstr(status_message(), "image 0 of 1: pixel (1, 0) is not finite"));
    assert_int_equal(inception_v3_features(n, image, 1, 0, features), ST_INPUT);
    assert_int_equal(inception_v3_features(n, image, 1, INCEPTION_V3_SIZE_MAX + 1, features),
                     ST_INPUT);
    assert_int_equal(inception_v3_features(n, image, 0, 2, features), ST_OK);
    inception_v3_destroy(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_equal_pytorch),
        cmocka_unit_test(faults_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
