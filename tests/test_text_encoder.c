/* The text encoder: states, vector and every gradient against PyTorch (golden/text.txt, written by
 * golden/text.py) on each engine; pads change nothing; the size of the network by its formula;
 * states begin near the vectors of their tokens. */
#include "tests/torch_case.h"

#include "model/net/text_encoder.h"
#include "model/text/bpe.h"

enum { BATCH = 2, TOKENS = 7, WIDTH = 16, EMBEDDING = 5 };

typedef struct net {
    graph *g;
    params *p;
    plan *pl;
    text_encoder_nodes nodes;
    node loss;
} net;

static net make(engine_kind engine, bool recompute) {
    const text_encoder_config c = {.tokens = TOKENS,
                                   .vocabulary = 20,
                                   .width = WIDTH,
                                   .head = 8,
                                   .blocks = 2,
                                   .embedding = EMBEDDING};
    net n = {0};
    assert_int_equal(graph_create(&n.g), ST_OK);
    n.nodes = text_encoder_build(n.g, &c);
    node target = graph_input(n.g, "target", TYPE_F32, 1, 1, EMBEDDING);
    node weight = graph_input(n.g, "weight", TYPE_F32, 1, 1, 1);
    n.loss = graph_regression_loss(n.g, n.nodes.embedding, target, weight, LOSS_L2);
    assert_int_equal(params_create(n.g, &n.p), ST_OK);
    set_weights(n.p);
    const plan_options options = {.engine = kernels_of(engine),
                                  .batch = BATCH,
                                  .training = true,
                                  .recompute = recompute,
                                  .outputs = (node[]){n.nodes.states, n.nodes.embedding, n.loss},
                                  .output_count = 3,
                                  .loss = n.loss};
    assert_int_equal(plan_create(n.g, n.p, &options, &n.pl), ST_OK);
    return n;
}

static void release(net *n) {
    plan_destroy(n->pl);
    params_destroy(n->p);
    graph_destroy(n->g);
}

/* The sentences of golden/text.py; `pad` stands where there is none. */
static void run(net *n, float pad) {
    const float tokens[BATCH * TOKENS] = {17, 3, 3, 11, 0, 5, 18, 17, 9, 3, 18, pad, pad, pad};
    const float mask[BATCH * TOKENS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0};
    set_input(n->pl, "tokens", tokens);
    set_input(n->pl, "mask", mask);
    set_input(n->pl, "weight", (float[]){0.5f, 0.5f});
    fill(n->pl, "target", 0.4, 1.7);
    assert_int_equal(plan_forward(n->pl, NULL), ST_OK);
    assert_int_equal(plan_backward(n->pl, NULL, NULL), ST_OK);
}

static void agrees_with_pytorch(engine_kind engine) {
    for (int recompute = 0; recompute < 2; recompute++) {
        net n = make(engine, recompute);
        run(&n, 19);
        const float *loss = plan_output(n.pl, n.loss).at, sum = loss[0] + loss[1];
        const float *states = plan_output(n.pl, n.nodes.states).at;
        const torch_array arrays[] = {
            {"loss", &sum, 1, 5e-6},
            {"first", states, TOKENS * WIDTH, 1e-5},
            {"second", states + TOKENS * WIDTH, 4 * WIDTH, 1e-5},
            {"embedding", plan_output(n.pl, n.nodes.embedding).at, BATCH * EMBEDDING, 1e-5}};
        check_golden("tests/golden/text.txt", n.p, arrays, 4);
        release(&n);
    }
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

/* Other tokens where the mask is 0 change no bit of the tokens' states and of the vector, and no
 * gradient; one other token changes all states. */
static void pads_change_nothing(void **state) {
    (void)state;
    net a = make(ENGINE_ONEDNN, false), b = make(ENGINE_ONEDNN, false);
    run(&a, 19);
    run(&b, 4);
    const float *x = plan_output(a.pl, a.nodes.states).at,
                *y = plan_output(b.pl, b.nodes.states).at;
    assert_memory_equal(x, y, (TOKENS + 4) * WIDTH * sizeof *x);
    assert_memory_not_equal(x + (TOKENS + 4) * WIDTH, y + (TOKENS + 4) * WIDTH,
                            3 * WIDTH * sizeof *x);
    assert_memory_equal(plan_output(a.pl, a.nodes.embedding).at,
                        plan_output(b.pl, b.nodes.embedding).at, BATCH * EMBEDDING * sizeof *x);
    assert_memory_equal(a.p->grad, b.p->grad, (size_t)a.p->total * sizeof *x);
    release(&a);
    release(&b);
}

/* Tables; 12 width^2 and 13 width a block (4 matrices of attention, 8 of the layers, their biases:
 * 4 + 5, two norms: 4); the last norm and the linear layer. */
static void the_default_has_as_many_parameters_as_its_formula(void **state) {
    (void)state;
    const text_encoder_config c = text_encoder_default(BPE_FIRST + 1000, 128);
    graph *g = NULL;
    params *p = NULL;
    assert_int_equal(graph_create(&g), ST_OK);
    text_encoder_build(g, &c);
    assert_int_equal(params_create(g, &p), ST_OK);
    assert_int_equal(c.blocks, 4);
    assert_int_equal(c.width, 256);
    assert_int_equal(p->total,
                     (1259 + 96) * 256 + 4 * (12 * 256 * 256 + 13 * 256) + 2 * 256 + 257 * 128);
    params_destroy(p);
    graph_destroy(g);
}

/* Cosine of the angle between two arrays of n values. */
static double cosine(const float *a, const float *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* At the first step what the blocks add is smaller than the vectors of tokens, so that a state says
 * which token it is of. (Much shorter vectors are lost in what is added, and words with them.) */
static void states_begin_near_the_vectors_of_their_tokens(void **state) {
    (void)state;
    const text_encoder_config c = text_encoder_default(BPE_FIRST + 200, 128);
    graph *g = NULL;
    params *p = NULL;
    plan *pl = NULL;
    float tokens[96], mask[96];
    double sum = 0;
    assert_int_equal(graph_create(&g), ST_OK);
    const node states = text_encoder_build(g, &c).states;
    assert_int_equal(params_create(g, &p), ST_OK);
    params_init(p, 3);
    const plan_options options = {.engine = kernels_of(ENGINE_REFERENCE),
                                  .batch = 1,
                                  .outputs = (node[]){states},
                                  .output_count = 1};
    assert_int_equal(plan_create(g, p, &options, &pl), ST_OK);
    for (int i = 0; i < 96; i++) {
        tokens[i] = (float)(i * 37 % (BPE_FIRST + 200));
        mask[i] = 1;
    }
    set_input(pl, "tokens", tokens);
    set_input(pl, "mask", mask);
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    const param *table = &p->list[0];
    assert_string_equal(table->name, "text.embed.weight");
    for (int64_t i = 0; i < 96; i++)
        sum += cosine(p->value + table->offset + (int64_t)tokens[i] * c.width,
                      (const float *)plan_output(pl, states).at + i * c.width, c.width);
    assert_true(sum / 96 > 0.7);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_pytorch),
        cmocka_unit_test(onednn_agrees_with_pytorch),
        cmocka_unit_test(openblas_agrees_with_pytorch),
        cmocka_unit_test(pads_change_nothing),
        cmocka_unit_test(the_default_has_as_many_parameters_as_its_formula),
        cmocka_unit_test(states_begin_near_the_vectors_of_their_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
