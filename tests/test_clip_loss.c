/* The loss of image and text: against PyTorch (tests/golden/clip.py) and in closed form, the whole
 * batch against parts of it on several ranks, and its gradient through networks. */
#include "tests/net_case.h"
#include "tests/golden/clip.h"

#include "model/net/clip_loss.h"
#include "model/net/text_encoder.h"

enum { PAIRS = GOLDEN_PAIRS, WIDTH = GOLDEN_WIDTH, VALUES = PAIRS * WIDTH };

typedef struct pairs {
    float image[VALUES], text[VALUES];
} pairs;

/* The formula of tests/golden/clip.py. */
static pairs golden_pairs(void) {
    pairs p;
    for (int i = 0; i < VALUES; i++) {
        p.image[i] = (float)sin(0.2 + 0.7 * i);
        p.text[i] = (float)sin(3.1 + 0.7 * i);
    }
    return p;
}

/* The sums over ranks that have these many pairs each. */
static void compute(const pairs *p, double log_scale, int64_t rows, double sums[2], pairs *grad) {
    sums[0] = sums[1] = 0;
    *grad = (pairs){{0}, {0}};
    for (int64_t first = 0; first < PAIRS; first += rows) {
        pairs part;
        clip_sums one = {.image = part.image, .text = part.text};
        const clip_batch b = {.image = p->image,
                              .text = p->text,
                              .pairs = PAIRS,
                              .width = WIDTH,
                              .first = first,
                              .rows = rows,
                              .log_scale = log_scale};
        assert_int_equal(clip_loss(&b, &one), ST_OK);
        sums[0] += one.loss;
        sums[1] += one.log_scale;
        for (int i = 0; i < VALUES; i++) {
            grad->image[i] += part.image[i];
            grad->text[i] += part.text[i];
        }
    }
}

static void agrees_with_pytorch_on_any_number_of_ranks(void **state) {
    (void)state;
    const pairs p = golden_pairs();
    for (int64_t ranks = 1; ranks <= PAIRS; ranks *= 2) {
        pairs grad;
        double sums[2];
        compute(&p, golden_log_scale[0], PAIRS / ranks, sums, &grad);
        assert_float_equal(sums[0], golden_loss[0], 1e-10);
        assert_float_equal(sums[1], golden_slope[0], 1e-10);
        for (int i = 0; i < VALUES; i++) {
            assert_float_equal(grad.image[i], golden_image[i], 1e-7);
            assert_float_equal(grad.text[i], golden_text[i], 1e-7);
        }
    }
}

/* Pairs along one axis each, at scale s: the loss is ln(1 + (N - 1) e^-s), its slope by ln s is -s
 * (N - 1) e^-s / (1 + (N - 1) e^-s), whatever the lengths. */
static void pairs_at_right_angles_have_a_closed_form(void **state) {
    (void)state;
    enum { N = 4 };
    for (double log_scale = -1; log_scale < 6; log_scale += 0.5) {
        float image[N * N] = {0}, text[N * N] = {0}, of_image[N * N], of_text[N * N];
        const clip_batch b = {image, text, N, N, 0, N, log_scale};
        clip_sums sums = {.image = of_image, .text = of_text};
        for (int i = 0; i < N; i++) {
            image[i * N + i] = (float)(i + 1);
            text[i * N + i] = 0.25f;
        }
        assert_int_equal(clip_loss(&b, &sums), ST_OK);
        const double s = fmin(exp(log_scale), 100), rest = (N - 1) * exp(-s);
        assert_float_equal(sums.loss, log1p(rest), 1e-12);
        const double slope = log_scale < log(100) ? -s * rest / (1 + rest) : 0;
        assert_float_equal(sums.log_scale, slope, 1e-12);
        assert_float_equal(clip_limit(log_scale), log(s), 1e-12);
    }
}

/* The gradient has no part along a vector, and a vector of length 0 has none. */
static void lengths_do_not_matter(void **state) {
    (void)state;
    pairs p = golden_pairs(), grad, other;
    double sums[2], same[2];
    for (int k = 0; k < WIDTH; k++) p.text[2 * WIDTH + k] = 0;
    compute(&p, 1, PAIRS, sums, &grad);
    for (int i = 0; i < PAIRS; i++) {
        double along = 0;
        for (int k = i * WIDTH; k < (i + 1) * WIDTH; k++)
            along += (double)p.image[k] * (double)grad.image[k];
        assert_float_equal(along, 0, 1e-8);
    }
    for (int k = 0; k < WIDTH; k++) assert_true(grad.text[2 * WIDTH + k] == 0);
    for (int i = 0; i < VALUES; i++) p.image[i] *= 8;
    compute(&p, 1, PAIRS, same, &other);
    assert_float_equal(sums[0], same[0], 1e-15);
    for (int i = 0; i < VALUES; i++) assert_float_equal(grad.image[i], 8 * other.image[i], 1e-7);
}

