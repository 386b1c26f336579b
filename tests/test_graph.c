/* Graphs and their plans: the gradient of every op against finite differences, the engines against
 * each other, dropout keyed by sample, the first fault reported, and the rule of the arena that
 * blocks in use at the same time do not overlap. */
#include "tests/net_case.h"

#include "model/nn/arena.h"

/* A small network with a regression loss that contains every op with a gradient. */
static net every_op(loss_kind kind) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    graph *g = n.g;
    node x = graph_input(g, "x", TYPE_F32, SIZE, SIZE, 3);
    node t = graph_input(g, "t", TYPE_F32, 1, 1, 1);
    node e = graph_linear(g, "time", graph_sinusoid(g, t, 8, 1.0), 12, INIT_UNIFORM);
    e = graph_silu(g, e);
    node first = graph_conv(g, "first", x, 8, 3, 1, INIT_UNIFORM);
    node h = graph_norm(g, "norm1", first, 4, NODE_NONE, true);
    h = graph_conv(g, "down", h, 12, 3, 2, INIT_UNIFORM);
    node by = graph_linear(g, "scale", e, 24, INIT_UNIFORM);
    h = graph_norm(g, "norm2", h, 3, by, true);
    node qkv = graph_conv(g, "qkv", h, 36, 1, 1, INIT_UNIFORM);
    h = graph_add(g, h, graph_attention(g, qkv, 2));
    h = graph_dropout(g, h, 0.25);
    h = graph_concat(g, graph_upsample(g, h), first);
    h = graph_conv(g, "last", h, 2, 1, 1, INIT_UNIFORM);
    node pooled = graph_linear(g, "pool", graph_mean(g, h), 2, INIT_UNIFORM);
    h = graph_norm(g, "norm3", h, 1, graph_concat(g, pooled, pooled), false);
    n.out = h;
    add_loss(&n, SIZE, 2, kind);
    return n;
}

/* The ops for text: an image attends to a sentence, whose mean modulates it. */
static net sentence(void) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    graph *g = n.g;
    node x = graph_input(g, "x", TYPE_F32, SIZE, SIZE, 3);
    node tokens = graph_input(g, "tokens", TYPE_F32, 5, 1, 1);
    node mask = graph_input(g, "mask", TYPE_F32, 5, 1, 1);
    node text = graph_embedding(g, "embed", tokens, 5, 6);
    text = graph_layer_norm(g, "layer norm", text);
    node kv = graph_conv(g, "kv", text, 16, 1, 1, INIT_UNIFORM);
    node q = graph_conv(g, "q", x, 8, 1, 1, INIT_UNIFORM);
    node h = graph_cross_attention(g, q, kv, mask, 2);
    node by = graph_linear(g, "scale", graph_masked_mean(g, text, mask), 16, INIT_UNIFORM);
    h = graph_norm(g, "norm", graph_add(g, q, h), 2, by, false);
    n.out = graph_conv(g, "last", h, 2, 1, 1, INIT_UNIFORM);
    add_loss(&n, SIZE, 2, LOSS_L2);
    return n;
}

static net segmentation(void) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    node x = graph_input(n.g, "x", TYPE_F32, SIZE, SIZE, 3);
    n.out = graph_conv(n.g, "logits", x, 4, 3, 1, INIT_UNIFORM);
    node labels = graph_input(n.g, "labels", TYPE_U8, SIZE, SIZE, 1);
    node weight = graph_input(n.g, "weight", TYPE_F32, 1, 1, 1);
    n.loss = graph_dice_ce_loss(n.g, n.out, labels, weight);
    return n;
}

static net classification(void) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    node x = graph_input(n.g, "x", TYPE_F32, SIZE, SIZE, 3);
    node h = graph_mean(n.g, graph_conv(n.g, "features", x, 4, 3, 1, INIT_UNIFORM));
    n.out = graph_linear(n.g, "logits", h, 5, INIT_UNIFORM);
    node truth = graph_input(n.g, "class", TYPE_F32, 1, 1, 1);
    node weight = graph_input(n.g, "weight", TYPE_F32, 1, 1, 1);
    n.loss = graph_class_loss(n.g, n.out, truth, weight);
    return n;
}

