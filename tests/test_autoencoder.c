/* The autoencoder against PyTorch (tests/golden/autoencoder.py): outputs, losses, every gradient
 * and the weight of the adversarial loss; parts and other sizes of the network against the whole,
 * and that it learns. */
#include "model/net/adaptive_weight.h"
#include "model/net/autoencoder.h"
#include "model/nn/plan.h"
#include "model/optim.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/golden/autoencoder.h"

enum { BATCH = 2, SIZE = 16, CASES = 2, CONVS = 5 /* of the discriminator */ };

static autoencoder_config config_of(int k) {
    const golden_autoencoder *c = &golden_autoencoders[k];
    return (autoencoder_config){
        .size = SIZE, .factor = c->factor, .z = c->z, .base = c->base, .blocks = c->blocks};
}

/* The formulas of tests/golden/autoencoder.py. */
static double phase(const char *name) {
    uint32_t h = 2166136261U;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619U;
    return (h % 1000) / 100.0;
}

static void wave(float *out, int64_t n, double start, double factor) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(factor * sin(start + 0.7 * (double)i));
}

static void set_weights(params *p) {
    for (int64_t k = 0; k < p->count; k++) {
        const param *one = &p->list[k];
        const double fan = (double)(one->rank > 1 ? one->count / one->shape[0] : one->count);
        const double base = one->init == PARAM_ONE ? 1 : 0;
        for (int64_t i = 0; i < one->count; i++)
            p->value[one->offset + i] =
                (float)(base + sin(phase(one->name) + 0.7 * (double)i) / sqrt(fan));
    }
}

static float *input(plan *pl, const char *name) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    return in.at;
}

static void fill(plan *pl, const char *name, double start, double factor) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    wave(in.at, tensor_count(&in), start, factor);
}

static void set_weight(plan *pl, const char *name, double value) {
    for (int b = 0; b < BATCH; b++) input(pl, name)[b] = (float)value;
}

/* Inputs and weights of the script. */
static void fill_golden(plan *pl) {
    fill(pl, "image", 113, 1.5);
    fill(pl, "noise", 102, 1);
    set_weight(pl, "weight", 0.5);
    set_weight(pl, "weight_features", 0.25);
    set_weight(pl, "weight_kl", 0.125);
    set_weight(pl, "weight_adversarial", 0.375);
}

static void norm_and_wave(const float *x, int64_t n, double out[2]) {
    double square = 0;
    out[1] = 0;
    for (int64_t i = 0; i < n; i++) {
        square += (double)x[i] * (double)x[i];
        out[1] += (double)x[i] * sin(5 + 0.7 * (double)i);
    }
    out[0] = sqrt(square);
}

/* Both sides agree to the rounding of f32 through some forty layers. */
static void compare(const char *what, const float *x, int64_t n, const double want[2]) {
    double seen[2];
    norm_and_wave(x, n, seen);
    const double near = 3e-5 * want[0] + 3e-6, along = near * sqrt((double)n / 2);
    if (fabs(seen[0] - want[0]) > near || fabs(seen[1] - want[1]) > along)
        fail_msg("%s: norm %.9g, PyTorch %.9g; along a wave %.9g, PyTorch %.9g", what, seen[0],
                 want[0], seen[1], want[1]);
}

static void compare_losses(plan *pl, node loss, const double want[2]) {
    const float *y = plan_output(pl, loss).at;
    for (int b = 0; b < BATCH; b++) assert_float_equal(y[b], want[b], 2e-5 * fmax(1, want[b]));
}

static void compare_gradients(const params *p, const golden_autoencoder *want) {
    int64_t frozen = 0, k = 0;
    for (int64_t i = 0; i < p->count; i++) {
        const param *one = &p->list[i];
        if (one->frozen) {
            for (int64_t a = 0; a < one->count; a++) assert_true(p->grad[one->offset + a] == 0);
            frozen++;
            continue;
        }
        const golden_gradient *g = NULL;
        for (k = 0; k < want->count && !g; k++)
            if (strcmp(want->gradients[k].name, one->name) == 0) g = &want->gradients[k];
        if (!g) fail_msg("PyTorch has no parameter %s", one->name);
        compare(one->name, p->grad + one->offset, one->count, g->by);
    }
    assert_int_equal(frozen, 3 * CONVS);
    assert_int_equal(p->count - frozen, want->count);
}

static plan *make_plan(const autoencoder_graph *net, params *p, const node *outputs, int64_t count,
                       bool training, engine_kind engine) {
    plan *pl = NULL;
    const plan_options options = {.engine = kernels_of(engine),
                                  .batch = BATCH,
                                  .training = training,
                                  .outputs = outputs,
                                  .output_count = count,
                                  .loss = net->loss};
    assert_int_equal(plan_create(net->g, p, &options, &pl), ST_OK);
    return pl;
}

