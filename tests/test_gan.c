/* The parts of a GAN: its losses and their gradients against finite differences, the spectral norm
 * against numpy and PyTorch (tests/golden/gan.py), and the discriminator's frozen parameters. */
#include "tests/net_case.h"
#include "tests/golden/gan.h"

#include "model/net/gan.h"
#include "model/net/spectral.h"
#include "model/optim.h"

enum { PIXELS = 16, LABELS = 3, LAYERS = GOLDEN_LAYERS };

static unet_config config_of(int64_t size) {
    return (unet_config){.size = size,
                         .channels = 1,
                         .labels = LABELS,
                         .classes = 2,
                         .position = true,
                         .base = 8,
                         .levels = 2,
                         .mult = {1, 2},
                         .blocks = 1,
                         .head = 8};
}

/* The formula of tests/golden/gan.py. */
static void wave(float *out, int64_t n, double start, double factor) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(factor * sin(start + 0.7 * (double)i));
}

static plan *training_plan(const gan_graph *graph, params *p) {
    plan *pl = NULL;
    const plan_options options = {.engine = kernels_of(ENGINE_REFERENCE),
                                  .batch = BATCH,
                                  .training = true,
                                  .outputs = &graph->loss,
                                  .output_count = 1,
                                  .loss = graph->loss};
    assert_int_equal(plan_create(graph->g, p, &options, &pl), ST_OK);
    return pl;
}

static void set_input(plan *pl, const char *name, double start, double factor) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    wave(in.at, tensor_count(&in), start, factor);
}

static void set_values(plan *pl, const char *name, double first, double second) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    ((float *)in.at)[0] = (float)first;
    ((float *)in.at)[1] = (float)second;
}

static double run_loss(plan *pl, const gan_graph *graph) {
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    const float *y = plan_output(pl, graph->loss).at;
    return (double)y[0] + (double)y[1];
}

static double norm_of(const float *x, int64_t n) {
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += (double)x[i] * (double)x[i];
    return sqrt(square);
}

/* Inputs of either graph; those that it does not have are left out by name. */
static void fill(plan *pl, bool discriminator) {
    if (discriminator) {
        set_input(pl, "image", 101, 40);
        set_values(pl, "sign", 1, -1);
    } else {
        set_input(pl, "x", 103, 1);
        set_values(pl, "position", 0.25, 0.75);
        set_input(pl, "class", 104, 1);
        set_input(pl, "target", 105, 1);
        set_values(pl, "weight_l1", 0.25, 0.75);
    }
    set_input(pl, "labels", 102, 1);
    set_values(pl, "weight", 0.5, 0.5);
}

/* (L(w + h d) - L(w - h d)) / 2h along d = g / |g| must be |g| (as in net_case.h). The leaky ReLU
 * and the hinge have kinks: the few that lie within h give an error that falls with h, and the f32
 * loss one that grows. */
static void check_slope(plan *pl, const gan_graph *graph, params *p, const param *one) {
    const double h = 1e-3;
    double loss[2], norm = norm_of(p->grad + one->offset, one->count);
    float *keep = malloc((size_t)one->count * sizeof *keep);
    memcpy(keep, p->value + one->offset, (size_t)one->count * sizeof *keep);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < one->count; i++)
            p->value[one->offset + i] =
                (float)((double)keep[i] +
                        (side ? -h : h) * (double)p->grad[one->offset + i] / norm);
        plan_params_changed(pl);
        loss[side] = run_loss(pl, graph);
    }
    memcpy(p->value + one->offset, keep, (size_t)one->count * sizeof *keep);
    free(keep);
    const double seen = (loss[0] - loss[1]) / (2 * h);
    if (fabs(seen - norm) > 2e-7 * fabs(loss[0]) / h + 2e-2 * norm)
        fail_msg("%s: finite difference %.6g, gradient %.6g", one->name, seen, norm);
}