static void gradients_are_finite_differences(void **state) {
    (void)state;
    for (int kind = LOSS_L2; kind <= LOSS_HUBER; kind++) {
        net n = every_op((loss_kind)kind);
        check_finite_differences(&n);
    }
    net n = sentence();
    check_finite_differences(&n);
    n = segmentation();
    check_finite_differences(&n);
    n = classification();
    check_finite_differences(&n);
}

/* weight * (log sum exp - logit of the class), computed here in double; a class that does not exist
 * is refused. */
static void class_loss_is_the_cross_entropy(void **state) {
    (void)state;
    net n = classification();
    params *p = make_params(&n);
    plan *pl = make_plan(&n, p, ENGINE_REFERENCE, true);
    tensor truth;
    fill_inputs(pl);
    assert_int_equal(plan_input(pl, "class", &truth), ST_OK);
    ((float *)truth.at)[1] = 4;
    loss_of(pl, &n);
    const float *x = plan_output(pl, n.out).at, *y = plan_output(pl, n.loss).at;
    for (int b = 0; b < BATCH; b++) {
        double sum = 0;
        for (int k = 0; k < 5; k++) sum += exp((double)x[b * 5 + k]);
        assert_float_equal(y[b], 0.5 * (log(sum) - (double)x[b * 5 + (b ? 4 : 2)]), 1e-6);
    }
    for (int fault = 0; fault < 3; fault++) {
        ((float *)truth.at)[1] = (float[]){5, -1, NAN}[fault];
        assert_int_equal(plan_forward(pl, &keys), ST_INPUT);
    }
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n.g);
}

static net weighted_regression(loss_kind kind) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    node x = graph_input(n.g, "x", TYPE_F32, SIZE, SIZE, 1);
    node weight = graph_input(n.g, "weight", TYPE_F32, 1, 1, 1);
    n.out = graph_conv(n.g, "c", x, 2, 3, 1, INIT_UNIFORM);
    node target = graph_input(n.g, "target", TYPE_F32, SIZE, SIZE, 3);
    n.loss = graph_regression_loss(n.g, n.out, target, weight, kind);
    return n;
}

/* A target with one channel more than the prediction weighs its pixels. */
static void pixels_can_be_weighed(void **state) {
    (void)state;
    for (loss_kind kind = LOSS_L1; kind <= LOSS_HUBER; kind++) {
        net n = weighted_regression(kind);
        params *p = make_params(&n);
        plan *pl = make_plan(&n, p, ENGINE_REFERENCE, true);
        tensor target, weight;
        fill_inputs(pl);
        assert_int_equal(plan_input(pl, "target", &target), ST_OK);
        assert_int_equal(plan_input(pl, "weight", &weight), ST_OK);
        float *at = target.at;
        for (int i = 0; i < BATCH * SIZE * SIZE; i++) at[3 * i + 2] = (float)(i % 5);
        loss_of(pl, &n);
        const float *x = plan_output(pl, n.out).at, *y = plan_output(pl, n.loss).at;
        for (int b = 0; b < BATCH; b++) {
            double sum = 0;
            for (int i = b * SIZE * SIZE; i < (b + 1) * SIZE * SIZE; i++)
                for (int k = 0; k < 2; k++) {
                    const double d = fabs((double)x[2 * i + k] - (double)at[3 * i + k]);
                    const double huber = d <= 1 ? d * d / 2 : d - 0.5;
                    sum += i % 5 * (kind == LOSS_L1 ? d : kind == LOSS_L2 ? d * d : huber);
                }
            sum *= (double)((float *)weight.at)[b] / (2 * SIZE * SIZE);
            assert_float_equal(y[b], sum, 1e-5 * sum);
        }
        plan_destroy(pl);
        params_destroy(p);
        graph_destroy(n.g);
    }
    net n = weighted_regression(LOSS_L2);
    check_finite_differences(&n);
}

/* The loss from its definition, in double: the soft Dice counts the classes that the truth of a
 * sample holds, and no other. Sample 0 holds classes 0 and 1 of 4, sample 1 class 2 alone. */
