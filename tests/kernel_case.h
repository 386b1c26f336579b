/* What the tests of the engines share: input values, scratch, comparisons, finite differences.
 *
 * Included by one C file of a program. A test keeps activations as f32 arrays. Those of a bf16
 * kernel hold values that bf16 represents exactly; activations_in() and activations_out() convert.
 */
#ifndef CTAUG_TESTS_KERNEL_CASE_H
#define CTAUG_TESTS_KERNEL_CASE_H

#include "model/nn/kernels/bf16.h"
#include "model/nn/kernels.h"
#include "model/nn/kernels/cpu.h"

#include <inttypes.h>
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

/* Scratch of exactly `bytes` bytes, 64-byte aligned, filled with NaN: a kernel may not rely on what
 * scratch holds. The caller frees it. */
static inline void *scratch_of(int64_t bytes) {
    void *at = NULL;
    assert_int_equal(posix_memalign(&at, 64, (size_t)(bytes > 0 ? bytes : 1)), 0);
    memset(at, 0xff, (size_t)bytes);
    return at;
}

enum { GUARD = 1 << 16 };

/* Scratch followed by guard bytes. guard_check() fails if these were written, and frees both. */
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

/* Pseudo-random multiples of 1/1024 in (-1, 1), to which steps of 2^-k add without rounding. The
 * caller frees them. */
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

/* The values of x [n] in a new array of the kernel's type. The caller frees it. */
static inline void *activations_in(tensor_type type, const float *x, int64_t n) {
    void *typed = malloc((size_t)(n > 0 ? n * tensor_element_bytes(type) : 1));
    assert_non_null(typed);
    for (int64_t i = 0; i < n; i++) {
        if (type == TYPE_BF16)
            ((bf16 *)typed)[i] = bf16_from_f32(x[i]);
        else
            ((float *)typed)[i] = x[i];
    }
    return typed;
}

/* Copies the values of such an array to x [n] and frees the array. */
static inline void activations_out(tensor_type type, void *typed, float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = type == TYPE_BF16 ? bf16_to_f32(((bf16 *)typed)[i]) : ((float *)typed)[i];
    free(typed);
}

/* Rounds x [n] to the type. */
static inline void round_to_type(tensor_type type, float *x, int64_t n) {
    activations_out(type, activations_in(type, x, n), x, n);
}

/* Half a unit in the last place of x in bf16: the largest error of rounding it. */
static inline double bf16_half_unit(double x) {
    int exponent;
    frexp(x, &exponent);
    return ldexp(1, exponent - 9);
}

/* As all_near(), where each value was also rounded to the type. */
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

/* sum(y * dy), where y is computed from the arrays in `context`. */
typedef double (*objective)(void *context);

/* Checks that gradient [n] is d(objective)/dx, where x is one of the arrays in `context`, by the
 * five-point stencil. Its error is of order h^4, plus the rounding of y to f32 divided by h.
 * rounding: the size of y's values times the square root of their number. */
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

/* ---- bit-for-bit equality ---- */

#ifdef _OPENMP
enum { SEVERAL = 2 };
#else
enum { SEVERAL = 1 }; /* clang with libgomp: our loops are serial, only libraries use threads */
#endif

static inline void same_bits(const char *what, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: element %" PRId64 " is %.9g and %.9g", what, i, a[i], b[i]);
}

/* Copies the first sample of x [batch, n] over the others. */
static inline void repeat_first(float *x, int64_t batch, int64_t n) {
    for (int64_t b = 1; b < batch; b++) memcpy(x + b * n, x, (size_t)n * sizeof *x);
}

#endif
