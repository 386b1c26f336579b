/* What the tests of the engines share: numbers to feed them, comparisons, finite differences.
 *
 * Included by one C file of a program. Maps are f32 arrays here; one of a bf16 kernel holds numbers
 * that bf16 can say, and goes in and comes out through map_in() and map_out().
 */
#ifndef CTAUG_TESTS_KERNEL_CASE_H
#define CTAUG_TESTS_KERNEL_CASE_H

#include "model/nn/kernels/bf16.h"
#include "model/nn/kernels.h"
#include "model/nn/kernels/cpu.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const engine_kind fast_engines[] = {ENGINE_ONEDNN, ENGINE_OPENBLAS};
/* The largest relative error of rounding to f32. */
static const double U = 0x1p-24;

static inline const kernels *engine(engine_kind kind) {
    const kernels *k = kernels_of(kind);
    assert_string_equal(k->name, named_table_name(&engine_kinds, kind));
    return k;
}

static inline void ok(status st) {
    if (st != ST_OK) fail_msg("%s", status_message());
}

/* Scratch of so many bytes and not one more, holding NaN: what scratch holds means nothing. The
 * caller frees them. */
static inline void *scratch_of(int64_t bytes) {
    void *at = NULL;
    assert_int_equal(posix_memalign(&at, 64, (size_t)(bytes > 0 ? bytes : 1)), 0);
    memset(at, 0xff, (size_t)bytes);
    return at;
}

enum { GUARD = 1 << 16 };

/* Scratch with bytes behind it that nobody may write; guard_check() says whether, and frees it. */
static inline char *guarded(int64_t bytes) {
    char *scratch = scratch_of(bytes + GUARD);
    memset(scratch + bytes, 0x5a, GUARD);
    return scratch;
}

static inline void guard_check(void *scratch, int64_t bytes) {
    for (int i = 0; i < GUARD; i++) assert_int_equal(((char *)scratch)[bytes + i], 0x5a);
    free(scratch);
}

static inline float *filled(int64_t n, float value) {
    float *a = malloc((size_t)(n > 0 ? n : 1) * sizeof *a);
    assert_non_null(a);
    for (int64_t i = 0; i < n; i++) a[i] = value;
    return a;
}

/* Multiples of 1/1024 in (-1, 1): steps of 2^-k are added to them without rounding. */
static inline float *noise(int64_t n, uint32_t seed) {
    float *a = filled(n, 0);
    uint32_t s = seed * 2654435761u + 1;
    for (int64_t i = 0; i < n; i++) {
        s ^= s << 13, s ^= s >> 17, s ^= s << 5;
        a[i] = (float)((int)(s % 2047) - 1023) / 1024;
    }
    return a;
}

static inline float *absolute(const float *a, int64_t n) {
    float *b = filled(n, 0);
    for (int64_t i = 0; i < n; i++) b[i] = fabsf(a[i]);
    return b;
}

static inline double largest(const float *a, int64_t n) {
    double m = 0;
    for (int64_t i = 0; i < n; i++) m = fmax(m, fabs(a[i]));
    return m;
}

static inline void near(const char *what, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %.9g, expected %.9g +- %.3g", what, got, want, tolerance);
}

static inline void all_near(const char *what, const float *got, const float *want, int64_t n,
                            double tolerance) {
    for (int64_t i = 0; i < n; i++) near(what, got[i], want[i], tolerance);
}

/* A new array of the kernel's type with the numbers of x; NULL stays NULL. */
static inline void *map_in(tensor_type type, const float *x, int64_t n) {
    void *map = malloc((size_t)(n > 0 ? n * tensor_element_bytes(type) : 1));
    assert_non_null(map);
    for (int64_t i = 0; i < n; i++) {
        if (type == TYPE_BF16)
            ((bf16 *)map)[i] = bf16_from_f32(x[i]);
        else
            ((float *)map)[i] = x[i];
    }
    return map;
}

/* x = what the map holds; frees it. */
static inline void map_out(tensor_type type, void *map, float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = type == TYPE_BF16 ? bf16_to_f32(((bf16 *)map)[i]) : ((float *)map)[i];
    free(map);
}

/* Rounds x to what the type can say. */
static inline void map_round(tensor_type type, float *x, int64_t n) {
    map_out(type, map_in(type, x, n), x, n);
}

/* The most that rounding a number of this size to bf16 changes it: half a unit of its last place.
 */
static inline double bf16_half_unit(double x) {
    int exponent;
    frexp(x, &exponent);
    return ldexp(1, exponent - 9);
}

/* As all_near(), where each number has been rounded to the type besides. */
static inline void all_near_in(const char *what, tensor_type type, const float *got,
                               const float *want, int64_t n, double tolerance) {
    for (int64_t i = 0; i < n; i++)
        near(what, got[i], want[i],
             tolerance + (type == TYPE_BF16 ? bf16_half_unit(fabs(want[i]) + tolerance) : 0));
}

/* Runs a group of tests once for each feature set that this processor has, the narrowest first.
 * Returns the number of failures. */
#define RUN_AT_EACH_FEATURE_SET(tests)                                                             \
    run_at_each_feature_set(tests, sizeof(tests) / sizeof((tests)[0]))
static inline int run_at_each_feature_set(const struct CMUnitTest *tests, size_t count) {
    int failures = 0;
    const cpu_features widest = cpu_available();
    for (cpu_features set = CPU_BASELINE; set <= widest; set++) {
        cpu_limit(set);
        failures += _cmocka_run_group_tests(cpu_features_name(set), tests, count, NULL, NULL);
    }
    cpu_limit(CPU_AMX);
    return failures;
}

/* ---- finite differences of the reference ---- */

/* sum of y * weight as a function of the numbers behind `x`, one of the arrays in `context` */
typedef double (*objective)(void *context);

/* gradient [n] must be d(objective)/dx: five-point stencil, error h^4 and the rounding of y to f32
 * (size of y's numbers times the root of how many) divided by h. */
static inline void check_gradient(const char *what, objective f, void *context, float *x, int64_t n,
                                  const float *gradient, double rounding) {
    const float h = 0x1p-5f;
    for (int64_t i = 0; i < n; i++) {
        float keep = x[i];
        double at[4];
        const float steps[4] = {-2 * h, -h, h, 2 * h};
        for (int j = 0; j < 4; j++) {
            x[i] = keep + steps[j];
            at[j] = f(context);
        }
        x[i] = keep;
        double slope = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12.0 * h);
        near(what, gradient[i], slope, 4 * U * rounding / h + 200 * pow(h, 4) / 30);
    }
}

static inline double dot(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* ---- same bits ---- */

#ifdef _OPENMP
enum { SEVERAL = 2 };
#else
enum { SEVERAL = 1 }; /* clang against libgomp: loops are serial, threads inside libraries only */
#endif

static inline void same_bits(const char *what, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: element %lld is %.9g and %.9g", what, (long long)i, a[i], b[i]);
}

/* Makes every sample equal the first. */
static inline void repeat_first(float *x, int64_t batch, int64_t n) {
    for (int64_t b = 1; b < batch; b++) memcpy(x + b * n, x, (size_t)n * sizeof *x);
}

#endif
