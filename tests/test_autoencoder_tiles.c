/* The decoder in tiles gives the numbers of the whole one, whose tiles need the same memory
 * whatever the image; norms with given statistics against those that measure them. */
#include "model/net/autoencoder_tiles.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TILE = 16 };

/* Parameters of about the size that a training gives, no layer 0. */
static void set_values(params *p) {
    rng_stream r = rng_open(5, RNG_INIT, 0, 0);
    rng_fill_normal(&r, p->value, p->total);
    for (int64_t k = 0; k < p->count; k++) {
        const param *one = &p->list[k];
        const double fan = (double)(one->rank > 1 ? one->count / one->shape[0] : 16);
        for (int64_t i = 0; i < one->count; i++)
            p->value[one->offset + i] = (float)((one->init == PARAM_ONE ? 1 : 0) +
                                                (double)p->value[one->offset + i] / sqrt(fan));
    }
}

typedef struct whole {
    autoencoder_config config;
    autoencoder_graph graph;
    params *params;
    plan *plan;
    float *latent, *image;
    int64_t latents, pixels;
} whole;

static void open_whole(const autoencoder_config *c, engine_kind engine, tensor_type compute,
                       whole *w) {
    *w = (whole){.config = *c};
    assert_int_equal(autoencoder_describe_decoder(c, &w->graph), ST_OK);
    assert_int_equal(params_create(w->graph.g, &w->params), ST_OK);
    set_values(w->params);
    const plan_options options = {.engine = kernels_of(engine),
                                  .batch = 1,
                                  .compute = compute,
                                  .outputs = &w->graph.image,
                                  .output_count = 1};
    assert_int_equal(plan_create(w->graph.g, w->params, &options, &w->plan), ST_OK);
    w->pixels = c->size * c->size;
    w->latents = w->pixels / (c->factor * c->factor) * c->z;
    w->latent = malloc((size_t)w->latents * sizeof(float));
    w->image = malloc((size_t)w->pixels * sizeof(float));
    assert_non_null(w->latent);
    assert_non_null(w->image);
    rng_stream r = rng_open(7, RNG_INIT, 1, 0);
    rng_fill_normal(&r, w->latent, w->latents);
    /* Another region of the slice: means of tiles are not those of the whole. */
    for (int64_t i = 0; i < w->latents / 2; i++) w->latent[i] = 3 * w->latent[i] + 2;
}

static void close_whole(whole *w) {
    plan_destroy(w->plan);
    params_destroy(w->params);
    autoencoder_graph_free(&w->graph);
    free(w->latent);
    free(w->image);
}

static const float *decode_whole(whole *w) {
    tensor latent;
    assert_int_equal(plan_input(w->plan, "latent", &latent), ST_OK);
    memcpy(latent.at, w->latent, (size_t)w->latents * sizeof(float));
    assert_int_equal(plan_forward(w->plan, NULL), ST_OK);
    return plan_output(w->plan, w->graph.image).at;
}

/* The largest difference of the image in tiles from the whole one. */
static double difference(const autoencoder_config *c, int64_t tile, engine_kind engine,
                         tensor_type compute) {
    tiled_decoder *t = NULL;
    whole w;
    double most = 0;
    open_whole(c, engine, compute, &w);
    assert_int_equal(tiled_decoder_open(c, tile, w.params, kernels_of(engine), compute, &t), ST_OK);
    assert_int_equal(tiled_decoder_run(t, w.latent, w.image), ST_OK);
    const tiled_memory memory = tiled_decoder_memory(t);
    assert_true(memory.top > 0);
    assert_int_equal(memory.tile > 0, c->size > tile);
    assert_int_equal(memory.kept > 0, c->size > tile);
    const float *want = decode_whole(&w);
    for (int64_t i = 0; i < w.pixels; i++) {
        const double off = fabs((double)w.image[i] - (double)want[i]);
        assert_false(isnan(off));
        most = fmax(most, off);
    }
    tiled_decoder_close(t);
    close_whole(&w);
    return most;
}

