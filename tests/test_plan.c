/* Plans: gradients that share memory or are summed equal finite differences; recomputed segments
 * give the same bits in less memory; bf16 results stay close to f32, and to the bf16 results of the
 * reference. */
#include "tests/net_case.h"

#include "model/net/unet.h"

/* Additions in every arrangement: of a value with itself, around an op (residual) and around none,
 * of one value into several, and of a sum that is used again later. */
static net additions(void) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    graph *g = n.g;
    node x = graph_input(g, "x", TYPE_F32, SIZE, SIZE, 3);
    node a = graph_conv(g, "a", x, 8, 3, 1, INIT_UNIFORM);
    node twice = graph_add(g, a, a);
    node round = graph_add(g, twice, graph_norm(g, "n1", twice, 4, NODE_NONE, true));
    node b = graph_conv(g, "b", round, 8, 1, 1, INIT_UNIFORM);
    node fan = graph_add(g, graph_add(g, b, round), graph_add(g, round, a));
    node late = graph_add(g, graph_norm(g, "n2", fan, 2, NODE_NONE, false), b);
    node h = graph_concat(g, graph_add(g, late, fan), late);
    node up = graph_upsample(g, graph_conv(g, "down", h, 8, 3, 2, INIT_UNIFORM));
    h = graph_conv(g, "last", graph_add(g, up, graph_add(g, fan, late)), 2, 1, 1, INIT_UNIFORM);
    n.out = h;
    add_loss(&n, SIZE, 2, LOSS_L2);
    return n;
}

static void joined_gradients_are_finite_differences(void **state) {
    (void)state;
    net n = additions();
    check_finite_differences(&n);
}

/* A U-Net with every kind of block, and dropout. */
static net small_unet(double dropout) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    unet_config c = {.size = 8,
                     .channels = 1,
                     .base = 32,
                     .levels = 2,
                     .mult = {1, 2},
                     .blocks = 2,
                     .attention = {4},
                     .head = 32,
                     .dropout = dropout,
                     .text = {.tokens = 5, .width = 6}};
    n.out = unet_build(n.g, &c);
    add_loss(&n, 8, 1, LOSS_L2);
    return n;
}

/* Loss and gradient of one step. */
static double step(const net *n, params *p, engine_kind engine, tensor_type type, bool recompute,
                   int64_t *bytes) {
    plan *pl = make_plan_as(n, p, engine, true, type, recompute);
    fill_inputs(pl);
    memset(p->grad, 0, (size_t)p->total * sizeof(float));
    double loss = loss_of(pl, n);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    if (bytes) *bytes = plan_arena_bytes(pl);
    plan_destroy(pl);
    return loss;
}

static void recomputing_gives_the_same_bits(void **state) {
    (void)state;
    net n = small_unet(0.25);
    params *p = make_params(&n);
    size_t size = (size_t)p->total * sizeof(float);
    float *kept = malloc(size);
    for (int type = TYPE_F32; type <= TYPE_BF16; type++) {
        int64_t all = 0, less = 0;
        double loss = step(&n, p, ENGINE_ONEDNN, (tensor_type)type, false, &all);
        memcpy(kept, p->grad, size);
        double again = step(&n, p, ENGINE_ONEDNN, (tensor_type)type, true, &less);
        assert_memory_equal(&loss, &again, sizeof loss);
        assert_memory_equal(kept, p->grad, size);
        assert_true(less < all);
    }
    free(kept);
    params_destroy(p);
    graph_destroy(n.g);
}

/* Recomputation keeps the activations of R64 in at most 40 % of the memory. Only plans are made. */
static void blocks_save_three_fifths_of_R64(void **state) {
    (void)state;
    net n = {0};
    unet_config c = unet_config_of(UNET_R64);
    params *p = NULL;
    int64_t bytes[2];
    c.size = 64;
    assert_int_equal(graph_create(&n.g), ST_OK);
    n.out = unet_build(n.g, &c);
    add_loss(&n, 64, 1, LOSS_L2);
    assert_int_equal(params_create(n.g, &p), ST_OK);
    for (int type = TYPE_F32; type <= TYPE_BF16; type++) {
        for (int recompute = 0; recompute < 2; recompute++) {
            plan *pl = make_plan_as(&n, p, ENGINE_REFERENCE, true, (tensor_type)type, recompute);
            bytes[recompute] = plan_arena_bytes(pl);
            plan_destroy(pl);
        }
        assert_true((double)bytes[1] <= 0.4 * (double)bytes[0]);
    }
    params_destroy(p);
    graph_destroy(n.g);
}

/* Rounding to bf16 has a relative error of up to 2^-8. About forty roundings in sequence, of either
 * sign, change a gradient by a few per cent; twice as much would be a fault. The engines round the
 * same values at the same places and differ where their f32 sums round to different bf16 values. */
static void bf16_is_near(void **state) {
    (void)state;
    net n = small_unet(0.25);
    params *p = make_params(&n);
    size_t size = (size_t)p->total * sizeof(float);
    float *exact = malloc(size), *plain = malloc(size);
    double want = step(&n, p, ENGINE_REFERENCE, TYPE_F32, false, NULL);
    memcpy(exact, p->grad, size);
    double reference = step(&n, p, ENGINE_REFERENCE, TYPE_BF16, false, NULL);
    memcpy(plain, p->grad, size);
    double got = step(&n, p, ENGINE_ONEDNN, TYPE_BF16, false, NULL);
    double off = difference(plain, exact, p->total);
    assert_true(off > 0x1p-9 && off < 0.04); /* bf16 was used, and is accurate enough */
    assert_true(difference(p->grad, exact, p->total) < 0.04);
    assert_true(difference(p->grad, plain, p->total) < 0.02);
    assert_true(fabs(reference - want) < 0.01 * want);
    assert_true(fabs(got - want) < 0.01 * want);
    free(exact);
    free(plain);
    params_destroy(p);
    graph_destroy(n.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_gradients_are_finite_differences),
        cmocka_unit_test(recomputing_gives_the_same_bits),
        cmocka_unit_test(blocks_save_three_fifths_of_R64),
        cmocka_unit_test(bf16_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