static void dice_counts_the_classes_that_are_there(void **state) {
    (void)state;
    net n = segmentation();
    params *p = make_params(&n);
    plan *pl = make_plan(&n, p, ENGINE_REFERENCE, true);
    tensor labels, weight;
    fill_inputs(pl);
    assert_int_equal(plan_input(pl, "labels", &labels), ST_OK);
    assert_int_equal(plan_input(pl, "weight", &weight), ST_OK);
    for (int i = 0; i < SIZE * SIZE; i++) {
        ((uint8_t *)labels.at)[i] = (uint8_t)(i < 5);
        ((uint8_t *)labels.at)[SIZE * SIZE + i] = 2;
    }
    loss_of(pl, &n);
    const float *logits = plan_output(pl, n.out).at, *y = plan_output(pl, n.loss).at;
    for (int b = 0; b < BATCH; b++) {
        const uint8_t *truth = (uint8_t *)labels.at + b * SIZE * SIZE;
        double both[4] = {0}, predicted[4] = {0}, there[4] = {0}, entropy = 0, surprise = 0;
        for (int i = 0; i < SIZE * SIZE; i++) {
            const float *x = logits + (b * SIZE * SIZE + i) * 4;
            double sum = 0;
            for (int k = 0; k < 4; k++) sum += exp((double)x[k]);
            for (int k = 0; k < 4; k++) predicted[k] += exp((double)x[k]) / sum;
            both[truth[i]] += exp((double)x[truth[i]]) / sum;
            there[truth[i]]++;
            entropy += (log(sum) - (double)x[truth[i]]) / (SIZE * SIZE);
        }
        for (int k = b ? 2 : 0; k < (b ? 3 : 2); k++)
            surprise -= log((2 * both[k] + 1) / (predicted[k] + there[k] + 1)) / (b ? 1 : 2);
        assert_float_equal(y[b], (double)((float *)weight.at)[b] * (entropy + surprise), 1e-6);
    }
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n.g);
}

/* d|d|/dd is a sign: the gradient of L1 with respect to the last bias is a mean of signs. */
static void l1_gradient_is_a_mean_of_signs(void **state) {
    (void)state;
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    node x = graph_input(n.g, "x", TYPE_F32, SIZE, SIZE, 3);
    n.out = graph_conv(n.g, "only", x, 1, 1, 1, INIT_UNIFORM);
    add_loss(&n, SIZE, 1, LOSS_L1);
    params *p = make_params(&n);
    plan *pl = make_plan(&n, p, ENGINE_REFERENCE, true);
    fill_inputs(pl);
    loss_of(pl, &n);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    tensor t, y = plan_output(pl, n.out);
    assert_int_equal(plan_input(pl, "target", &t), ST_OK);
    double signs = 0;
    for (int64_t i = 0; i < tensor_count(&y); i++)
        signs += ((float *)y.at)[i] > ((float *)t.at)[i] ? 0.5 : -0.5;
    assert_float_equal(p->grad[p->list[1].offset], signs / (SIZE * SIZE), 1e-6);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n.g);
}

static void check_engines_agree(net n) {
    const engine_kind engines[] = {ENGINE_REFERENCE, ENGINE_ONEDNN, ENGINE_OPENBLAS};
    params *p = make_params(&n);
    float *first = malloc((size_t)p->total * sizeof(float)), out[BATCH * SIZE * SIZE * 2];
    for (int e = 0; e < 3; e++) {
        plan *pl = make_plan(&n, p, engines[e], true);
        fill_inputs(pl);
        memset(p->grad, 0, (size_t)p->total * sizeof(float));
        loss_of(pl, &n);
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        tensor y = plan_output(pl, n.out);
        if (e == 0) {
            memcpy(first, p->grad, (size_t)p->total * sizeof(float));
            memcpy(out, y.at, sizeof out);
        }
        assert_true(difference(y.at, out, tensor_count(&y)) < 1e-5);
        assert_true(difference(p->grad, first, p->total) < 2e-5);
        plan_destroy(pl);
    }
    free(first);
    params_destroy(p);
    graph_destroy(n.g);
}

static void engines_agree(void **state) {
    (void)state;
    check_engines_agree(every_op(LOSS_L2));
    check_engines_agree(sentence());
}

