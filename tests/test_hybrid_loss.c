/* L_hybrid against PyTorch (tests/golden/hybrid_loss.py), its gradient against finite differences,
 * and its value against the bound's own terms. The network is a convolution of pixels that are unit
 * vectors, so that its weights are the predictions. */
#include "model/diffusion/hybrid.h"
#include "model/nn/plan.h"
#include "tests/golden/hybrid_loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PIXELS = 16, T = 100, CASES = sizeof golden_hybrid / sizeof *golden_hybrid };

static const float WEIGHT = 0.7f, VLB = 0.05f;
static const double HALF = 1.0 / 400; /* of a level, where a window of 400 HU is [-1, 1] */

typedef struct problem {
    schedule noise;
    graph *g;
    node loss;
    params *params;
    plan *plan;
    float *predicted, *output; /* [PIXELS] each: the weights */
} problem;

static node unit_vectors(graph *g) { return graph_input(g, "x", TYPE_F32, 1, PIXELS, PIXELS); }

static float *input(plan *pl, const char *name) {
    tensor t;
    assert_int_equal(plan_input(pl, name, &t), ST_OK);
    return t.at;
}

static void open_problem(problem *p) {
    *p = (problem){.loss = NODE_NONE};
    assert_int_equal(schedule_create(SCHEDULE_COSINE, T, &p->noise), ST_OK);
    assert_int_equal(graph_create(&p->g), ST_OK);
    node y = graph_conv(p->g, "p", unit_vectors(p->g), 2, 1, 1, INIT_ZERO);
    p->loss = graph_hybrid_loss(p->g, y, graph_input(p->g, "target", TYPE_F32, 1, PIXELS, 2),
                                graph_input(p->g, "step", TYPE_F32, 1, 1, HYBRID_STEP),
                                graph_input(p->g, "weight", TYPE_F32, 1, 1, 1), LOSS_L2);
    assert_int_equal(params_create(p->g, &p->params), ST_OK);
    params_init(p->params, 1);
    p->predicted = p->params->value + p->params->list[0].offset;
    p->output = p->predicted + PIXELS;
    plan_options options = {.engine = kernels_of(ENGINE_REFERENCE),
                            .batch = 1,
                            .training = true,
                            .outputs = &p->loss,
                            .output_count = 1,
                            .loss = p->loss};
    assert_int_equal(plan_create(p->g, p->params, &options, &p->plan), ST_OK);
    for (int i = 0; i < PIXELS; i++) input(p->plan, "x")[i * (PIXELS + 1)] = 1;
    *input(p->plan, "weight") = WEIGHT;
}

static void close_problem(problem *p) {
    plan_destroy(p->plan);
    params_destroy(p->params);
    graph_destroy(p->g);
    schedule_free(&p->noise);
}

/* The values of golden/hybrid_loss.py. */
static void fill(problem *p, const struct golden_hybrid *c, float *x0) {
    const double bar = schedule_alpha_bar(&p->noise, c->t), sigma = sqrt(1 - bar);
    const objective *o = objective_of((objective_kind)c->objective);
    const bound b = {&p->noise, VARIANCE_LEARNED, 2 * HALF};
    float eps[PIXELS], target[PIXELS];
    for (int i = 0; i < PIXELS; i++) {
        const double level = round(1.3 * sin(0.4 + 1.1 * i) / (2 * HALF)) * 2 * HALF;
        x0[i] = (float)fmin(fmax(level, -1), 1);
        eps[i] = (float)(1.2 * sin(0.9 + 2.3 * i));
    }
    o->target(bar, x0, eps, target, PIXELS);
    for (int i = 0; i < PIXELS; i++) {
        const double beside = c->objective == OBJECTIVE_X0 ? 0.1 * sigma : 0.1;
        input(p->plan, "target")[2 * i] = target[i];
        input(p->plan, "target")[2 * i + 1] = x0[i];
        p->predicted[i] = (float)((double)target[i] + beside * sin(0.2 + 3.1 * i));
        p->output[i] = (float)(0.8 * sin(2.5 + 0.7 * i));
    }
    hybrid_step(&b, o, c->t, input(p->plan, "step"));
    plan_params_changed(p->plan);
}

static double loss_of(problem *p) {
    assert_int_equal(plan_forward(p->plan, NULL), ST_OK);
    return (double)*(float *)plan_output(p->plan, p->loss).at;
}

/* The gradient by the predictions and by the outputs. */
static const float *gradient_of(problem *p) {
    memset(p->params->grad, 0, (size_t)p->params->total * sizeof(float));
    loss_of(p);
    assert_int_equal(plan_backward(p->plan, NULL, NULL), ST_OK);
    return p->params->grad + p->params->list[0].offset;
}

