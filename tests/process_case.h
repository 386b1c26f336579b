/* What the tests of processes and of consistency models share: the small network whose loss and
 * gradient tests/golden/process.py computes, its parameters, data and noise. Included by one C file
 * of a program. */
#ifndef CTAUG_TESTS_PROCESS_CASE_H
#define CTAUG_TESTS_PROCESS_CASE_H

#include "model/diffusion/process.h"
#include "tests/golden/process.h"
#include "tests/net_case.h"

enum { PIXELS = SIZE * SIZE };

static const double SIGMA_DATA = 0.6;

static inline process open_process(process_settings set) {
    process p;
    set.steps = 1000;
    set.schedule = SCHEDULE_COSINE;
    if (set.shift == 0) set.shift = 1;
    set.sigma_data = SIGMA_DATA;
    assert_int_equal(process_open(&set, &p), ST_OK);
    return p;
}

/* The formula of tests/golden/process.py. */
static inline void wave(float *out, int64_t n, double start, double factor) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(factor * sin(start + 0.7 * (double)i));
}

/* The network of tests/golden/process.py, without a loss. */
static inline net describe_network(void) {
    enum { WIDTH = 16 };
    net n = {.loss = NODE_NONE};
    assert_int_equal(graph_create(&n.g), ST_OK);
    node x = graph_input(n.g, "x", TYPE_F32, SIZE, SIZE, 1);
    node t = graph_input(n.g, "t", TYPE_F32, 1, 1, 1);
    node e = graph_linear(n.g, "t", graph_sinusoid(n.g, t, WIDTH, 1), WIDTH, INIT_UNIFORM);
    node h = graph_conv(n.g, "a", x, WIDTH, 3, 1, INIT_UNIFORM);
    e = graph_linear(n.g, "e", graph_silu(n.g, e), 2 * WIDTH, INIT_UNIFORM);
    h = graph_norm(n.g, "n", h, 8, e, true);
    n.out = graph_conv(n.g, "b", h, 1, 3, 1, INIT_UNIFORM);
    return n;
}

/* Its parameters there. */
static inline params *golden_params(const net *n) {
    params *all = NULL;
    assert_int_equal(params_create(n->g, &all), ST_OK);
    assert_int_equal(all->count, GOLDEN_PARAMS);
    for (int64_t k = 0; k < all->count; k++) {
        const param *q = &all->list[k];
        const int64_t fan = q->rank == 4 ? 9 * q->shape[1] : q->shape[q->rank - 1];
        wave(all->value + q->offset, q->count, (double)(k + 1), 1 / sqrt((double)fan));
    }
    return all;
}

/* Data and noise there, [BATCH][PIXELS]. */
static inline void golden_data(float *data, float *noise) {
    wave(data, BATCH * PIXELS, 31, SIGMA_DATA * sqrt(2));
    wave(noise, BATCH * PIXELS, 57, sqrt(2));
}

static inline float *input(plan *pl, const char *name) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    return in.at;
}

/* Loss and gradient of a plan whose inputs are filled against those of the script. */
static inline void compare_with(const golden_process *golden, const net *n, plan *pl, params *all) {
    float along[2 * 16 * 16];
    assert_float_equal(loss_of(pl, n) / golden->loss, 1, 1e-5);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    for (int64_t k = 0; k < all->count; k++) {
        const param *q = &all->list[k];
        const float *g = all->grad + q->offset;
        double square = 0, sum = 0;
        wave(along, q->count, 5, 1);
        for (int64_t i = 0; i < q->count; i++) {
            square += (double)g[i] * (double)g[i];
            sum += (double)g[i] * (double)along[i];
        }
        const double norm = golden->gradient[k][0];
        assert_float_equal(sqrt(square), norm, 2e-5 * norm);
        assert_float_equal(sum, golden->gradient[k][1], 5e-5 * norm * sqrt((double)q->count));
    }
}

#endif