static void check_gradient(gan_graph *graph, bool discriminator) {
    params *p = NULL;
    int64_t checked = 0, frozen = 0;
    assert_int_equal(params_create(graph->g, &p), ST_OK);
    params_init(p, 11);
    rng_stream r = rng_open(3, RNG_INIT, 999, 0);
    for (int64_t i = 0; i < p->total; i++) p->value[i] += (float)(0.1 * rng_normal(&r));
    plan *pl = training_plan(graph, p);
    fill(pl, discriminator);
    run_loss(pl, graph);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    for (int64_t k = 0; k < p->count; k++) {
        const param *one = &p->list[k];
        const double norm = norm_of(p->grad + one->offset, one->count);
        assert_int_equal(norm == 0, one->frozen);
        frozen += one->frozen;
        if (one->frozen) continue;
        check_slope(pl, graph, p, one);
        checked++;
    }
    assert_int_equal(frozen, discriminator ? LAYERS : 3 * LAYERS);
    assert_int_equal(checked, p->count - frozen);
    plan_destroy(pl);
    params_destroy(p);
}

static void gradient_of_the_discriminator(void **state) {
    (void)state;
    const unet_config c = config_of(PIXELS);
    gan_graph graph;
    assert_int_equal(gan_describe_discriminator(&c, &graph), ST_OK);
    check_gradient(&graph, true);
    gan_graph_free(&graph);
}

static void gradient_of_the_generator_through_the_frozen_discriminator(void **state) {
    (void)state;
    const unet_config c = config_of(8);
    gan_graph graph;
    assert_int_equal(gan_describe_training(&c, &graph), ST_OK);
    check_gradient(&graph, false);
    gan_graph_free(&graph);
}

/* An optimiser step with weight decay moves the generator and not one bit of the discriminator,
 * whose parameters have the order and the sizes of the discriminator's own graph. */
static void frozen_parameters_stay(void **state) {
    (void)state;
    const unet_config c = config_of(8);
    gan_graph graph, apart;
    params *p = NULL, *own = NULL;
    assert_int_equal(gan_describe_training(&c, &graph), ST_OK);
    assert_int_equal(gan_describe_discriminator(&c, &apart), ST_OK);
    assert_int_equal(params_create(graph.g, &p), ST_OK);
    assert_int_equal(params_create(apart.g, &own), ST_OK);
    params_init(p, 5);
    const int64_t first = p->count - own->count, at = p->total - own->total;
    for (int64_t k = 0; k < own->count; k++) {
        assert_string_equal(p->list[first + k].name, own->list[k].name);
        assert_int_equal(p->list[first + k].offset, at + own->list[k].offset);
        assert_true(p->list[first + k].frozen);
    }
    plan *pl = training_plan(&graph, p);
    fill(pl, false);
    run_loss(pl, &graph);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    float *before = malloc((size_t)p->total * sizeof *before);
    float *moments = calloc((size_t)p->total * 2, sizeof *moments);
    memcpy(before, p->value, (size_t)p->total * sizeof *before);
    const adamw a = {.lr = 0.1,
                     .beta1 = 0.5,
                     .beta2 = 0.999,
                     .eps = 1e-8,
                     .weight_decay = 0.1,
                     .step = 1,
                     .scale = 1};
    adamw_update(&a, p->value, p->grad, moments, moments + p->total, p->decay, NULL, 0, p->total);
    assert_memory_equal(before + at, p->value + at, (size_t)own->total * sizeof *before);
    assert_true(difference(p->value, before, at) > 0.01);
    free(before);
    free(moments);
    plan_destroy(pl);
    params_destroy(p);
    params_destroy(own);
    gan_graph_free(&graph);
    gan_graph_free(&apart);
}

/* weight_l1 adds the mean absolute difference of the image from the target, sample by sample. */
static void the_generator_is_pulled_to_the_target(void **state) {
    (void)state;
    const unet_config c = config_of(8);
    gan_graph graph;
    params *p = NULL;
    plan *pl = NULL;
    float without[BATCH];
    assert_int_equal(gan_describe_training(&c, &graph), ST_OK);
    assert_int_equal(params_create(graph.g, &p), ST_OK);
    params_init(p, 5);
    const plan_options options = {.engine = kernels_of(ENGINE_REFERENCE),
                                  .batch = BATCH,
                                  .outputs = (node[]){graph.image, graph.loss},
                                  .output_count = 2};
    assert_int_equal(plan_create(graph.g, p, &options, &pl), ST_OK);
    fill(pl, false);
    set_values(pl, "weight_l1", 0, 0);
    run_loss(pl, &graph);
    memcpy(without, plan_output(pl, graph.loss).at, sizeof without);
    set_values(pl, "weight_l1", 2, 0);
    run_loss(pl, &graph);
    const float *with = plan_output(pl, graph.loss).at, *image = plan_output(pl, graph.image).at;
    tensor target;
    double sum = 0;
    assert_int_equal(plan_input(pl, "target", &target), ST_OK);
    for (int i = 0; i < 64; i++) sum += fabs((double)image[i] - (double)((float *)target.at)[i]);
    assert_true(sum > 1);
    assert_float_equal(with[0] - without[0], 2 * sum / 64, 1e-5);
    assert_float_equal(with[1], without[1], 0);
    plan_destroy(pl);
    params_destroy(p);
    gan_graph_free(&graph);
}