/* Sizes of whole tiles and others, one not larger than a tile; both factors; all engines. */
static void tiles_give_the_numbers_of_the_whole(void **state) {
    (void)state;
    static const struct {
        autoencoder_config config;
        int64_t tile;
    } cases[] = {{{.size = 64, .factor = 4, .z = 4, .base = 8, .blocks = 1}, 16},
                 {{.size = 72, .factor = 4, .z = 3, .base = 8, .blocks = 2}, 16},
                 {{.size = 64, .factor = 8, .z = 4, .base = 8, .blocks = 1}, 8},
                 {{.size = 104, .factor = 8, .z = 4, .base = 16, .blocks = 2}, 24},
                 {{.size = 64, .factor = 8, .z = 4, .base = 8, .blocks = 8}, 16},
                 {{.size = 32, .factor = 4, .z = 4, .base = 8, .blocks = 1}, 32}};
    static const engine_kind engines[] = {ENGINE_ONEDNN, ENGINE_OPENBLAS, ENGINE_REFERENCE};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (size_t e = 0; e < sizeof engines / sizeof *engines; e++) {
            if (engines[e] == ENGINE_REFERENCE && k > 0) continue; /* slow */
            const double off = difference(&cases[k].config, cases[k].tile, engines[e], TYPE_F32);
            if (!(off < 1e-4)) fail_msg("case %zu, engine %zu: off by %g", k, e, off);
        }
    }
}

/* bf16 rounds what tiles and the whole compute in another order. */
static void tiles_in_bf16_are_near(void **state) {
    (void)state;
    const autoencoder_config c = {.size = 64, .factor = 4, .z = 4, .base = 8, .blocks = 2};
    const double off = difference(&c, 16, ENGINE_ONEDNN, TYPE_BF16);
    if (!(off < 2e-2)) fail_msg("off by %g", off);
}

static tiled_memory memory_of(int64_t size) {
    const autoencoder_config c = {.size = size, .factor = 4, .z = 4, .base = 8, .blocks = 1};
    tiled_decoder *t = NULL;
    whole w;
    open_whole(&c, ENGINE_ONEDNN, TYPE_F32, &w);
    assert_int_equal(
        tiled_decoder_open(&c, TILE, w.params, kernels_of(ENGINE_ONEDNN), TYPE_F32, &t), ST_OK);
    assert_int_equal(tiled_decoder_run(t, w.latent, w.image), ST_OK);
    const tiled_memory memory = tiled_decoder_memory(t);
    tiled_decoder_close(t);
    close_whole(&w);
    return memory;
}

static void tiles_of_larger_images_need_no_more_memory(void **state) {
    (void)state;
    const tiled_memory small = memory_of(64), large = memory_of(128);
    assert_true(small.tile > 0);
    assert_int_equal(small.tile, large.tile);
    /* The ends of two pieces of level 0 with 8 channels. */
    assert_int_equal(large.kept, 2 * 8 * 128 * 128 * sizeof(float));
}

static void tiles_of_no_whole_border_are_refused(void **state) {
    (void)state;
    const autoencoder_config c = {.size = 64, .factor = 4, .z = 4, .base = 8, .blocks = 2};
    static const int64_t tiles[] = {12, 0, -8};
    tiled_decoder *t = NULL;
    whole w;
    open_whole(&c, ENGINE_ONEDNN, TYPE_F32, &w);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            tiled_decoder_open(&c, tiles[i], w.params, kernels_of(ENGINE_ONEDNN), TYPE_F32, &t),
            ST_INTERNAL);
    assert_null(t);
    close_whole(&w);
}

/* Pieces that do not exist. */
static void pieces_are_checked(void **state) {
    (void)state;
    const autoencoder_config c = {.size = 64, .factor = 4, .z = 4, .base = 8, .blocks = 1};
    static const int pieces[][2] = {{-1, 0}, {0, 3}, {1, 2}, {2, 0}, {0, -1}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        autoencoder_graph graph;
        assert_int_equal(autoencoder_describe_piece(&c, pieces[i][0], pieces[i][1], 16, &graph),
                         ST_INTERNAL);
        autoencoder_graph_free(&graph);
    }
}

enum { SIDE = 6, CHANNELS = 8, GROUPS = 2, VALUES = SIDE * SIDE * CHANNELS };

