/* The layers of the autoencoder. */
#include "model/net/autoencoder.h"

#include "model/net/blocks.h"
#include "model/net/gan.h"

#include <inttypes.h>
#include <stdio.h>

/* Channels a head of attention; levels of the pyramid in the loss; pixels of its first level at
 * least. */
enum { HEAD = 32, PYRAMID = 4, TRAINING_SIZE = 16, LEVELS_MAX = 4 };

/* The unit of what the last convolutions give: that of detail, 100 HU. */
static const double UNIT = 0.1;

/* The last convolution of the decoder. */
static const char *const LAST = "decoder.oc";

static const autoencoder_graph nothing = {.moments = NODE_NONE,
                                          .features = NODE_NONE,
                                          .coarse = NODE_NONE,
                                          .image = NODE_NONE,
                                          .reconstruction = NODE_NONE,
                                          .kl = NODE_NONE,
                                          .adversarial = NODE_NONE,
                                          .loss = NODE_NONE};

static const int64_t multiples[LEVELS_MAX] = {1, 2, 4, 4};

int autoencoder_levels(const autoencoder_config *c) { return c->factor == 8 ? 4 : 3; }

int64_t autoencoder_channels(const autoencoder_config *c, int level) {
    return c->base * multiples[level];
}

static status open_graph(const autoencoder_config *c, autoencoder_graph *out) {
    *out = nothing;
    if (c->factor != 4 && c->factor != 8)
        return status_fail(ST_USAGE, "autoencoder: the factor must be 4 or 8, not %" PRId64,
                           c->factor);
    if (c->size % c->factor != 0)
        return status_fail(ST_USAGE,
                           "autoencoder: %" PRId64 " pixels are no multiple of the factor %" PRId64,
                           c->size, c->factor);
    return graph_create(&out->g);
}

static node block(graph *g, const char *name, node x, int64_t out) {
    graph_block(g);
    return residual_block(g, name, x, out, NODE_NONE, 0);
}

/* The lowest level of a side, "encoder" or "decoder". */
static node middle(graph *g, const char *side, node h, int64_t channels) {
    char name[LAYER_NAME];
    h = block(g, layer_name(name, side, "m1"), h, channels);
    h = attention_block(g, layer_name(name, side, "ma"), h, HEAD);
    return block(g, layer_name(name, side, "m2"), h, channels);
}

static node encoder(graph *g, const autoencoder_config *c, node image) {
    const int levels = autoencoder_levels(c);
    char name[LAYER_NAME];
    node h = graph_conv(g, "encoder.inp", image, c->base, 3, 1, INIT_UNIFORM);
    for (int level = 0; level < levels; level++) {
        const int64_t channels = autoencoder_channels(c, level);
        for (int i = 0; i < c->blocks; i++) {
            snprintf(name, sizeof name, "encoder.%d.%d", level, i);
            h = block(g, name, h, channels);
        }
        graph_block(g);
        snprintf(name, sizeof name, "encoder.%d.down", level);
        if (level + 1 < levels) h = graph_conv(g, name, h, channels, 3, 2, INIT_UNIFORM);
    }
    h = middle(g, "encoder", h, autoencoder_channels(c, levels - 1));
    h = graph_norm(g, "encoder.on", h, BLOCK_GROUPS, NODE_NONE, true);
    h = graph_scale(g, graph_conv(g, "encoder.oc", h, 2 * c->z, 3, 1, INIT_ZERO), UNIT);
    return graph_add(g, h, graph_haar_moments(g, image, c->factor, c->z));
}

/* The image of features and coarse. */
static node last_layer(const autoencoder_graph *of) {
    node h = graph_conv(of->g, LAST, of->features, 1, 3, 1, INIT_ZERO);
    return graph_add(of->g, graph_scale(of->g, h, UNIT), of->coarse);
}