/* The loss has known values at known scores: a 1x1 convolution of weight 1 and bias 0. */
static void hinge_and_score_of_known_values(void **state) {
    (void)state;
    enum { HINGE, SCORE };
    for (int which = HINGE; which <= SCORE; which++) {
        gan_graph graph = {0};
        params *p = NULL;
        assert_int_equal(graph_create(&graph.g), ST_OK);
        node x = graph_input(graph.g, "x", TYPE_F32, 1, 2, 1);
        node sign = graph_input(graph.g, "sign", TYPE_F32, 1, 1, 1);
        node weight = graph_input(graph.g, "weight", TYPE_F32, 1, 1, 1);
        node score = graph_conv(graph.g, "c", x, 1, 1, 1, INIT_UNIFORM);
        graph.loss = which == HINGE ? graph_hinge_loss(graph.g, score, sign, weight)
                                    : graph_score_loss(graph.g, score, weight);
        assert_int_equal(params_create(graph.g, &p), ST_OK);
        p->value[0] = 1;
        plan *pl = training_plan(&graph, p);
        tensor in;
        assert_int_equal(plan_input(pl, "x", &in), ST_OK);
        memcpy(in.at, (float[]){0.5f, 3, -2, 0.25f}, 4 * sizeof(float));
        set_values(pl, "sign", 1, -1);
        set_values(pl, "weight", 2, 4);
        run_loss(pl, &graph);
        const float *y = plan_output(pl, graph.loss).at;
        /* real: (0.5 + 0) / 2 * 2; generated: (0 + 1.25) / 2 * 4 */
        assert_float_equal(y[0], which == HINGE ? 0.5 : -3.5, 1e-6);
        assert_float_equal(y[1], which == HINGE ? 2.5 : 3.5, 1e-6);
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        /* d/dbias: -1 of one of two, times 2; +1 of one of two, times 4 */
        assert_float_equal(p->grad[1], which == HINGE ? 1 : -6, 1e-6);
        plan_destroy(pl);
        params_destroy(p);
        gan_graph_free(&graph);
    }
}

/* Sets the parameters of a discriminator as tests/golden/gan.py does. */
static void set_golden(params *p) {
    for (int k = 0; k < LAYERS; k++) {
        const param *w = &p->list[3 * k], *b = w + 1, *u = w + 2;
        assert_int_equal(u->init, PARAM_DIRECTION);
        wave(p->value + w->offset, w->count, 10 * k + 1, 1 / 3.0);
        wave(p->value + b->offset, b->count, 10 * k + 2, 1);
        wave(p->value + u->offset, u->count, 10 * k + 3, 1);
    }
}

static void close_to(const char *what, int k, double seen, double expected, double size) {
    /* Sums of up to 300 products in f32 through five layers; 1e-4 leaves room for a few of them. */
    if (fabs(seen - expected) > 1e-4 * size)
        fail_msg("%s of row %d: %.9g, PyTorch has %.9g", what, k, seen, expected);
}

static void check_layer(const params *p, int k, int row, double sigma) {
    const golden_layer *g = &golden_layers[row];
    const param *w = &p->list[3 * k], *b = w + 1, *u = w + 2;
    double along = 0;
    for (int64_t i = 0; i < w->count; i++)
        along += (double)p->grad[w->offset + i] * sin(5 + 0.7 * (double)i);
    close_to("sigma", row, sigma, g->sigma, g->sigma);
    close_to("gradient norm", row, norm_of(p->grad + w->offset, w->count), g->norm, g->norm);
    close_to("gradient along a wave", row, along, g->along, g->norm * sqrt((double)w->count));
    close_to("bias gradient", row, norm_of(p->grad + b->offset, b->count), g->bias_norm,
             g->bias_norm);
    close_to("u", row, p->value[u->offset + u->count - 1], g->u, 1);
}

