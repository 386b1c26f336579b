/* Networks against PyTorch: output, loss and every gradient of a small U-Net whose weights follow
 * from a formula (golden/unet.txt, written by golden/unet.py), on each engine; and the parameter
 * counts of the networks in the table against the same networks in PyTorch. */
#include "tests/torch_case.h"

#include "model/net/segnet.h"
#include "model/net/unet.h"

enum { BATCH = 2, SIZE = 8, OUT = BATCH * SIZE * SIZE };

static void agrees_with_pytorch(engine_kind engine) {
    unet_config c = {.size = SIZE,
                     .base = 32,
                     .levels = 2,
                     .mult = {1, 2},
                     .blocks = 1,
                     .attention = {4},
                     .head = 32};
    graph *g = NULL;
    params *p = NULL;
    plan *pl = NULL;
    assert_int_equal(graph_create(&g), ST_OK);
    node y = unet_build(g, &c);
    node target = graph_input(g, "target", TYPE_F32, SIZE, SIZE, 1);
    node weight = graph_input(g, "weight", TYPE_F32, 1, 1, 1);
    node loss = graph_regression_loss(g, y, target, weight, LOSS_L2);
    assert_int_equal(params_create(g, &p), ST_OK);
    set_weights(p);
    plan_options options = {
        .batch = BATCH, .training = true, .outputs = &y, .output_count = 1, .loss = loss};
    options.engine = kernels_of(engine);
    assert_int_equal(plan_create(g, p, &options, &pl), ST_OK);
    fill(pl, "x", 0.1, 0.9);
    fill(pl, "target", 0.4, 1.7);
    set_input(pl, "t", (float[]){3, 701});
    set_input(pl, "weight", (float[]){0.5f, 0.5f});
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);

    const float *l = plan_output(pl, loss).at, sum = l[0] + l[1];
    const torch_array arrays[] = {{"loss", &sum, 1, 5e-6},
                                  {"output", plan_output(pl, y).at, OUT, 2e-5}};
    check_golden("tests/golden/unet.txt", p, arrays, 2);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(g);
}

static void reference_agrees_with_pytorch(void **state) {
    (void)state, agrees_with_pytorch(ENGINE_REFERENCE);
}
static void onednn_agrees_with_pytorch(void **state) {
    (void)state, agrees_with_pytorch(ENGINE_ONEDNN);
}
static void openblas_agrees_with_pytorch(void **state) {
    (void)state, agrees_with_pytorch(ENGINE_OPENBLAS);
}

/* 19.41 M and 4.86 M parameters, 13.03 and 3.26 GFLOP forward for a slice, as counted from
 * PyTorch's modules (without the matrix products of attention, which our count includes). */
static void the_table_has_the_networks_it_names(void **state) {
    (void)state;
    const struct {
        unet_kind kind;
        double millions, gflop;
    } known[] = {{UNET_R64, 19.41, 13.03}, {UNET_R32, 4.86, 3.26}};
    for (int i = 0; i < 2; i++) {
        unet_config c = unet_config_of(known[i].kind);
        graph *g = NULL;
        params *p = NULL;
        plan *pl = NULL;
        c.size = 64;
        assert_int_equal(graph_create(&g), ST_OK);
        node y = unet_build(g, &c);
        assert_int_equal(params_create(g, &p), ST_OK);
        assert_float_equal((double)p->total / 1e6, known[i].millions, 0.005);
        plan_options options = {.batch = 1, .outputs = &y, .output_count = 1};
        options.engine = kernels_of(ENGINE_REFERENCE);
        assert_int_equal(plan_create(g, p, &options, &pl), ST_OK);
        double gflop = (double)plan_forward_flops(pl) / 1e9;
        assert_true(gflop > known[i].gflop - 0.01 && gflop < 1.03 * known[i].gflop);
        plan_destroy(pl);
        params_destroy(p);
        graph_destroy(g);
    }
}

/* The segmenter learns: a few dozen steps of gradient descent on one batch halve its loss. */
static void the_segmenter_learns_one_batch(void **state) {
    (void)state;
    segnet_config c = {.size = 16, .labels = 3, .base = 8};
    graph *g = NULL;
    params *p = NULL;
    plan *pl = NULL;
    assert_int_equal(graph_create(&g), ST_OK);
    segnet_nodes n = segnet_build(g, &c);
    assert_int_equal(params_create(g, &p), ST_OK);
    params_init(p, 4);
    plan_options options = {.batch = BATCH,
                            .training = true,
                            .outputs = (node[]){n.loss, n.features},
                            .output_count = 2,
                            .loss = n.loss};
    options.engine = kernels_of(ENGINE_ONEDNN);
    assert_int_equal(plan_create(g, p, &options, &pl), ST_OK);
    tensor x, labels, weight;
    assert_int_equal(plan_input(pl, "x", &x), ST_OK);
    assert_int_equal(plan_input(pl, "labels", &labels), ST_OK);
    assert_int_equal(plan_input(pl, "weight", &weight), ST_OK);
    for (int64_t i = 0; i < tensor_count(&x); i++) {
        int64_t column = i % 16, row = i / 16 % 16;
        ((float *)x.at)[i] = (float)(column > 8) + 0.5f * (float)(row > 4);
        ((uint8_t *)labels.at)[i] = (uint8_t)((column > 8) + (column > 8 && row > 4));
    }
    ((float *)weight.at)[0] = ((float *)weight.at)[1] = 0.5f;
    double first = 0, last = 0;
    for (int step = 0; step < 60; step++) {
        assert_int_equal(plan_forward(pl, NULL), ST_OK);
        const float *l = plan_output(pl, n.loss).at;
        last = (double)(l[0] + l[1]);
        if (step == 0) first = last;
        memset(p->grad, 0, (size_t)p->total * sizeof(float));
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        for (int64_t i = 0; i < p->total; i++) p->value[i] -= 0.1f * p->grad[i];
        plan_params_changed(pl);
    }
    assert_true(isfinite(last) && last < first / 2);
    assert_int_equal(plan_output(pl, n.features).shape[3], segnet_feature_dim(&c));
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_pytorch),
        cmocka_unit_test(onednn_agrees_with_pytorch),
        cmocka_unit_test(openblas_agrees_with_pytorch),
        cmocka_unit_test(the_table_has_the_networks_it_names),
        cmocka_unit_test(the_segmenter_learns_one_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