static void agrees_with_pytorch(engine_kind engine) {
    for (int k = 0; k < CASES; k++) {
        const golden_autoencoder *want = &golden_autoencoders[k];
        const autoencoder_config c = config_of(k);
        autoencoder_graph net;
        params *p = NULL;
        assert_int_equal(autoencoder_describe_training(&c, &net), ST_OK);
        assert_int_equal(params_create(net.g, &p), ST_OK);
        set_weights(p);
        const node outputs[] = {net.moments, net.image, net.reconstruction, net.kl,
                                net.adversarial};
        plan *pl = make_plan(&net, p, outputs, 5, true, engine);
        fill_golden(pl);
        assert_int_equal(plan_forward(pl, NULL), ST_OK);
        const tensor moments = plan_output(pl, net.moments), image = plan_output(pl, net.image);
        assert_int_equal(moments.shape[1], SIZE / c.factor);
        assert_int_equal(moments.shape[3], 2 * c.z);
        compare("moments", moments.at, tensor_count(&moments), want->moments);
        compare("image", image.at, tensor_count(&image), want->image);
        compare_losses(pl, net.reconstruction, want->reconstruction);
        compare_losses(pl, net.kl, want->kl);
        compare_losses(pl, net.adversarial, want->adversarial);
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        compare_gradients(p, want);
        plan_destroy(pl);
        params_destroy(p);
        autoencoder_graph_free(&net);
    }
}

static void reference_agrees_with_pytorch(void **state) {
    (void)state, agrees_with_pytorch(ENGINE_REFERENCE);
}
static void onednn_agrees_with_pytorch(void **state) {
    (void)state, agrees_with_pytorch(ENGINE_ONEDNN);
}

/* lambda of the last layer alone against PyTorch's of the whole network; the cap holds. */
static void the_adaptive_weight_agrees_with_pytorch(void **state) {
    (void)state;
    for (int k = 0; k < CASES; k++) {
        const autoencoder_config c = config_of(k);
        const double want = golden_autoencoders[k].lambda;
        autoencoder_graph net;
        params *p = NULL;
        adaptive_weight *a = NULL;
        double lambda = 0;
        assert_int_equal(autoencoder_describe_training(&c, &net), ST_OK);
        assert_int_equal(params_create(net.g, &p), ST_OK);
        set_weights(p);
        const node outputs[] = {net.features, net.coarse};
        plan *pl = make_plan(&net, p, outputs, 2, false, ENGINE_ONEDNN);
        fill_golden(pl);
        assert_int_equal(plan_forward(pl, NULL), ST_OK);
        const float *features = plan_output(pl, net.features).at;
        const float *coarse = plan_output(pl, net.coarse).at;
        assert_int_equal(adaptive_weight_create(&c, kernels_of(ENGINE_ONEDNN), TYPE_F32, BATCH, &a),
                         ST_OK);
        for (int again = 0; again < 2; again++) {
            const float *image = input(pl, "image");
            assert_int_equal(
                adaptive_weight_measure(a, p, features, coarse, image, 0.5, 100, &lambda), ST_OK);
            assert_float_equal(lambda, want, 2e-5 * want);
            assert_int_equal(
                adaptive_weight_measure(a, p, features, coarse, image, 0.5, want / 2, &lambda),
                ST_OK);
            assert_float_equal(lambda, want / 2, 0);
        }
        adaptive_weight_destroy(a);
        plan_destroy(pl);
        params_destroy(p);
        autoencoder_graph_free(&net);
    }
}

/* The parameters of a part are those of the training from `at` floats on, name by name; *at moves
 * behind them. */
static params *take_part(const autoencoder_graph *part, const params *all, int64_t *at) {
    params *p = NULL;
    int64_t first = 0;
    assert_int_equal(params_create(part->g, &p), ST_OK);
    while (first < all->count && all->list[first].offset < *at) first++;
    assert_true(first + p->count <= all->count);
    for (int64_t k = 0; k < p->count; k++) {
        assert_string_equal(p->list[k].name, all->list[first + k].name);
        assert_int_equal(p->list[k].offset + *at, all->list[first + k].offset);
        assert_int_equal(p->list[k].count, all->list[first + k].count);
    }
    memcpy(p->value, all->value + *at, (size_t)p->total * sizeof *p->value);
    *at += p->total;
    return p;
}

/* Decoding what the encoder says of the mean is what the whole network makes without noise, to the
 * bit; and the discriminator's parameters are the rest of the training's. */
