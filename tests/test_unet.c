/* Networks against PyTorch: output, loss and every gradient of a small U-Net, without and with
 * text, whose weights follow from a formula (golden/unet.txt and unet_text.txt, written by
 * golden/unet.py), on each engine; and the parameter counts of the networks in the table against
 * the same networks in PyTorch. */
#include "tests/torch_case.h"

#include "model/net/segnet.h"
#include "model/net/unet.h"

enum { BATCH = 2, SIZE = 8, OUT = BATCH * SIZE * SIZE };

static void agrees_with_pytorch(engine_kind engine, bool text) {
    unet_config c = {.size = SIZE,
                     .channels = 1,
                     .base = 32,
                     .levels = 2,
                     .mult = {1, 2},
                     .blocks = 1,
                     .attention = {4},
                     .head = 32};
    if (text) c.text = (unet_text){.tokens = 5, .width = 6};
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
    if (text) {
        fill(pl, "text", 1.1, 1.3);
        set_input(pl, "text_mask", (float[]){1, 1, 1, 1, 1, 1, 1, 1, 0, 0});
    }
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);

    const float *l = plan_output(pl, loss).at, sum = l[0] + l[1];
    const torch_array arrays[] = {{"loss", &sum, 1, 5e-6},
                                  {"output", plan_output(pl, y).at, OUT, 2e-5}};
    check_golden(text ? "tests/golden/unet_text.txt" : "tests/golden/unet.txt", p, arrays, 2);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(g);
}

static void reference_agrees_with_pytorch(void **state) {
    (void)state;
    for (int text = 0; text < 2; text++) agrees_with_pytorch(ENGINE_REFERENCE, text);
}
static void onednn_agrees_with_pytorch(void **state) {
    (void)state;
    for (int text = 0; text < 2; text++) agrees_with_pytorch(ENGINE_ONEDNN, text);
}
static void openblas_agrees_with_pytorch(void **state) {
    (void)state;
    for (int text = 0; text < 2; text++) agrees_with_pytorch(ENGINE_OPENBLAS, text);
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

static uint64_t mix(uint64_t hash, const void *at, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const uint8_t *)at)[i]) * 1099511628211u;
    return hash;
}

/* Names, places and initial values of the parameters of networks without text are those that they
 * had before there was text: checkpoints and runs stay what they are. With text come those of the
 * attention to it. FNV-1a, computed with the network before. */
static void networks_without_text_stay_as_they_were(void **state) {
    (void)state;
    static const uint64_t known[] = {0x3c77126b2371261, 0xdbb6d5a6dfcf7cc0, 0x5f8d6fb23dd068c5};
    for (int text = 0; text < 2; text++)
        for (int kind = UNET_R64; kind <= UNET_R16; kind++) {
            unet_config c = unet_config_of((unet_kind)kind);
            graph *g = NULL;
            params *p = NULL;
            uint64_t hash = 14695981039346656037u;
            int64_t of_text = 0;
            c.size = 64;
            c.labels = 3;
            c.classes = 2;
            c.position = c.step_size = true;
            if (text) c.text = (unet_text){.tokens = 9, .width = 16};
            assert_int_equal(graph_create(&g), ST_OK);
            unet_build(g, &c);
            assert_int_equal(params_create(g, &p), ST_OK);
            params_init(p, 7);
            for (int64_t i = 0; i < p->count; i++) {
                hash = mix(hash, p->list[i].name, strlen(p->list[i].name));
                hash = mix(hash, &p->list[i].offset, sizeof p->list[i].offset);
                of_text += strstr(p->list[i].name, ".kv.weight") != NULL;
            }
            hash = mix(hash, p->value, (size_t)p->total * sizeof *p->value);
            assert_int_equal(hash == known[kind], !text);
            /* As many as self-attentions: levels of 16 and 8 pixels down and up, and the middle. */
            assert_int_equal(of_text, !text ? 0 : kind == UNET_R16 ? 4 : 11);
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
        cmocka_unit_test(networks_without_text_stay_as_they_were),
        cmocka_unit_test(the_segmenter_learns_one_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
