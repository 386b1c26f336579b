/* Plans that go through large maps a few samples at a time: a batch is its samples one by one;
 * gradients are finished when they are said to be; and the batch is cut indeed. */
#include "tests/net_case.h"

#include "model/net/unet.h"

#include <omp.h>

enum { MANY = 6, INPUTS = 4 };

static const uint64_t ids[MANY] = {5, 9, 2, 11, 3, 8};
static const char *const inputs[INPUTS] = {"x", "t", "target", "weight"};

/* Maps of 64x64 by 32 to 96 channels and of 32x32 with attention: with one thread sub-batches of 3
 * on the way down and of 1 on the way up. */
static net large_unet(void) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    unet_config c = {.size = 64,
                     .base = 32,
                     .levels = 3,
                     .mult = {1, 2, 2},
                     .blocks = 1,
                     .attention = {32},
                     .head = 32,
                     .dropout = 0.25};
    n.out = unet_build(n.g, &c);
    node target = graph_input(n.g, "target", TYPE_F32, 64, 64, 1);
    node weight = graph_input(n.g, "weight", TYPE_F32, 1, 1, 1);
    n.loss = graph_regression_loss(n.g, n.out, target, weight, LOSS_L2);
    assert_int_equal(graph_check(n.g), ST_OK);
    return n;
}

typedef struct way {
    engine_kind engine;
    tensor_type type;
    bool training, recompute;
} way;

static plan *make(const net *n, params *p, const way *w, int64_t batch) {
    plan *pl = NULL;
    plan_options options = {.batch = batch,
                            .training = w->training,
                            .compute = w->type,
                            .recompute = w->recompute,
                            .outputs = (node[]){n->out, n->loss},
                            .output_count = 2,
                            .loss = n->loss};
    options.engine = kernels_of(w->engine);
    assert_int_equal(plan_create(n->g, p, &options, &pl), ST_OK);
    return pl;
}

static void run(plan *pl, params *p, const uint64_t *of, plan_ready ready, void *context) {
    const plan_keys here = {.seed = 1, .step = 3, .sample = of};
    memset(p->grad, 0, (size_t)p->total * sizeof(float));
    assert_int_equal(plan_forward(pl, &here), ST_OK);
    assert_int_equal(plan_backward(pl, ready, context), ST_OK);
}

/* Sample i of an output or an input. */
static char *sample_at(const tensor *t, int64_t i) {
    return (char *)t->at + i * tensor_sample_bytes(t);
}

static double sample_difference(plan *all, plan *one, node x, int64_t i) {
    tensor a = plan_output(all, x), b = plan_output(one, x);
    assert_int_equal(a.shape[0], MANY);
    return difference((const float *)(const void *)sample_at(&a, i), b.at, tensor_count(&b));
}

/* A product of one row is summed in another order than one of six; in bf16 a number that falls to
 * the other side of a rounding is off by 2^-8 of itself, and so are some behind it. The reference
 * engine gives the same bits, but takes a minute to. */
static void check_samples(const net *n, params *p, const way *w) {
    const double most = w->type == TYPE_F32 ? 3e-6 : 0.02;
    plan *all = make(n, p, w, MANY), *one = make(n, p, w, 1);
    size_t size = (size_t)p->total * sizeof(float);
    float *whole = malloc(size), *sum = calloc(1, size);
    fill_inputs(all);
    run(all, p, ids, NULL, NULL);
    memcpy(whole, p->grad, size);
    for (int64_t i = 0; i < MANY; i++) {
        for (int k = 0; k < INPUTS; k++) {
            tensor from, to;
            assert_int_equal(plan_input(all, inputs[k], &from), ST_OK);
            assert_int_equal(plan_input(one, inputs[k], &to), ST_OK);
            memcpy(to.at, sample_at(&from, i), (size_t)tensor_bytes(&to));
        }
        run(one, p, ids + i, NULL, NULL);
        assert_true(sample_difference(all, one, n->out, i) < most);
        assert_true(sample_difference(all, one, n->loss, i) < most);
        for (int64_t k = 0; k < p->total; k++) sum[k] += p->grad[k];
    }
    assert_true(difference(whole, sum, p->total) < most);
    free(whole);
    free(sum);
    plan_destroy(all);
    plan_destroy(one);
}

static void a_batch_is_its_samples(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    const way ways[] = {{ENGINE_ONEDNN, TYPE_F32, true, false},
                        {ENGINE_ONEDNN, TYPE_F32, true, true},
                        {ENGINE_ONEDNN, TYPE_BF16, true, false},
                        {ENGINE_OPENBLAS, TYPE_F32, true, false}};
    for (int threads = 1; threads <= 2; threads++) {
        omp_set_num_threads(threads);
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) check_samples(&n, p, &ways[k]);
    }
    omp_set_num_threads(1);
    params_destroy(p);
    graph_destroy(n.g);
}

static void computing_again_gives_the_same_bits(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    size_t size = (size_t)p->total * sizeof(float);
    float *kept = malloc(size);
    for (int again = 0; again < 2; again++) {
        plan *pl = make(&n, p, &(way){ENGINE_ONEDNN, TYPE_F32, true, again}, MANY);
        fill_inputs(pl);
        run(pl, p, ids, NULL, NULL);
        if (!again) memcpy(kept, p->grad, size);
        plan_destroy(pl);
    }
    assert_memory_equal(kept, p->grad, size);
    free(kept);
    params_destroy(p);
    graph_destroy(n.g);
}

/* What was in the gradient when it was said to be finished. */
typedef struct heard {
    const params *p;
    float *then;
    int64_t count;
} heard;

static status hear(void *context, int64_t offset, int64_t count) {
    heard *h = context;
    memcpy(h->then + offset, h->p->grad + offset, (size_t)count * sizeof(float));
    h->count += count;
    return ST_OK;
}

static void gradients_are_finished_when_said(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    size_t size = (size_t)p->total * sizeof(float);
    heard h = {.p = p, .then = calloc(1, size)};
    plan *pl = make(&n, p, &(way){ENGINE_ONEDNN, TYPE_F32, true, false}, MANY);
    fill_inputs(pl);
    run(pl, p, ids, hear, &h);
    assert_int_equal(h.count, p->total);
    assert_memory_equal(h.then, p->grad, size);
    free(h.then);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n.g);
}

/* What lives within a segment only is there for a sub-batch, and a forward plan has little else. */
static void a_sub_batch_takes_its_own_memory_only(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    plan *all = make(&n, p, &(way){ENGINE_ONEDNN, TYPE_F32, false, false}, MANY);
    plan *one = make(&n, p, &(way){ENGINE_ONEDNN, TYPE_F32, false, false}, 1);
    assert_true(2 * plan_arena_bytes(all) < MANY * plan_arena_bytes(one));
    plan_destroy(all);
    plan_destroy(one);
    params_destroy(p);
    graph_destroy(n.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_its_samples),
        cmocka_unit_test(computing_again_gives_the_same_bits),
        cmocka_unit_test(gradients_are_finished_when_said),
        cmocka_unit_test(a_sub_batch_takes_its_own_memory_only),
    };
    omp_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