static void parts_are_those_of_the_whole(void **state) {
    (void)state;
    for (int k = 0; k < CASES; k++) {
        const autoencoder_config c = config_of(k);
        autoencoder_graph training, whole, encoder, decoder, discriminator;
        params *all = NULL;
        int64_t at = 0, end = 0;
        assert_int_equal(autoencoder_describe_training(&c, &training), ST_OK);
        assert_int_equal(autoencoder_describe(&c, &whole), ST_OK);
        assert_int_equal(autoencoder_describe_encoder(&c, &encoder), ST_OK);
        assert_int_equal(autoencoder_describe_decoder(&c, &decoder), ST_OK);
        assert_int_equal(autoencoder_describe_discriminator(&c, &discriminator), ST_OK);
        assert_int_equal(params_create(training.g, &all), ST_OK);
        set_weights(all);
        params *of_whole = take_part(&whole, all, &end);
        params *of_encoder = take_part(&encoder, all, &at),
               *of_decoder = take_part(&decoder, all, &at);
        assert_int_equal(at, end);
        params *of_discriminator = take_part(&discriminator, all, &at);
        assert_int_equal(at, all->total);
        plan *both = make_plan(&whole, of_whole, &whole.image, 1, false, ENGINE_ONEDNN),
             *first = make_plan(&encoder, of_encoder, &encoder.moments, 1, false, ENGINE_ONEDNN),
             *second = make_plan(&decoder, of_decoder, &decoder.image, 1, false, ENGINE_ONEDNN);
        fill(both, "image", 101, 1.5);
        fill(first, "image", 101, 1.5);
        assert_int_equal(plan_forward(both, NULL), ST_OK);
        assert_int_equal(plan_forward(first, NULL), ST_OK);
        const float *moments = plan_output(first, encoder.moments).at;
        const int64_t latents = BATCH * (SIZE / c.factor) * (SIZE / c.factor);
        for (int64_t i = 0; i < latents * c.z; i++)
            input(second, "latent")[i] = moments[i / c.z * 2 * c.z + i % c.z];
        assert_int_equal(plan_forward(second, NULL), ST_OK);
        assert_memory_equal(plan_output(second, decoder.image).at,
                            plan_output(both, whole.image).at, BATCH * SIZE * SIZE * sizeof(float));
        plan_destroy(both);
        plan_destroy(first);
        plan_destroy(second);
        params_destroy(all);
        params_destroy(of_whole);
        params_destroy(of_encoder);
        params_destroy(of_decoder);
        params_destroy(of_discriminator);
        autoencoder_graph_free(&training);
        autoencoder_graph_free(&whole);
        autoencoder_graph_free(&encoder);
        autoencoder_graph_free(&decoder);
        autoencoder_graph_free(&discriminator);
    }
}

/* Parameters know no size; the values of a constant image with constant weights neither: a network
 * without borders (3x3 convolutions see the image's edge, so only their middle counts) cannot tell
 * a slice from a patch. Here: weights that keep but the middle of each 3x3 kernel. */
static void size_is_no_part_of_the_network(void **state) {
    (void)state;
    enum { SIZES = 3 };
    static const int64_t sizes[SIZES] = {16, 24, 32};
    autoencoder_config c = config_of(0);
    params *first = NULL;
    float seen[SIZES];
    for (int k = 0; k < SIZES; k++) {
        autoencoder_graph net;
        params *p = NULL;
        tensor in;
        c.size = sizes[k];
        assert_int_equal(autoencoder_describe(&c, &net), ST_OK);
        assert_int_equal(params_create(net.g, &p), ST_OK);
        set_weights(p);
        for (int64_t i = 0; i < p->count; i++)
            for (int64_t a = 0;
                 p->list[i].rank == 4 && p->list[i].shape[2] == 3 && a < p->list[i].count; a++)
                if (a % 9 != 4) p->value[p->list[i].offset + a] = 0;
        if (first) {
            assert_int_equal(p->count, first->count);
            assert_int_equal(p->total, first->total);
            for (int64_t i = 0; i < p->count; i++)
                assert_string_equal(p->list[i].name, first->list[i].name);
        }
        plan *pl = make_plan(&net, p, &net.image, 1, false, ENGINE_ONEDNN);
        assert_int_equal(plan_input(pl, "image", &in), ST_OK);
        for (int64_t i = 0; i < tensor_count(&in); i++) ((float *)in.at)[i] = 0.3F;
        assert_int_equal(plan_forward(pl, NULL), ST_OK);
        const float *y = plan_output(pl, net.image).at;
        seen[k] = y[0];
        /* The cells of a constant image are equal. */
        for (int64_t i = 0; i < tensor_count(&in); i++) {
            const int64_t per_sample = sizes[k] * sizes[k], pixel = i % per_sample;
            const int64_t row = pixel / sizes[k] % c.factor, column = pixel % sizes[k] % c.factor;
            const float first_cell = y[row * sizes[k] + column];
            assert_float_equal(y[i], first_cell, 1e-5);
        }
        assert_float_equal(seen[k], seen[0], 1e-5);
        plan_destroy(pl);
        if (!first)
            first = p;
        else
            params_destroy(p);
        autoencoder_graph_free(&net);
    }
    params_destroy(first);
}