/* Upsampling to a level, from h at the end of the one below. */
static node upsample(graph *g, const autoencoder_config *c, int level, node h) {
    char name[LAYER_NAME];
    graph_block(g);
    snprintf(name, sizeof name, "decoder.%d.up", level + 1);
    return graph_conv(g, name, graph_upsample(g, h), autoencoder_channels(c, level + 1), 3, 1,
                      INIT_UNIFORM);
}

/* Residual block i of a level of the decoder. */
static node level_block(graph *g, const autoencoder_config *c, int level, int i, node h) {
    char name[LAYER_NAME];
    snprintf(name, sizeof name, "decoder.%d.%d", level, i);
    return block(g, name, h, autoencoder_channels(c, level));
}

/* A level of the decoder, from h of the level below on (of the lowest one, from the latent). */
static node level_of(graph *g, const autoencoder_config *c, int level, node h) {
    const int64_t channels = autoencoder_channels(c, level);
    if (level == autoencoder_levels(c) - 1) {
        h = graph_conv(g, "decoder.inp", h, channels, 3, 1, INIT_UNIFORM);
        h = middle(g, "decoder", h, channels);
    } else {
        h = upsample(g, c, level, h);
    }
    for (int i = 0; i <= c->blocks; i++) h = level_block(g, c, level, i, h);
    return h;
}

/* Sets features, coarse and image from h of level 0. */
static void finish(const autoencoder_config *c, node h, node latent, autoencoder_graph *out) {
    graph *g = out->g;
    graph_block(g);
    out->features = graph_norm(g, "decoder.on", h, BLOCK_GROUPS, NODE_NONE, true);
    out->coarse = graph_haar_inverse(g, latent, c->factor);
    out->image = last_layer(out);
}

/* Sets features, coarse and image. */
static void decoder(const autoencoder_config *c, node latent, autoencoder_graph *out) {
    node h = latent;
    for (int level = autoencoder_levels(c) - 1; level >= 0; level--)
        h = level_of(out->g, c, level, h);
    finish(c, h, latent, out);
}

static node image_input(graph *g, const autoencoder_config *c) {
    return graph_input(g, "image", TYPE_F32, c->size, c->size, 1);
}

static node latent_input(graph *g, const autoencoder_config *c, const char *name) {
    const int64_t side = c->size / c->factor;
    return graph_input(g, name, TYPE_F32, side, side, c->z);
}

static node weight_input(graph *g, const char *name) {
    return graph_input(g, name, TYPE_F32, 1, 1, 1);
}

/* Encoder and decoder of `image`. */
static void both(const autoencoder_config *c, node image, autoencoder_graph *out) {
    out->moments = encoder(out->g, c, image);
    node noise = latent_input(out->g, c, "noise");
    decoder(c, graph_gaussian_sample(out->g, out->moments, noise), out);
}

/* The losses of the reconstruction out->image of `image`, with the discriminator frozen. */
static void add_losses(const autoencoder_config *c, node image, autoencoder_graph *out) {
    graph *g = out->g;
    graph_block(g);
    graph_freeze(g, true);
    node score = gan_discriminator(g, out->image, 2 * c->base);
    graph_freeze(g, false);
    node square = graph_regression_loss(g, out->image, image, weight_input(g, "weight"), LOSS_L2);
    node weight = weight_input(g, "weight_features");
    node pyramid = graph_pyramid_loss(g, out->image, image, weight, PYRAMID);
    node edges = graph_window_loss(g, out->image, image, weight);
    node pixels = graph_scale(g, square, 1 / UNIT);
    out->reconstruction = graph_add(g, pixels, graph_add(g, pyramid, edges));
    out->adversarial = graph_score_loss(g, score, weight_input(g, "weight_adversarial"));
    out->loss = graph_add(g, out->reconstruction, out->adversarial);
}

status autoencoder_describe(const autoencoder_config *c, autoencoder_graph *out) {
    status st = ST_OK;
    TRY(open_graph(c, out));
    both(c, image_input(out->g, c), out);
    TRY(graph_check(out->g));
done:
    return st;
}

status autoencoder_describe_encoder(const autoencoder_config *c, autoencoder_graph *out) {
    status st = ST_OK;
    TRY(open_graph(c, out));
    out->moments = encoder(out->g, c, image_input(out->g, c));
    TRY(graph_check(out->g));
done:
    return st;
}

