/* What the tests of graphs and plans share: a small network with a loss, inputs and parameters for
 * it, and the check of its gradient by finite differences. Included by one C file of a program. */
#ifndef CTAUG_TESTS_NET_CASE_H
#define CTAUG_TESTS_NET_CASE_H

#include "model/nn/plan.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 2, SIZE = 6 };

typedef struct net {
    graph *g;
    node out, loss;
} net;

static const uint64_t samples[BATCH] = {5, 9};
static const plan_keys keys = {.seed = 1, .step = 3, .sample = samples};

/* Completes a net whose `out` is [size, size, channels] with a regression loss. */
static inline void add_loss(net *n, int64_t size, int64_t channels, loss_kind kind) {
    node target = graph_input(n->g, "target", TYPE_F32, size, size, channels);
    node weight = graph_input(n->g, "weight", TYPE_F32, 1, 1, 1);
    n->loss = graph_regression_loss(n->g, n->out, target, weight, kind);
    assert_int_equal(graph_check(n->g), ST_OK);
}

static inline plan *make_plan_as(const net *n, params *p, engine_kind engine, bool training,
                                 tensor_type compute, bool recompute) {
    plan *pl = NULL;
    plan_options options = {.batch = BATCH,
                            .training = training,
                            .compute = compute,
                            .recompute = recompute,
                            .outputs = (node[]){n->out, n->loss},
                            .output_count = 2,
                            .loss = n->loss};
    options.engine = kernels_of(engine);
    assert_int_equal(plan_create(n->g, p, &options, &pl), ST_OK);
    return pl;
}

static inline plan *make_plan(const net *n, params *p, engine_kind engine, bool training) {
    return make_plan_as(n, p, engine, training, TYPE_F32, false);
}

static inline void fill_input(plan *pl, const char *name, double amplitude, double offset) {
    tensor in;
    if (plan_input(pl, name, &in) != ST_OK) return;
    rng_stream r = rng_open(7, RNG_NOISE, (uint64_t)name[0], 0);
    for (int64_t i = 0; i < tensor_count(&in); i++) {
        if (in.type == TYPE_U8)
            ((uint8_t *)in.at)[i] = (uint8_t)rng_below(&r, 3); /* class 3 is absent */
        else
            ((float *)in.at)[i] = (float)(offset + amplitude * rng_normal(&r));
    }
}

/* Sentences of tokens 0..4, some of them twice; that of sample 1 has 3 tokens, then pads. */
static inline void fill_sentences(plan *pl) {
    tensor tokens, mask;
    if (plan_input(pl, "tokens", &tokens) != ST_OK) return;
    assert_int_equal(plan_input(pl, "mask", &mask), ST_OK);
    const int64_t length = tensor_sample(&tokens);
    for (int64_t i = 0; i < tensor_count(&tokens); i++) {
        ((float *)tokens.at)[i] = (float)(i * i % 5);
        ((float *)mask.at)[i] = (float)(i < length + 3);
    }
}

static inline void fill_inputs(plan *pl) {
    fill_sentences(pl);
    fill_input(pl, "x", 1, 0);
    fill_input(pl, "t", 3, 10);
    fill_input(pl, "target", 1.5, 0);
    fill_input(pl, "rest", 1.5, 0);
    fill_input(pl, "step", 0, 0.8);
    fill_input(pl, "labels", 0, 0);
    fill_input(pl, "class", 0, 2);
    fill_input(pl, "weight", 0, 0.5);
    fill_input(pl, "text", 1, 0);
    fill_input(pl, "text_mask", 0, 1);
}

static inline double loss_of(plan *pl, const net *n) {
    assert_int_equal(plan_forward(pl, &keys), ST_OK);
    tensor y = plan_output(pl, n->loss);
    double sum = 0;
    for (int64_t b = 0; b < BATCH; b++) sum += (double)((float *)y.at)[b];
    return sum;
}

/* Parameters moved away from their symmetric initial values. */
static inline params *make_params(const net *n) {
    params *p = NULL;
    assert_int_equal(params_create(n->g, &p), ST_OK);
    params_init(p, 11);
    rng_stream r = rng_open(3, RNG_INIT, 999, 0);
    for (int64_t i = 0; i < p->total; i++) p->value[i] += (float)(0.1 * rng_normal(&r));
    return p;
}

/* Along each parameter's own gradient g: (L(w + h g/|g|) - L(w - h g/|g|)) / 2h = |g|. A wrong
 * vector in place of g has a smaller slope along itself than its length.
 *
 * Tolerance: the loss is rounded to a relative 1e-7, which is divided by 2h; the third derivative
 * times h^2 adds a fraction of |g|. */
static inline void check_finite_differences(const net *n) {
    params *p = make_params(n);
    plan *pl = make_plan(n, p, ENGINE_REFERENCE, true);
    fill_inputs(pl);
    double size = fabs(loss_of(pl, n));
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    float *keep = malloc((size_t)p->total * sizeof(float));
    memcpy(keep, p->value, (size_t)p->total * sizeof(float));
    for (int64_t k = 0; k < p->count; k++) {
        const param *one = &p->list[k];
        double h = 1e-2, loss[2], norm = 0;
        for (int64_t i = one->offset; i < one->offset + one->count; i++)
            norm += (double)p->grad[i] * (double)p->grad[i];
        norm = sqrt(norm);
        assert_true(norm > 0);
        for (int side = 0; side < 2; side++) {
            for (int64_t i = one->offset; i < one->offset + one->count; i++)
                p->value[i] =
                    (float)((double)keep[i] + (side ? -h : h) * (double)p->grad[i] / norm);
            plan_params_changed(pl);
            loss[side] = loss_of(pl, n);
        }
        memcpy(p->value, keep, (size_t)p->total * sizeof(float));
        double seen = (loss[0] - loss[1]) / (2 * h);
        if (fabs(seen - norm) > 2e-7 * size / h + 2e-3 * norm)
            fail_msg("%s: finite difference %.6g, gradient %.6g", one->name, seen, norm);
    }
    free(keep);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n->g);
}

static inline double difference(const float *a, const float *b, int64_t n) {
    double d = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(d / size);
}

#endif