/* Discs on a background, in HU by the map: what there is to learn. */
static void draw_discs(float *image, int64_t size, uint64_t seed) {
    rng_stream r = rng_open(seed, RNG_NOISE, 0, 0);
    for (int b = 0; b < BATCH; b++) {
        const double y = 4 + 8 * rng_uniform(&r), x = 4 + 8 * rng_uniform(&r);
        for (int64_t i = 0; i < size * size; i++) {
            const double dy = (double)(i / size) - y, dx = (double)(i % size) - x;
            image[b * size * size + i] = dy * dy + dx * dx < 16 ? 0.05F : -0.8F;
        }
    }
}

/* Before it has learned anything, it gives the quarters of each cell their mean. */
static void it_begins_with_the_quarters_of_cells(void **state) {
    (void)state;
    for (int64_t factor = 4; factor <= 8; factor *= 2) {
        const autoencoder_config c = {
            .size = SIZE, .factor = factor, .z = 5, .base = 8, .blocks = 1};
        const int64_t half = factor / 2;
        autoencoder_graph net;
        params *p = NULL;
        assert_int_equal(autoencoder_describe(&c, &net), ST_OK);
        assert_int_equal(params_create(net.g, &p), ST_OK);
        params_init(p, 4);
        plan *pl = make_plan(&net, p, &net.image, 1, false, ENGINE_ONEDNN);
        fill(pl, "image", 113, 1.5);
        assert_int_equal(plan_forward(pl, NULL), ST_OK);
        const float *y = plan_output(pl, net.image).at, *x = input(pl, "image");
        for (int64_t i = 0; i < BATCH * SIZE * SIZE; i++) {
            const int64_t top = i / SIZE / half * half, left = i % SIZE / half * half;
            double mean = 0;
            for (int64_t k = 0; k < half * half; k++)
                mean += (double)x[(top + k / half) * SIZE + left + k % half];
            assert_float_equal(y[i], mean / (double)(half * half), 1e-6);
        }
        plan_destroy(pl);
        params_destroy(p);
        autoencoder_graph_free(&net);
    }
}

/* Steps of AdamW on a batch: the mean absolute error, at first that of the quarters of cells, falls
 * to a third. */
static void it_learns_a_batch(void **state) {
    (void)state;
    const autoencoder_config c = {.size = SIZE, .factor = 4, .z = 4, .base = 8, .blocks = 1};
    autoencoder_graph net;
    params *p = NULL;
    double first = 0, last = 0;
    assert_int_equal(autoencoder_describe_training(&c, &net), ST_OK);
    assert_int_equal(params_create(net.g, &p), ST_OK);
    params_init(p, 4);
    float *moments = calloc((size_t)p->total * 2, sizeof *moments);
    plan *pl = make_plan(&net, p, &net.image, 1, true, ENGINE_ONEDNN);
    draw_discs(input(pl, "image"), SIZE, 1);
    set_weight(pl, "weight", 0.5);
    set_weight(pl, "weight_features", 0.5);
    set_weight(pl, "weight_kl", 1e-7);
    for (int step = 0; step < 400; step++) {
        tensor noise;
        rng_stream r = rng_open(2, RNG_NOISE, (uint64_t)step, 0);
        assert_int_equal(plan_input(pl, "noise", &noise), ST_OK);
        rng_fill_normal(&r, noise.at, tensor_count(&noise));
        assert_int_equal(plan_forward(pl, NULL), ST_OK);
        const float *y = plan_output(pl, net.image).at, *x = input(pl, "image");
        last = 0;
        for (int i = 0; i < BATCH * SIZE * SIZE; i++)
            last += fabs((double)y[i] - (double)x[i]) / (BATCH * SIZE * SIZE);
        if (step == 0) first = last;
        memset(p->grad, 0, (size_t)p->total * sizeof(float));
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        const adamw how = {
            .lr = 3e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = step + 1, .scale = 1};
        adamw_update(&how, p->value, p->grad, moments, moments + p->total, p->decay, NULL, 0,
                     p->total);
        plan_params_changed(pl);
    }
    if (!(last < first / 3)) fail_msg("error %.4g at first, %.4g at last", first, last);
    free(moments);
    plan_destroy(pl);
    params_destroy(p);
    autoencoder_graph_free(&net);
}