/* Tokens that a table does not have, and shapes that do not fit. */
static void wrong_sentences_are_refused(void **state) {
    (void)state;
    net n = sentence();
    params *p = make_params(&n);
    plan *pl = make_plan(&n, p, ENGINE_REFERENCE, true);
    tensor tokens;
    fill_inputs(pl);
    assert_int_equal(plan_input(pl, "tokens", &tokens), ST_OK);
    for (int fault = 0; fault < 3; fault++) {
        ((float *)tokens.at)[7] = (float[]){5, -1, NAN}[fault];
        assert_int_equal(plan_forward(pl, &keys), ST_INPUT);
        assert_non_null(strstr(status_message(), "embed"));
    }
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n.g);
    for (int fault = 0; fault < 5; fault++) {
        static const char *const says[] = {"channels do not hold", "channels do not hold",
                                           "one value for each of 5 tokens", "0 tokens",
                                           "one value for each pixel"};
        graph *g = NULL;
        assert_int_equal(graph_create(&g), ST_OK);
        node q = graph_input(g, "q", TYPE_F32, 4, 4, 6);
        node kv = graph_input(g, "kv", TYPE_F32, 5, 1, fault == 0 ? 11 : 12);
        node mask = graph_input(g, "mask", TYPE_F32, fault == 2 ? 4 : 5, 1, 1);
        if (fault < 3) graph_cross_attention(g, q, kv, mask, fault == 1 ? 4 : 2);
        if (fault == 3) graph_embedding(g, "table", mask, 0, 4);
        if (fault == 4) graph_masked_mean(g, q, mask);
        assert_int_equal(graph_check(g), ST_USAGE);
        assert_non_null(strstr(status_message(), says[fault]));
        graph_destroy(g);
    }
}

/* A second backward pass adds to the gradient; each range of parameters is reported once. */
static status count_ready(void *context, int64_t offset, int64_t count) {
    uint8_t *seen = context;
    for (int64_t i = offset; i < offset + count; i++) seen[i]++;
    return ST_OK;
}

static void backward_adds_and_reports_each_range_once(void **state) {
    (void)state;
    net n = every_op(LOSS_L2);
    params *p = make_params(&n);
    plan *pl = make_plan(&n, p, ENGINE_ONEDNN, true);
    uint8_t *seen = calloc((size_t)p->total, 1);
    float *once = malloc((size_t)p->total * sizeof(float));
    fill_inputs(pl);
    loss_of(pl, &n);
    assert_int_equal(plan_backward(pl, count_ready, seen), ST_OK);
    for (int64_t i = 0; i < p->total; i++) assert_int_equal(seen[i], 1);
    memcpy(once, p->grad, (size_t)p->total * sizeof(float));
    loss_of(pl, &n);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    for (int64_t i = 0; i < p->total; i++) once[i] *= 2;
    assert_true(difference(p->grad, once, p->total) < 1e-6);
    free(seen);
    free(once);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n.g);
}

/* The mask follows the sample to any place in the batch; about a fraction p is dropped. */
static void dropout_follows_the_sample(void **state) {
    (void)state;
    enum { N = 64 };
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    node x = graph_input(n.g, "x", TYPE_F32, N, N, 1);
    node weight = graph_input(n.g, "weight", TYPE_F32, 1, 1, 1);
    n.out = graph_dropout(n.g, x, 0.25);
    node target = graph_input(n.g, "target", TYPE_F32, N, N, 1);
    n.loss = graph_regression_loss(n.g, n.out, target, weight, LOSS_L2);
    params *p = make_params(&n);
    plan *pl = make_plan(&n, p, ENGINE_REFERENCE, true),
         *plain = make_plan(&n, p, ENGINE_REFERENCE, false);
    tensor in;
    assert_int_equal(plan_input(pl, "x", &in), ST_OK);
    for (int64_t i = 0; i < tensor_count(&in); i++) ((float *)in.at)[i] = 1;
    float kept[N * N];
    assert_int_equal(plan_forward(pl, &keys), ST_OK);
    memcpy(kept, (float *)plan_output(pl, n.out).at + N * N, sizeof kept); /* sample 9 */
    int64_t dropped = 0;
    for (int i = 0; i < N * N; i++) {
        dropped += kept[i] == 0;
        assert_true(kept[i] == 0 || fabsf(kept[i] - 1 / 0.75f) < 1e-6f);
    }
    /* Within 4 standard deviations of the binomial distribution. */
    assert_true(llabs(dropped - N * N / 4) < 4 * sqrt(N * N * 0.25 * 0.75));
    plan_keys other = {.seed = 1, .step = 3, .sample = (uint64_t[]){9, 2}};
    assert_int_equal(plan_forward(pl, &other), ST_OK);
    assert_memory_equal(kept, plan_output(pl, n.out).at, sizeof kept);
    other.step = 4;
    assert_int_equal(plan_forward(pl, &other), ST_OK);
    assert_memory_not_equal(kept, plan_output(pl, n.out).at, sizeof kept);
    assert_int_equal(plan_input(plain, "x", &in), ST_OK);
    assert_ptr_equal(in.at, plan_output(plain, n.out).at); /* identity: no copy */
    plan_destroy(pl);
    plan_destroy(plain);
    params_destroy(p);
    graph_destroy(n.g);
}