/* ---- through networks ---- */

enum { TOKENS = 5, CAPTIONS = 4 };

typedef struct encoders {
    net n; /* out: the vector of the image */
    node text;
} encoders;

static encoders make_encoders(void) {
    const text_encoder_config c = {
        .tokens = TOKENS, .vocabulary = 9, .width = 8, .head = 4, .blocks = 1, .embedding = WIDTH};
    encoders e = {0};
    assert_int_equal(graph_create(&e.n.g), ST_OK);
    graph *g = e.n.g;
    e.text = text_encoder_build(g, &c).embedding;
    node x = graph_input(g, "x", TYPE_F32, SIZE, SIZE, 1);
    node h =
        graph_norm(g, "norm", graph_conv(g, "conv", x, 8, 3, 1, INIT_UNIFORM), 2, NODE_NONE, true);
    e.n.out = graph_linear(g, "image", graph_mean(g, h), WIDTH, INIT_UNIFORM);
    node of_image = graph_input(g, "image gradient", TYPE_F32, 1, 1, WIDTH);
    node of_text = graph_input(g, "text gradient", TYPE_F32, 1, 1, WIDTH);
    node value = graph_input(g, "value", TYPE_F32, 1, 1, 1);
    node weight = graph_input(g, "weight", TYPE_F32, 1, 1, 1);
    e.n.loss = graph_gradient_loss(g, graph_concat(g, e.n.out, e.text),
                                   graph_concat(g, of_image, of_text), value, weight);
    assert_int_equal(graph_check(g), ST_OK);
    return e;
}

static plan *plan_of(const encoders *e, params *p, int64_t batch) {
    plan *pl = NULL;
    const plan_options options = {.engine = kernels_of(ENGINE_REFERENCE),
                                  .batch = batch,
                                  .training = true,
                                  .outputs = (node[]){e->n.out, e->text, e->n.loss},
                                  .output_count = 3,
                                  .loss = e->n.loss};
    assert_int_equal(plan_create(e->n.g, p, &options, &pl), ST_OK);
    return pl;
}

/* Runs pairs [first, first + batch) forward and puts their vectors into the whole batch. */
static void run_forward(plan *pl, const encoders *e, int64_t first, int64_t batch, float *image,
                        float *text) {
    tensor x, tokens, mask;
    assert_int_equal(plan_input(pl, "x", &x), ST_OK);
    assert_int_equal(plan_input(pl, "tokens", &tokens), ST_OK);
    assert_int_equal(plan_input(pl, "mask", &mask), ST_OK);
    for (int64_t b = 0; b < batch; b++) {
        const int64_t pair = first + b;
        rng_stream r = rng_open(8, RNG_NOISE, (uint64_t)pair, 0);
        for (int64_t i = 0; i < SIZE * SIZE; i++) /* stripes of their own, and noise */
            ((float *)x.at)[b * SIZE * SIZE + i] =
                (float)(cos((double)(pair * (i % SIZE))) + 0.2 * rng_normal(&r));
        for (int64_t t = 0; t < TOKENS; t++) {
            ((float *)tokens.at)[b * TOKENS + t] = (float)((3 * pair + t * t) % 9);
            ((float *)mask.at)[b * TOKENS + t] = (float)(t <= pair + 1);
        }
    }
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    const size_t bytes = (size_t)(batch * WIDTH) * sizeof *image;
    memcpy(image + first * WIDTH, plan_output(pl, e->n.out).at, bytes);
    memcpy(text + first * WIDTH, plan_output(pl, e->text).at, bytes);
}

static void set_input(plan *pl, const char *name, const float *from) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    memcpy(in.at, from, (size_t)tensor_bytes(&in));
}

/* Loss of all pairs on `ranks` ranks with their gradients in p->grad: as a training would, each
 * rank has a plan for its pairs, and vectors and gradients are exchanged between the runs. */