/* One training step of the second network, with or without the losses of the image: returns the sum
 * of the losses, with the gradient in p->grad. */
static double step_of(params *p, const autoencoder_graph *net, tensor_type compute, bool recompute,
                      bool image_losses) {
    plan *pl = NULL;
    const plan_options options = {.engine = kernels_of(ENGINE_ONEDNN),
                                  .batch = BATCH,
                                  .training = true,
                                  .compute = compute,
                                  .recompute = recompute,
                                  .outputs = &net->loss,
                                  .output_count = 1,
                                  .loss = net->loss};
    assert_int_equal(plan_create(net->g, p, &options, &pl), ST_OK);
    fill_golden(pl);
    if (!image_losses) set_weight(pl, "weight", 0);
    if (!image_losses) set_weight(pl, "weight_features", 0);
    memset(p->grad, 0, (size_t)p->total * sizeof(float));
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    const float *y = plan_output(pl, net->loss).at;
    const double loss = (double)y[0] + (double)y[1];
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
    plan_destroy(pl);
    return loss;
}

/* Recomputed activations give the same bits. bf16 rounds each activation to 2^-9 of itself, and 40
 * layers are behind each other. Its gradient is compared without the absolute differences: their
 * slope is a sign, which a small error of the image may turn. */
static void recompute_and_bf16(void **state) {
    (void)state;
    const autoencoder_config c = config_of(1);
    autoencoder_graph net;
    params *p = NULL;
    double apart = 0, size = 0;
    assert_int_equal(autoencoder_describe_training(&c, &net), ST_OK);
    assert_int_equal(params_create(net.g, &p), ST_OK);
    params_init(p, 6);
    rng_stream r = rng_open(3, RNG_INIT, 999, 0);
    for (int64_t i = 0; i < p->total; i++) p->value[i] += (float)(0.02 * rng_normal(&r));
    float *plain = malloc((size_t)p->total * sizeof *plain);
    double loss = step_of(p, &net, TYPE_F32, false, true);
    memcpy(plain, p->grad, (size_t)p->total * sizeof *plain);
    assert_true(step_of(p, &net, TYPE_F32, true, true) == loss);
    assert_memory_equal(plain, p->grad, (size_t)p->total * sizeof *plain);
    loss = step_of(p, &net, TYPE_F32, true, false);
    memcpy(plain, p->grad, (size_t)p->total * sizeof *plain);
    assert_float_equal(step_of(p, &net, TYPE_BF16, true, false) / loss, 1, 40.0 / 512);
    for (int64_t i = 0; i < p->total; i++) {
        apart += pow((double)p->grad[i] - (double)plain[i], 2);
        size += pow((double)plain[i], 2);
    }
    if (!(apart > 0 && sqrt(apart / size) < 40.0 / 512))
        fail_msg("the gradient of bf16 is %g apart", sqrt(apart / size));
    free(plain);
    params_destroy(p);
    autoencoder_graph_free(&net);
}

static void faults_are_reported(void **state) {
    (void)state;
    autoencoder_graph net;
    autoencoder_config c = {.size = 32, .factor = 5, .z = 4, .base = 8, .blocks = 1};
    assert_int_equal(autoencoder_describe(&c, &net), ST_USAGE);
    autoencoder_graph_free(&net);
    c.factor = 8;
    c.size = 36;
    assert_int_equal(autoencoder_describe_encoder(&c, &net), ST_USAGE);
    autoencoder_graph_free(&net);
    c.size = 8;
    assert_int_equal(autoencoder_describe_training(&c, &net), ST_USAGE);
    autoencoder_graph_free(&net);
    c.base = 12;
    assert_int_equal(autoencoder_describe_decoder(&c, &net), ST_USAGE);
    autoencoder_graph_free(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_pytorch),
        cmocka_unit_test(onednn_agrees_with_pytorch),
        cmocka_unit_test(the_adaptive_weight_agrees_with_pytorch),
        cmocka_unit_test(parts_are_those_of_the_whole),
        cmocka_unit_test(size_is_no_part_of_the_network),
        cmocka_unit_test(recompute_and_bf16),
        cmocka_unit_test(it_begins_with_the_quarters_of_cells),
        cmocka_unit_test(it_learns_a_batch),
        cmocka_unit_test(faults_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