/* Loss, sigma, gradients and u of two steps of gradient descent. */
static void the_discriminator_agrees_with_pytorch(void **state) {
    (void)state;
    unet_config c = config_of(PIXELS);
    c.base = 4;
    gan_graph graph;
    params *p = NULL;
    spectral *s = NULL;
    assert_int_equal(gan_describe_discriminator(&c, &graph), ST_OK);
    assert_int_equal(params_create(graph.g, &p), ST_OK);
    assert_int_equal(spectral_create(p, &s), ST_OK);
    set_golden(p);
    plan *pl = training_plan(&graph, p);
    fill(pl, true);
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        double sigma[LAYERS];
        for (int k = 0; k < LAYERS; k++)
            sigma[k] = norm_of(p->value + p->list[3 * k].offset, p->list[3 * k].count);
        spectral_apply(s);
        for (int k = 0; k < LAYERS; k++)
            sigma[k] /= norm_of(p->value + p->list[3 * k].offset, p->list[3 * k].count);
        plan_params_changed(pl);
        memset(p->grad, 0, (size_t)p->total * sizeof(float));
        close_to("loss", step, run_loss(pl, &graph), golden_loss[step], 1);
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        spectral_restore(s);
        for (int k = 0; k < LAYERS; k++) check_layer(p, k, step * LAYERS + k, sigma[k]);
        for (int64_t i = 0; i < p->total; i++) p->value[i] -= 0.5f * p->grad[i];
    }
    plan_destroy(pl);
    spectral_destroy(s);
    params_destroy(p);
    gan_graph_free(&graph);
}

/* Power iterations converge to the largest singular value: W / sigma then has 1. W comes back. */
static void many_iterations_find_the_singular_value(void **state) {
    (void)state;
    enum { ROWS = 6, COLUMNS = 27 };
    graph *g = NULL;
    params *p = NULL;
    spectral *s = NULL;
    assert_int_equal(graph_create(&g), ST_OK);
    node x = graph_input(g, "x", TYPE_F32, 4, 4, 3);
    graph_conv_spectral(g, "c", x, ROWS, 3, 1);
    assert_int_equal(params_create(g, &p), ST_OK);
    params_init(p, 1);
    assert_float_equal(norm_of(p->value + p->list[2].offset, ROWS), 1, 1e-6);
    float w[ROWS * COLUMNS], second[COLUMNS * ROWS];
    wave(w, ROWS * COLUMNS, 1, 1 / 3.0);
    wave(second, ROWS * COLUMNS, 4, 0.5);
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < COLUMNS; k++) w[r * COLUMNS + k] += second[k * ROWS + r];
    memcpy(p->value, w, sizeof w);
    assert_int_equal(spectral_create(p, &s), ST_OK);
    double sigma = 0;
    for (int i = 0; i < 200; i++) {
        spectral_apply(s);
        sigma = (double)w[0] / (double)p->value[0];
        spectral_restore(s);
        assert_memory_equal(w, p->value, sizeof w);
    }
    assert_float_equal(sigma, golden_singular, 1e-5 * golden_singular);
    spectral_destroy(s);
    params_destroy(p);
    graph_destroy(g);
}

/* Only convolutions can be frozen, and the sign must be one value. */
static void faults_are_reported(void **state) {
    (void)state;
    for (int fault = 0; fault < 3; fault++) {
        graph *g = NULL;
        assert_int_equal(graph_create(&g), ST_OK);
        node x = graph_input(g, "x", TYPE_F32, 4, 4, 4), t = graph_input(g, "t", TYPE_F32, 1, 1, 1);
        graph_freeze(g, true);
        if (fault == 0) graph_norm(g, "n", x, 2, NODE_NONE, false);
        if (fault == 1) graph_linear(g, "l", t, 2, INIT_UNIFORM);
        if (fault == 2) graph_hinge_loss(g, x, x, t);
        assert_int_equal(graph_check(g), ST_USAGE);
        graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hinge_and_score_of_known_values),
        cmocka_unit_test(gradient_of_the_discriminator),
        cmocka_unit_test(gradient_of_the_generator_through_the_frozen_discriminator),
        cmocka_unit_test(frozen_parameters_stay),
        cmocka_unit_test(the_generator_is_pulled_to_the_target),
        cmocka_unit_test(many_iterations_find_the_singular_value),
        cmocka_unit_test(the_discriminator_agrees_with_pytorch),
        cmocka_unit_test(faults_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