status autoencoder_describe_decoder(const autoencoder_config *c, autoencoder_graph *out) {
    status st = ST_OK;
    TRY(open_graph(c, out));
    decoder(c, latent_input(out->g, c, "latent"), out);
    TRY(graph_check(out->g));
done:
    return st;
}

status autoencoder_describe_top(const autoencoder_config *c, int level, autoencoder_graph *out) {
    status st = ST_OK;
    TRY(open_graph(c, out));
    node latent = latent_input(out->g, c, "latent");
    node h = latent;
    for (int i = autoencoder_levels(c) - 1; i >= level; i--) h = level_of(out->g, c, i, h);
    out->features = h;
    if (level == 0) finish(c, h, latent, out);
    TRY(graph_check(out->g));
done:
    return st;
}

status autoencoder_describe_piece(const autoencoder_config *c, int level, int piece, int64_t tile,
                                  autoencoder_graph *out) {
    status st = ST_OK;
    TRY(open_graph(c, out));
    graph *g = out->g;
    const int last = c->blocks + (level == 0), below = level + (piece == 0);
    const int64_t from = piece == 0 ? tile / 2 : tile, side = tile / c->factor;
    if (level < 0 || below >= autoencoder_levels(c) || piece < 0 || piece > last)
        TRY(status_fail(ST_INTERNAL, "autoencoder: no piece %d of level %d", piece, level));
    graph_given(g, true);
    node h = graph_input(g, "below", TYPE_F32, from, from, autoencoder_channels(c, below));
    if (piece > c->blocks) {
        finish(c, h, graph_input(g, "latent", TYPE_F32, side, side, c->z), out);
    } else {
        if (piece == 0) h = upsample(g, c, level, h);
        out->features = level_block(g, c, level, piece, h);
    }
    TRY(graph_check(g));
done:
    return st;
}

static status check_training(const autoencoder_config *c) {
    if (c->size >= TRAINING_SIZE) return ST_OK;
    return status_fail(ST_USAGE,
                       "autoencoder: patches need at least %d pixels a side, not %" PRId64,
                       TRAINING_SIZE, c->size);
}

status autoencoder_describe_training(const autoencoder_config *c, autoencoder_graph *out) {
    status st = ST_OK;
    *out = nothing;
    TRY(check_training(c));
    TRY(open_graph(c, out));
    node image = image_input(out->g, c);
    both(c, image, out);
    add_losses(c, image, out);
    out->kl = graph_kl_loss(out->g, out->moments, weight_input(out->g, "weight_kl"));
    out->loss = graph_add(out->g, out->loss, out->kl);
    TRY(graph_check(out->g));
done:
    return st;
}

status autoencoder_describe_discriminator(const autoencoder_config *c, autoencoder_graph *out) {
    status st = ST_OK;
    TRY(open_graph(c, out));
    node score = gan_discriminator(out->g, image_input(out->g, c), 2 * c->base);
    node sign = graph_input(out->g, "sign", TYPE_F32, 1, 1, 1);
    out->loss = graph_hinge_loss(out->g, score, sign, weight_input(out->g, "weight"));
    TRY(graph_check(out->g));
done:
    return st;
}

status autoencoder_describe_last_layer(const autoencoder_config *c, autoencoder_graph *out) {
    status st = ST_OK;
    *out = nothing;
    TRY(check_training(c));
    TRY(open_graph(c, out));
    node image = image_input(out->g, c);
    out->features = graph_input(out->g, "features", TYPE_F32, c->size, c->size, c->base);
    out->coarse = graph_input(out->g, "coarse", TYPE_F32, c->size, c->size, 1);
    out->image = last_layer(out);
    add_losses(c, image, out);
    TRY(graph_check(out->g));
done:
    return st;
}

void autoencoder_graph_free(autoencoder_graph *graph) {
    graph_destroy(graph->g);
    graph->g = NULL;
}
