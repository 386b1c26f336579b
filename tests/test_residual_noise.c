/* The noise of decoded slices: the kernel of white noise is one pixel; a kernel has the
 * spectrum that was asked for, fields its covariances, mean 0 and variance 1; nothing without
 * power; levels at their quantiles; classes by HU. */
#include "model/residual_noise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/common/residual_class.h"

enum { N = RESIDUAL_PATCH, SIZE = 64, IMAGES = 60, CENTRE = RESIDUAL_SIDE / 2, LAGS = 3 };

static double frequency(int k) { return (double)(k <= N / 2 ? k : k - N) / N; }

/* cov(dy, dx) of the fields of a kernel, by its definition. */
static double covariance(const residual_noise *n, int dy, int dx) {
    double sum = 0;
    for (int y = 0; y + dy < RESIDUAL_SIDE; y++)
        for (int x = 0; x + dx < RESIDUAL_SIDE; x++)
            sum += (double)n->kernel[y * RESIDUAL_SIDE + x] *
                   (double)n->kernel[(y + dy) * RESIDUAL_SIDE + x + dx];
    return sum;
}

/* Mean, and mean products of pixels (dy, dx) apart, of fields of this kernel. */
static void measure(const residual_noise *n, double *mean, double product[LAGS][LAGS]) {
    static float field[SIZE * SIZE];
    float *scratch = malloc((size_t)residual_scratch(SIZE) * sizeof *scratch);
    assert_non_null(scratch);
    *mean = 0;
    memset(product, 0, LAGS * sizeof *product);
    for (int k = 0; k < IMAGES; k++) {
        rng_stream r = rng_open(3, RNG_RESIDUAL, (uint64_t)k, 0);
        residual_field(n, &r, SIZE, scratch, field);
        for (int i = 0; i < SIZE * SIZE; i++) *mean += (double)field[i] / (IMAGES * SIZE * SIZE);
        for (int lag = 0; lag < LAGS * LAGS; lag++) {
            const int dy = lag / LAGS, dx = lag % LAGS, pairs = (SIZE - dy) * (SIZE - dx);
            for (int i = 0; i < pairs; i++) {
                const int at = i / (SIZE - dx) * SIZE + i % (SIZE - dx);
                product[dy][dx] +=
                    (double)(field[at] * field[at + dy * SIZE + dx]) / (IMAGES * (double)pairs);
            }
        }
    }
    free(scratch);
}

static void white_noise_has_a_kernel_of_one_pixel(void **state) {
    (void)state;
    double power[N * N];
    residual_noise n = {.sigma = {0}};
    for (int i = 0; i < N * N; i++) power[i] = 7;
    residual_kernel(power, n.kernel);
    for (int i = 0; i < RESIDUAL_SIDE * RESIDUAL_SIDE; i++) {
        const bool centre = i == CENTRE * RESIDUAL_SIDE + CENTRE;
        assert_true(fabs((double)n.kernel[i] - (centre ? 1 : 0)) < 1e-6);
    }
}

/* As sharp kernels of scanners have it, more power along one axis. */
static double sharp(int i) {
    return 3 - 1.5 * cos(2 * M_PI * frequency(i / N)) - 0.7 * cos(2 * M_PI * frequency(i % N));
}

/* At the frequencies of the measurement, but for the last row and column of the kernel, which its
 * symmetry costs. */
static void the_kernel_has_the_spectrum(void **state) {
    (void)state;
    double power[N * N], total = 0;
    residual_noise n = {.sigma = {0}};
    for (int i = 0; i < N * N; i++) total += power[i] = sharp(i);
    residual_kernel(power, n.kernel);
    for (int i = 0; i < N * N; i++) {
        double response = 0;
        for (int k = 0; k < RESIDUAL_SIDE * RESIDUAL_SIDE; k++)
            response +=
                (double)n.kernel[k] * cos(2 * M_PI *
                                          ((k / RESIDUAL_SIDE - CENTRE) * frequency(i / N) +
                                           (k % RESIDUAL_SIDE - CENTRE) * frequency(i % N)));
        assert_true(fabs(response * response - N * N * power[i] / total) < 0.005);
    }
}