/* A norm of x [SIDE, SIDE, CHANNELS]; given: mean and variance of its groups, or NULL. */
static void norm(engine_kind engine, const float *x, const float *given, float *y) {
    graph *g = NULL;
    params *p = NULL;
    plan *pl = NULL;
    tensor to;
    graph_given_norm found;
    assert_int_equal(graph_create(&g), ST_OK);
    node in = graph_input(g, "x", TYPE_F32, SIDE, SIDE, CHANNELS);
    graph_given(g, given != NULL);
    node out = graph_norm(g, "n", in, GROUPS, NODE_NONE, true);
    assert_int_equal(params_create(g, &p), ST_OK);
    set_values(p);
    const plan_options options = {
        .engine = kernels_of(engine), .batch = 1, .outputs = &out, .output_count = 1};
    assert_int_equal(plan_create(g, p, &options, &pl), ST_OK);
    assert_int_equal(plan_input(pl, "x", &to), ST_OK);
    memcpy(to.at, x, VALUES * sizeof *x);
    assert_int_equal(graph_given_at(g, 0, &found), given != NULL);
    assert_false(graph_given_at(g, 1, &found));
    if (given) {
        assert_int_equal(found.x, in);
        assert_int_equal(found.groups, GROUPS);
        assert_int_equal(plan_input(pl, found.input, &to), ST_OK);
        memcpy(to.at, given, (size_t)tensor_bytes(&to));
    }
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    memcpy(y, plan_output(pl, out).at, VALUES * sizeof *y);
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(g);
}

static void given_statistics_are_those_that_are_used(void **state) {
    (void)state;
    static const engine_kind engines[] = {ENGINE_ONEDNN, ENGINE_OPENBLAS, ENGINE_REFERENCE};
    float x[VALUES], measured[VALUES], same[VALUES], other[VALUES], given[2 * GROUPS] = {0};
    rng_stream r = rng_open(9, RNG_INIT, 2, 0);
    rng_fill_normal(&r, x, VALUES);
    for (int group = 0; group < GROUPS; group++) {
        double sum = 0, squares = 0;
        const int n = VALUES / GROUPS, width = CHANNELS / GROUPS;
        for (int i = 0; i < n; i++) {
            const double v = (double)x[i / width * CHANNELS + group * width + i % width];
            sum += v, squares += v * v;
        }
        given[group] = (float)(sum / n);
        given[GROUPS + group] = (float)(squares / n - sum / n * sum / n);
    }
    for (size_t e = 0; e < sizeof engines / sizeof *engines; e++) {
        norm(engines[e], x, NULL, measured);
        norm(engines[e], x, given, same);
        for (int i = 0; i < VALUES; i++) assert_float_equal(same[i], measured[i], 1e-5);
        given[0] += 1;
        norm(engines[e], x, given, other);
        given[0] -= 1;
        for (int i = 0; i < VALUES; i++)
            if (i % CHANNELS < CHANNELS / GROUPS) assert_true(other[i] != same[i]);
    }
}

/* A training through such a norm is an error. */
static void given_norms_are_not_trained(void **state) {
    (void)state;
    graph *g = NULL;
    params *p = NULL;
    plan *pl = NULL;
    assert_int_equal(graph_create(&g), ST_OK);
    node x = graph_input(g, "x", TYPE_F32, SIDE, SIDE, CHANNELS);
    node weight = graph_input(g, "weight", TYPE_F32, 1, 1, 1);
    graph_given(g, true);
    node h = graph_conv(g, "c", x, CHANNELS, 3, 1, INIT_UNIFORM);
    h = graph_norm(g, "n", h, GROUPS, NODE_NONE, true);
    node loss = graph_regression_loss(g, h, x, weight, LOSS_L2);
    assert_int_equal(params_create(g, &p), ST_OK);
    const plan_options options = {.engine = kernels_of(ENGINE_ONEDNN),
                                  .batch = 1,
                                  .training = true,
                                  .outputs = &loss,
                                  .output_count = 1,
                                  .loss = loss};
    assert_int_equal(plan_create(g, p, &options, &pl), ST_OK);
    assert_int_equal(plan_forward(pl, NULL), ST_OK);
    assert_int_equal(plan_backward(pl, NULL, NULL), ST_INTERNAL);
    assert_non_null(strstr(status_message(), "given"));
    plan_destroy(pl);
    params_destroy(p);
    graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_statistics_are_those_that_are_used),
        cmocka_unit_test(given_norms_are_not_trained),
        cmocka_unit_test(tiles_give_the_numbers_of_the_whole),
        cmocka_unit_test(tiles_in_bf16_are_near),
        cmocka_unit_test(tiles_of_larger_images_need_no_more_memory),
        cmocka_unit_test(tiles_of_no_whole_border_are_refused),
        cmocka_unit_test(pieces_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
