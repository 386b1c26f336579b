/* Plans that compute large activations in sub-batches (plan_sub_batches.c): a batch equals its
 * samples computed one by one; gradients are complete when they are reported; and the batch is
 * really divided. */
#include "tests/net_case.h"

#include "model/net/unet.h"

#include <omp.h>

enum { MANY = 6, INPUTS = 4 };

static const uint64_t ids[MANY] = {5, 9, 2, 11, 3, 8};
static const char *const inputs[INPUTS] = {"x", "t", "target", "weight"};

/* Activations of 64x64 with 32 to 96 channels, and of 32x32 with attention: on one thread the
 * sub-batches have 3 samples on the way down and 1 on the way up. */
static net large_unet(void) {
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    unet_config c = {.size = 64,
                     .channels = 1,
                     .base = 32,
                     .levels = 3,
                     .mult = {1, 2, 2},
                     .blocks = 1,
                     .attention = {32},
                     .head = 32,
                     .dropout = 0.25};
    n.out = unet_build(n.g, &c);
    add_loss(&n, 64, 1, LOSS_L2);
    return n;
}

typedef struct setting {
    engine_kind engine;
    tensor_type type;
    bool training, recompute;
} setting;

static plan *make(const net *n, params *p, const setting *s, int64_t batch) {
    plan *pl = NULL;
    plan_options options = {.batch = batch,
                            .training = s->training,
                            .compute = s->type,
                            .recompute = s->recompute,
                            .outputs = (node[]){n->out, n->loss},
                            .output_count = 2,
                            .loss = n->loss};
    options.engine = kernels_of(s->engine);
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

/* Tolerance: a matrix product of one row is summed in another order than one of six. In bf16 a
 * value that rounds to the other neighbour differs by a relative 2^-8, and so may values computed
 * from it. (The reference engine gives the same bits, but takes a minute.) */
static void check_samples(const net *n, params *p, const setting *s) {
    const double max = s->type == TYPE_F32 ? 3e-6 : 0.02;
    plan *all = make(n, p, s, MANY), *one = make(n, p, s, 1);
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
        assert_true(sample_difference(all, one, n->out, i) < max);
        assert_true(sample_difference(all, one, n->loss, i) < max);
        for (int64_t k = 0; k < p->total; k++) sum[k] += p->grad[k];
    }
    assert_true(difference(whole, sum, p->total) < max);
    free(whole);
    free(sum);
    plan_destroy(all);
    plan_destroy(one);
}

static void a_batch_is_its_samples(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    const setting settings[] = {{ENGINE_ONEDNN, TYPE_F32, true, false},
                                {ENGINE_ONEDNN, TYPE_F32, true, true},
                                {ENGINE_ONEDNN, TYPE_BF16, true, false},
                                {ENGINE_OPENBLAS, TYPE_F32, true, false}};
    for (int threads = 1; threads <= 2; threads++) {
        omp_set_num_threads(threads);
        for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
            check_samples(&n, p, &settings[k]);
    }
    omp_set_num_threads(1);
    params_destroy(p);
    graph_destroy(n.g);
}

static void recomputing_gives_the_same_bits(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    size_t size = (size_t)p->total * sizeof(float);
    float *kept = malloc(size);
    for (int again = 0; again < 2; again++) {
        plan *pl = make(&n, p, &(setting){ENGINE_ONEDNN, TYPE_F32, true, again}, MANY);
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

/* Copies of the ranges of the gradient at the time they were reported as complete. */
typedef struct reported {
    const params *p;
    float *then;
    int64_t count;
} reported;

static status copy_range(void *context, int64_t offset, int64_t count) {
    reported *h = context;
    memcpy(h->then + offset, h->p->grad + offset, (size_t)count * sizeof(float));
    h->count += count;
    return ST_OK;
}

static void gradients_are_complete_when_reported(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    size_t size = (size_t)p->total * sizeof(float);
    reported h = {.p = p, .then = calloc(1, size)};
    plan *pl = make(&n, p, &(setting){ENGINE_ONEDNN, TYPE_F32, true, false}, MANY);
    fill_inputs(pl);
    run(pl, p, ids, copy_range, &h);
    assert_int_equal(h.count, p->total);
    assert_memory_equal(h.then, p->grad, size);
    free(h.then);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(n.g);
}

/* Activations within a segment need memory for one sub-batch, and a forward plan has few others. */
static void a_sub_batch_takes_its_own_memory_only(void **state) {
    (void)state;
    net n = large_unet();
    params *p = make_params(&n);
    plan *all = make(&n, p, &(setting){ENGINE_ONEDNN, TYPE_F32, false, false}, MANY);
    plan *one = make(&n, p, &(setting){ENGINE_ONEDNN, TYPE_F32, false, false}, 1);
    assert_true(2 * plan_arena_bytes(all) < MANY * plan_arena_bytes(one));
    plan_destroy(all);
    plan_destroy(one);
    params_destroy(p);
    graph_destroy(n.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_its_samples),
        cmocka_unit_test(recomputing_gives_the_same_bits),
        cmocka_unit_test(gradients_are_complete_when_reported),
        cmocka_unit_test(a_sub_batch_takes_its_own_memory_only),
    };
    omp_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