static double length(const double *x) {
    double sum = 0;
    for (int i = 0; i < PIXELS; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

/* Inputs are f32: the error e / s of a pixel is right to 1e-5 where s is smallest. */
static void loss_and_gradient_are_those_of_pytorch(void **state) {
    problem *p = *state;
    for (int k = 0; k < CASES; k++) {
        float x0[PIXELS];
        const struct golden_hybrid *c = &golden_hybrid[k];
        fill(p, c, x0);
        input(p->plan, "step")[HYBRID_WEIGHT] = VLB;
        assert_float_equal(loss_of(p), c->loss, 2e-5 * fabs(c->loss));
        const float *g = gradient_of(p);
        for (int i = 0; i < 2 * PIXELS; i++)
            assert_float_equal(g[i], c->gradient[i / PIXELS][i % PIXELS],
                               1e-4 * length(c->gradient[i / PIXELS]));
    }
}

/* By each output. A prediction has the slope of L_simple alone, 2 d / n, because the gradient of
 * the bound by the mean is stopped. */
static void gradients_are_finite_differences(void **state) {
    problem *p = *state;
    for (int k = 0; k < CASES; k++) {
        float x0[PIXELS], g[2 * PIXELS];
        double squares = 0;
        fill(p, &golden_hybrid[k], x0);
        input(p->plan, "step")[HYBRID_WEIGHT] = 10; /* the sum is rounded: the bound outweighs */
        memcpy(g, gradient_of(p), sizeof g);
        const double size = fabs(loss_of(p)), h = 1e-2;
        for (int i = 0; i < PIXELS; i++) squares += (double)g[PIXELS + i] * (double)g[PIXELS + i];
        for (int i = 0; i < PIXELS; i++) {
            const float keep = p->output[i];
            double side[2];
            for (int s = 0; s < 2; s++) {
                p->output[i] = (float)((double)keep + (s ? -h : h));
                plan_params_changed(p->plan);
                side[s] = loss_of(p);
            }
            p->output[i] = keep;
            assert_float_equal(g[PIXELS + i], (side[0] - side[1]) / (2 * h),
                               2e-7 * size / h + 2e-3 * sqrt(squares));
            const float d = p->predicted[i] - input(p->plan, "target")[2 * i];
            assert_float_equal(g[i], WEIGHT * 2 * d / PIXELS, 1e-6);
        }
    }
}

/* L_simple + 0.001 T L in bits per pixel, L from bound_term() on the x_0 that is predicted. */
static void the_bound_in_the_loss_is_the_bound(void **state) {
    problem *p = *state;
    const bound b = {&p->noise, VARIANCE_LEARNED, 2 * HALF};
    for (int k = 0; k < CASES; k++) {
        float x0[PIXELS], x_t[PIXELS], eps[PIXELS], x0_predicted[PIXELS];
        const struct golden_hybrid *c = &golden_hybrid[k];
        const objective *o = objective_of((objective_kind)c->objective);
        const double bar = schedule_alpha_bar(&p->noise, c->t);
        double simple = 0;
        fill(p, c, x0);
        for (int i = 0; i < PIXELS; i++) {
            const float d = p->predicted[i] - input(p->plan, "target")[2 * i];
            simple += (double)d * (double)d / PIXELS;
            eps[i] = (float)(1.2 * sin(0.9 + 2.3 * i));
        }
        for (int i = 0; i < PIXELS; i++)
            x_t[i] = (float)(sqrt(bar) * (double)x0[i] + sqrt(1 - bar) * (double)eps[i]);
        o->split(bar, x_t, p->predicted, x0_predicted, NULL, PIXELS);
        const double bits =
            bound_bits(bound_term(&b, c->t, x0, x0_predicted, p->output, PIXELS), PIXELS);
        const double truth = (double)WEIGHT * (simple + 0.001 * T * bits);
        assert_float_equal(loss_of(p), truth, 2e-5 * truth);
    }
}

static void shapes_are_checked(void **state) {
    (void)state;
    const int64_t wrong[3][3] = {{1, HYBRID_STEP, 1}, {2, HYBRID_STEP - 1, 1}, {2, HYBRID_STEP, 2}};
    for (int k = 0; k < 3; k++) {
        graph *g = NULL;
        assert_int_equal(graph_create(&g), ST_OK);
        node x = graph_input(g, "p", TYPE_F32, 4, 4, wrong[k][0]);
        graph_hybrid_loss(g, x, x, graph_input(g, "step", TYPE_F32, 1, 1, wrong[k][1]),
                          graph_input(g, "weight", TYPE_F32, 1, 1, wrong[k][2]), LOSS_L2);
        assert_int_equal(graph_check(g), ST_USAGE);
        graph_destroy(g);
    }
}

int main(void) {
    static problem p;
    open_problem(&p);
    void *state = &p;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(loss_and_gradient_are_those_of_pytorch, state),
        cmocka_unit_test_prestate(gradients_are_finite_differences, state),
        cmocka_unit_test_prestate(the_bound_in_the_loss_is_the_bound, state),
        cmocka_unit_test(shapes_are_checked),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    close_problem(&p);
    return failed;
}
