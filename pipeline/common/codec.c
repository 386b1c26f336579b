/* Encoder and decoder with a plan each. */
#include "pipeline/common/codec.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/net/autoencoder_tiles.h"
#include "model/nn/plan.h"
#include "pipeline/common/fingerprint.h"

#include <stdlib.h>
#include <string.h>

/* One half of the network. */
typedef struct half {
    autoencoder_graph graph;
    params *params;
    plan *plan; /* NULL: in tiles */
    node output;
} half;

struct codec {
    autoencoder_config config;
    half encoder, decoder;
    tiled_decoder *tiles; /* NULL: whole slices */
    float *scale;         /* [z] */
    residual_noise noise;
};

autoencoder_config codec_config(const study *s, int64_t size) {
    return (autoencoder_config){.size = size,
                                .factor = s->autoencode.factor,
                                .z = s->autoencode.z,
                                .base = s->autoencode.base,
                                .blocks = (int)s->autoencode.blocks};
}

static status open_half(const stage_context *stage, bool tiled, half *h) {
    status st = ST_OK;
    const plan_options options = {.engine = stage->engine,
                                  .batch = 1,
                                  .compute = stage->precision,
                                  .outputs = &h->output,
                                  .output_count = 1};
    TRY(params_create(h->graph.g, &h->params));
    if (!tiled) TRY(plan_create(h->graph.g, h->params, &options, &h->plan));
done:
    return st;
}

static void values_changed(half *h) {
    if (h->plan) plan_params_changed(h->plan);
}

static void close_half(half *h) {
    plan_destroy(h->plan);
    params_destroy(h->params);
    autoencoder_graph_free(&h->graph);
}

status codec_create(const stage_context *stage, codec **out) {
    status st = ST_OK;
    codec *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "an autoencoder"));
    c->config = codec_config(stage->study, stage->study->data.size);
    TRY(array_alloc(&c->scale, c->config.z, sizeof *c->scale, "scales"));
    for (int64_t i = 0; i < c->config.z; i++) c->scale[i] = 1;
    TRY(autoencoder_describe_encoder(&c->config, &c->encoder.graph));
    TRY(autoencoder_describe_decoder(&c->config, &c->decoder.graph));
    c->encoder.output = c->encoder.graph.moments;
    c->decoder.output = c->decoder.graph.image;
    const bool tiled = c->config.size >= CODEC_TILED;
    TRY(open_half(stage, false, &c->encoder));
    TRY(open_half(stage, tiled, &c->decoder));
    if (tiled)
        TRY(tiled_decoder_open(&c->config, CODEC_TILE, c->decoder.params, stage->engine,
                               stage->precision, &c->tiles));
    *out = c;
    c = NULL;
done:
    codec_close(c);
    return st;
}

void codec_close(codec *c) {
    if (!c) return;
    close_half(&c->encoder);
    close_half(&c->decoder);
    tiled_decoder_close(c->tiles);
    free(c->scale);
    free(c);
}

const published_network codec_published = {AUTOENCODER_KIND, "autoencoder", "autoencode",
                                           fingerprint_of_autoencoder};

/* Reads the parameters of a half from a file whose hash was compared. */
static status read_half(const char *path, half *h) {
    const status st = published_parameters(path, h->params);
    if (st == ST_OK) values_changed(h);
    return st;
}

status codec_open(const stage_context *stage, codec **out) {
    status st = ST_OK;
    codec *c = NULL;
    char path[PATH_SIZE];
    checkpoint_array arrays[CODEC_ARRAYS];
    *out = NULL;
    TRY(published_file(stage, &codec_published, PUBLISHED_PARAMETERS, path));
    TRY(codec_create(stage, &c));
    TRY(read_half(path, &c->encoder));
    TRY(read_half(path, &c->decoder));
    codec_arrays(c->config.z, c->scale, &c->noise, arrays);
    TRY(checkpoint_read_arrays(path, arrays, CODEC_ARRAYS));
    *out = c;
    c = NULL;
done:
    codec_close(c);
    return st;
}

const residual_noise *codec_noise(const codec *c) { return &c->noise; }

void codec_arrays(int64_t z, float *scale, residual_noise *noise,
                  checkpoint_array out[CODEC_ARRAYS]) {
    const checkpoint_array all[CODEC_ARRAYS] = {
        {.name = "scale", .rank = 1, .shape = {z}, .at = scale},
        {.name = "residual.kernel",
         .rank = 2,
         .shape = {RESIDUAL_SIDE, RESIDUAL_SIDE},
         .at = noise->kernel},
        {.name = "residual.sigma", .rank = 1, .shape = {RESIDUAL_CLASSES}, .at = noise->sigma},
        {.name = "residual.level", .rank = 1, .shape = {RESIDUAL_LEVELS}, .at = noise->level}};
    memcpy(out, all, sizeof all);
}

void codec_set(codec *c, const float *values) {
    half *const halves[] = {&c->encoder, &c->decoder};
    for (int i = 0; i < 2; i++) {
        memcpy(halves[i]->params->value, values, (size_t)halves[i]->params->total * sizeof *values);
        values_changed(halves[i]);
        values += halves[i]->params->total;
    }
}

int64_t codec_values(const codec *c) {
    const int64_t side = c->config.size / c->config.factor;
    return side * side * c->config.z;
}

status codec_encode(codec *c, const float *image, float *latent) {
    status st = ST_OK;
    const int64_t z = c->config.z, n = codec_values(c);
    tensor input;
    TRY(plan_input(c->encoder.plan, "image", &input));
    memcpy(input.at, image, (size_t)tensor_bytes(&input));
    TRY(plan_forward(c->encoder.plan, NULL));
    activity_progress();
    const float *moments = plan_output(c->encoder.plan, c->encoder.output).at;
    for (int64_t i = 0; i < n; i++) latent[i] = moments[i / z * 2 * z + i % z] * c->scale[i % z];
done:
    return st;
}

/* Decodes a latent whose channels have no scale. */
static status decode(codec *c, const float *latent, float *image) {
    status st = ST_OK;
    tensor input;
    TRY(plan_input(c->decoder.plan, "latent", &input));
    memcpy(input.at, latent, (size_t)tensor_bytes(&input));
    TRY(plan_forward(c->decoder.plan, NULL));
    memcpy(image, plan_output(c->decoder.plan, c->decoder.output).at,
           (size_t)(c->config.size * c->config.size) * sizeof *image);
done:
    return st;
}

status codec_decode(codec *c, const float *latent, float *image) {
    status st = ST_OK;
    float *unscaled = NULL;
    TRY(array_alloc(&unscaled, codec_values(c), sizeof *unscaled, "a latent"));
    for (int64_t i = 0; i < codec_values(c); i++)
        unscaled[i] = latent[i] / c->scale[i % c->config.z];
    TRY(c->tiles ? tiled_decoder_run(c->tiles, unscaled, image) : decode(c, unscaled, image));
    activity_progress();
done:
    free(unscaled);
    return st;
}