static double loss_on(const encoders *e, params *p, int64_t ranks, bool backward) {
    enum { ALL = CAPTIONS * WIDTH };
    const int64_t batch = CAPTIONS / ranks;
    const float values[CAPTIONS] = {1, 2, 3, 4}, weights[CAPTIONS] = {0.5f, 2, 1, 4};
    float image[ALL], text[ALL], of_image[ALL] = {0}, of_text[ALL] = {0}, part[2][ALL];
    plan *plans[CAPTIONS];
    double loss = 0;
    memset(p->grad, 0, (size_t)p->total * sizeof *p->grad);
    for (int64_t r = 0; r < ranks; r++) {
        plans[r] = plan_of(e, p, batch);
        run_forward(plans[r], e, r * batch, batch, image, text);
    }
    for (int64_t r = 0; r < ranks; r++) {
        const clip_batch b = {image, text, CAPTIONS, WIDTH, r * batch, batch, 2};
        clip_sums sums = {.image = part[0], .text = part[1]};
        assert_int_equal(clip_loss(&b, &sums), ST_OK);
        loss += sums.loss;
        for (int i = 0; i < ALL; i++) { /* what the op multiplies with the weight of the pair */
            const float weight = weights[i / WIDTH % batch];
            of_image[i] += part[0][i] / weight;
            of_text[i] += part[1][i] / weight;
        }
    }
    for (int64_t r = 0; r < ranks; r++) {
        set_input(plans[r], "image gradient", of_image + r * batch * WIDTH);
        set_input(plans[r], "text gradient", of_text + r * batch * WIDTH);
        set_input(plans[r], "value", values);
        set_input(plans[r], "weight", weights);
        assert_int_equal(plan_forward(plans[r], NULL), ST_OK);
        const float *losses = plan_output(plans[r], e->n.loss).at;
        for (int64_t i = 0; i < batch; i++) assert_true(losses[i] == (float)(i + 1) * weights[i]);
        if (backward) assert_int_equal(plan_backward(plans[r], NULL, NULL), ST_OK);
        plan_destroy(plans[r]);
    }
    return loss;
}

/* The length of the gradient of each parameter is the slope of the loss along it (net_case.h). */
static void gradients_of_parameters_are_finite_differences(void **state) {
    (void)state;
    encoders e = make_encoders();
    params *p = make_params(&e.n);
    float *keep = malloc((size_t)p->total * sizeof *keep),
          *grad = malloc((size_t)p->total * sizeof *grad);
    const double size = loss_on(&e, p, 1, true), h = 3e-3;
    memcpy(keep, p->value, (size_t)p->total * sizeof *keep);
    memcpy(grad, p->grad, (size_t)p->total * sizeof *grad);
    for (int64_t k = 0; k < p->count; k++) {
        const param *one = &p->list[k];
        double loss[2], norm = 0;
        for (int64_t i = one->offset; i < one->offset + one->count; i++)
            norm += (double)grad[i] * (double)grad[i];
        norm = sqrt(norm);
        assert_true(norm > 1e-4);
        for (int side = 0; side < 2; side++) {
            for (int64_t i = one->offset; i < one->offset + one->count; i++)
                p->value[i] = (float)((double)keep[i] + (side ? -h : h) * (double)grad[i] / norm);
            loss[side] = loss_on(&e, p, 1, false);
        }
        memcpy(p->value, keep, (size_t)p->total * sizeof *keep);
        const double seen = (loss[0] - loss[1]) / (2 * h);
        if (fabs(seen - norm) > 2e-7 * size / h + 2e-3 * norm)
            fail_msg("%s: finite difference %.6g, gradient %.6g", one->name, seen, norm);
    }
    free(keep);
    free(grad);
    params_destroy(p);
    graph_destroy(e.n.g);
}

static void ranks_have_the_gradient_of_the_whole_batch(void **state) {
    (void)state;
    encoders e = make_encoders();
    params *p = make_params(&e.n);
    const double whole = loss_on(&e, p, 1, true);
    float *grad = malloc((size_t)p->total * sizeof *grad);
    memcpy(grad, p->grad, (size_t)p->total * sizeof *grad);
    for (int64_t ranks = 2; ranks <= CAPTIONS; ranks *= 2) {
        assert_float_equal(loss_on(&e, p, ranks, true), whole, 1e-6 * whole);
        assert_true(difference(p->grad, grad, p->total) < 1e-6);
    }
    free(grad);
    params_destroy(p);
    graph_destroy(e.n.g);
}

/* Gradient descent brings pairs together: the loss falls to a hundredth of that of chance, ln 4. */
static void encoders_learn_pairs(void **state) {
    (void)state;
    encoders e = make_encoders();
    params *p = make_params(&e.n);
    for (int step = 0; step < 120; step++) {
        loss_on(&e, p, 2, true);
        for (int64_t i = 0; i < p->total; i++) p->value[i] -= 0.1f * p->grad[i];
    }
    assert_true(loss_on(&e, p, 1, false) < log(CAPTIONS) / 100);
    params_destroy(p);
    graph_destroy(e.n.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_pytorch_on_any_number_of_ranks),
        cmocka_unit_test(pairs_at_right_angles_have_a_closed_form),
        cmocka_unit_test(lengths_do_not_matter),
        cmocka_unit_test(gradients_of_parameters_are_finite_differences),
        cmocka_unit_test(encoders_learn_pairs),
        cmocka_unit_test(ranks_have_the_gradient_of_the_whole_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
