/* A network against PyTorch: parameters and inputs that follow from a formula, which the scripts in
 * tests/golden repeat, and files of results.
 *
 * A line of such a file is "NAME VALUE..." for an array, or "grad PARAMETER NORM DOT VALUE..." for
 * a gradient: its norm, its product with a wave, and its first four values. Included by one C file
 * of a program. */
#ifndef CTAUG_TESTS_TORCH_CASE_H
#define CTAUG_TESTS_TORCH_CASE_H

#include "model/nn/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static inline double phase(const char *name) {
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
    return (h % 1000) / 100.0;
}

static inline double wave(int64_t i, double start, double step) {
    return sin(start + step * (double)i);
}

static inline void set_weights(params *p) {
    for (int64_t k = 0; k < p->count; k++) {
        const param *one = &p->list[k];
        double fan = (double)(one->rank > 1 ? one->count / one->shape[0] : one->count);
        double base = one->init == PARAM_ONE ? 1 : 0;
        for (int64_t i = 0; i < one->count; i++)
            p->value[one->offset + i] = (float)(base + wave(i, phase(one->name), 0.7) / sqrt(fan));
    }
}

static inline void fill(plan *pl, const char *name, double start, double step) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    for (int64_t i = 0; i < tensor_count(&in); i++)
        ((float *)in.at)[i] = (float)wave(i, start, step);
}

static inline void set_input(plan *pl, const char *name, const float *values) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    memcpy(in.at, values, (size_t)tensor_bytes(&in));
}

/* Compares one line "grad <name> <norm> <dot> <first values>" with the gradient. */
static inline void check_gradient(const params *p, char *line) {
    char *save = NULL, *name = strtok_r(line, " ", &save);
    const param *one = NULL;
    for (int64_t k = 0; k < p->count; k++)
        if (strcmp(p->list[k].name, name) == 0) one = &p->list[k];
    if (!one) fail_msg("PyTorch has a parameter %s, the network has not", name);
    const float *g = p->grad + one->offset;
    double norm = 0, dot = 0;
    for (int64_t i = 0; i < one->count; i++) {
        norm += (double)g[i] * (double)g[i];
        dot += (double)g[i] * wave(i, 0.3, 0.11);
    }
    norm = sqrt(norm);
    double want = atof(strtok_r(NULL, " ", &save)), want_dot = atof(strtok_r(NULL, " ", &save));
    /* Both sides are f32. The bias gradient of a convolution before a norm is rounding error only.
     */
    double near = 2e-5 * want + 2e-6, near_dot = near * sqrt((double)one->count / 2);
    if (fabs(norm - want) > near || fabs(dot - want_dot) > near_dot)
        fail_msg("%s: gradient norm %.9g, PyTorch %.9g; dot %.9g, PyTorch %.9g", name, norm, want,
                 dot, want_dot);
    for (int64_t i = 0; i < 4 && i < one->count; i++) {
        double value = atof(strtok_r(NULL, " ", &save));
        if (fabs((double)g[i] - value) > near)
            fail_msg("%s[%d]: gradient %.9g, PyTorch %.9g", name, (int)i, (double)g[i], value);
    }
}

/* What a line of another name is compared with. */
typedef struct torch_array {
    const char *name;
    const float *at;
    int64_t count;
    double tolerance;
} torch_array;

static inline void check_array(const torch_array *list, int n, const char *line) {
    for (int k = 0; k < n; k++) {
        const size_t length = strlen(list[k].name);
        if (strncmp(line, list[k].name, length) != 0 || line[length] != ' ') continue;
        char *at = (char *)line + length;
        for (int64_t i = 0; i < list[k].count; i++)
            assert_float_equal(list[k].at[i], strtod(at, &at), list[k].tolerance);
        return;
    }
    fail_msg("a line of no known array: %.40s", line);
}

/* Every line of the file; it has the n arrays and all gradients of p. */
static inline void check_golden(const char *path, const params *p, const torch_array *list, int n) {
    FILE *golden = fopen(path, "r");
    assert_non_null(golden);
    char *line = NULL;
    size_t room = 0;
    int64_t gradients = 0, arrays = 0;
    while (getline(&line, &room, golden) > 0) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "grad ", 5) == 0) {
            check_gradient(p, line + 5);
            gradients++;
        } else {
            check_array(list, n, line);
            arrays++;
        }
    }
    assert_int_equal(gradients, p->count);
    assert_int_equal(arrays, n);
    free(line);
    fclose(golden);
}

#endif