static void fields_are_those_of_the_kernel(void **state) {
    (void)state;
    double power[N * N], mean, product[LAGS][LAGS];
    residual_noise n = {.sigma = {0}};
    for (int i = 0; i < N * N; i++) power[i] = sharp(i);
    residual_kernel(power, n.kernel);
    measure(&n, &mean, product);
    assert_true(fabs(mean) < 4e-3 && fabs(covariance(&n, 0, 0) - 1) < 1e-6);
    assert_true(fabs(covariance(&n, 1, 0)) > 0.15);
    for (int lag = 0; lag < LAGS * LAGS; lag++) /* 4 standard errors */
        assert_true(fabs(product[lag / LAGS][lag % LAGS] - covariance(&n, lag / LAGS, lag % LAGS)) <
                    0.012);
}

/* Measured from noise of a known filter, the kernel makes noise of nearly the same covariances: the
 * window over 8 x 8 pixels blurs the spectrum, which takes a tenth of them. */
static void noise_of_a_filter_comes_again(void **state) {
    (void)state;
    static float white[(SIZE + 2) * (SIZE + 2)], image[SIZE * SIZE];
    static const float filter[9] = {0, -1, 0, -2, 6, -2, 0, -1, 0};
    double power[N * N] = {0};
    residual_noise n = {.sigma = {0}};
    for (int k = 0; k < IMAGES; k++) {
        rng_stream r = rng_open(4, RNG_NOISE, (uint64_t)k, 0);
        rng_fill_normal(&r, white, (SIZE + 2) * (SIZE + 2));
        for (int i = 0; i < SIZE * SIZE; i++) {
            image[i] = 0;
            for (int j = 0; j < 9; j++)
                image[i] += filter[j] * white[(i / SIZE + j / 3) * (SIZE + 2) + i % SIZE + j % 3];
        }
        for (int y = 0; y + N <= SIZE; y += N)
            for (int x = 0; x + N <= SIZE; x += N)
                noise_spectrum_power(image, SIZE, y, x, N, power);
    }
    residual_kernel(power, n.kernel);
    for (int dy = 0; dy < LAGS; dy++)
        for (int dx = 0; dx < LAGS; dx++) {
            double of_filter = 0;
            for (int y = 0; y + dy < 3; y++)
                for (int x = 0; x + dx < 3; x++)
                    of_filter +=
                        (double)filter[y * 3 + x] * (double)filter[(y + dy) * 3 + x + dx] / 46;
            assert_true(fabs(covariance(&n, dy, dx) - of_filter) < 0.06);
        }
}

static void no_power_no_noise(void **state) {
    (void)state;
    double power[N * N] = {0}, mean, product[LAGS][LAGS];
    residual_noise n = {.sigma = {1, 1, 1, 1}};
    residual_kernel(power, n.kernel);
    measure(&n, &mean, product);
    assert_true(mean == 0 && product[0][0] == 0);
}

static void levels_are_quantiles(void **state) {
    (void)state;
    residual_noise n = {.sigma = {0}};
    double last = 0;
    for (int i = 0; i < RESIDUAL_LEVELS; i++) n.level[i] = (float)(0.5 + 0.01 * i * i);
    for (int i = 0; i < RESIDUAL_LEVELS; i++)
        assert_true(fabs(residual_level(&n, (i + 0.5) / RESIDUAL_LEVELS) - (double)n.level[i]) <
                    1e-6);
    for (int i = 0; i <= 1000; i++) {
        const double level = residual_level(&n, i / 1001.0);
        assert_true(level >= last && level >= 0.5 && level <= 2.76);
        last = level;
    }
    assert_true(residual_level(&n, 0) == 0.5);
}

static void classes_are_by_hu(void **state) {
    (void)state;
    static const float hu[] = {-1024, -300, -100, 40, 180, 2900};
    static const int expected[] = {RESIDUAL_AIR, RESIDUAL_AIR, TISSUE_FAT,
                                   TISSUE_SOFT,  TISSUE_DENSE, TISSUE_DENSE};
    float image[25];
    uint8_t class[25];
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < 25; i++) image[i] = hu[k];
        residual_class(image, 5, class);
        for (int i = 0; i < 25; i++) assert_int_equal(class[i], expected[k]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(white_noise_has_a_kernel_of_one_pixel),
                                       cmocka_unit_test(the_kernel_has_the_spectrum),
                                       cmocka_unit_test(fields_are_those_of_the_kernel),
                                       cmocka_unit_test(noise_of_a_filter_comes_again),
                                       cmocka_unit_test(no_power_no_noise),
                                       cmocka_unit_test(levels_are_quantiles),
                                       cmocka_unit_test(classes_are_by_hu)};
    return cmocka_run_group_tests_name("residual_noise", tests, NULL, NULL);
}