static void the_first_fault_is_reported(void **state) {
    (void)state;
    graph *g = NULL;
    params *p = NULL;
    assert_int_equal(graph_create(&g), ST_OK);
    node x = graph_input(g, "x", TYPE_F32, 4, 4, 6);
    node h = graph_norm(g, "uneven", x, 4, NODE_NONE, false);
    assert_int_equal(h, NODE_NONE);
    graph_conv(g, "behind", h, 3, 5, 1, INIT_ZERO);
    assert_int_equal(params_create(g, &p), ST_USAGE);
    assert_null(p);
    assert_non_null(strstr(status_message(), "uneven"));
    graph_destroy(g);
    assert_int_equal(graph_create(&g), ST_OK);
    x = graph_input(g, "x", TYPE_F32, 4, 4, 6);
    graph_conv(g, "twice", x, 3, 1, 1, INIT_ZERO);
    graph_conv(g, "twice", x, 3, 1, 1, INIT_ZERO);
    assert_int_equal(graph_check(g), ST_USAGE);
    assert_non_null(strstr(status_message(), "twice.weight"));
    graph_destroy(g);
}

static void blocks_alive_together_never_overlap(void **state) {
    (void)state;
    enum { BLOCKS = 200 };
    arena_block b[BLOCKS];
    rng_stream r = rng_open(1, RNG_ORDER, 0, 0);
    for (int round = 0; round < 20; round++) {
        int64_t total = 0, alive[64] = {0}, bytes = 0, sum = 0;
        for (int i = 0; i < BLOCKS; i++) {
            b[i].bytes = 1 + (int64_t)rng_below(&r, 10000);
            b[i].first = (int32_t)rng_below(&r, 60);
            b[i].last = b[i].first + (int32_t)rng_below(&r, 4);
            sum += b[i].bytes;
            for (int t = b[i].first; t <= b[i].last; t++) alive[t] += b[i].bytes;
        }
        for (int t = 0; t < 64; t++) total = alive[t] > total ? alive[t] : total;
        assert_int_equal(arena_layout(b, BLOCKS, &bytes), ST_OK);
        assert_true(bytes >= total && bytes < sum / 4);
        for (int i = 0; i < BLOCKS; i++)
            for (int k = 0; k < i; k++) {
                bool together = b[i].first <= b[k].last && b[k].first <= b[i].last;
                bool overlap = b[i].offset < b[k].offset + b[k].bytes &&
                               b[k].offset < b[i].offset + b[i].bytes;
                assert_false(together && overlap);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(class_loss_is_the_cross_entropy),
        cmocka_unit_test(pixels_can_be_weighed),
        cmocka_unit_test(dice_counts_the_classes_that_are_there),
        cmocka_unit_test(l1_gradient_is_a_mean_of_signs),
        cmocka_unit_test(engines_agree),
        cmocka_unit_test(wrong_sentences_are_refused),
        cmocka_unit_test(backward_adds_and_reports_each_range_once),
        cmocka_unit_test(dropout_follows_the_sample),
        cmocka_unit_test(the_first_fault_is_reported),
        cmocka_unit_test(blocks_alive_together_never_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
