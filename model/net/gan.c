/* The layers of generator and discriminator. */
#include "model/net/gan.h"

#include <stddef.h>

static node generator(graph *g, const unet_config *c) { return graph_tanh(g, unet_build(g, c)); }

node gan_discriminator(graph *g, node image, int64_t channels) {
    node h = graph_leaky_relu(g, graph_conv_spectral(g, "d.0", image, channels, 3, 2));
    h = graph_leaky_relu(g, graph_conv_spectral(g, "d.1", h, 2 * channels, 3, 2));
    h = graph_leaky_relu(g, graph_conv_spectral(g, "d.2", h, 4 * channels, 3, 2));
    h = graph_leaky_relu(g, graph_conv_spectral(g, "d.3", h, 4 * channels, 3, 1));
    return graph_conv_spectral(g, "d.4", h, 1, 3, 1);
}

/* The first level has twice the channels of the U-Net's. */
static node discriminator(graph *g, const unet_config *c, node image) {
    node labels = graph_input(g, "labels", TYPE_F32, c->size, c->size, c->labels);
    graph_block(g);
    return gan_discriminator(g, graph_concat(g, image, labels), 2 * c->base);
}

static node weight_input(graph *g) { return graph_input(g, "weight", TYPE_F32, 1, 1, 1); }

status gan_describe_generator(const unet_config *c, gan_graph *out) {
    status st = ST_OK;
    *out = (gan_graph){.image = NODE_NONE, .loss = NODE_NONE};
    TRY(graph_create(&out->g));
    out->image = generator(out->g, c);
    TRY(graph_check(out->g));
done:
    return st;
}

status gan_describe_training(const unet_config *c, gan_graph *out) {
    status st = ST_OK;
    *out = (gan_graph){.image = NODE_NONE, .loss = NODE_NONE};
    TRY(graph_create(&out->g));
    out->image = generator(out->g, c);
    graph_freeze(out->g, true);
    node score = discriminator(out->g, c, out->image);
    node target = graph_input(out->g, "target", TYPE_F32, c->size, c->size, 1);
    node weight_l1 = graph_input(out->g, "weight_l1", TYPE_F32, 1, 1, 1);
    node l1 = graph_regression_loss(out->g, out->image, target, weight_l1, LOSS_L1);
    out->loss = graph_add(out->g, graph_score_loss(out->g, score, weight_input(out->g)), l1);
    TRY(graph_check(out->g));
done:
    return st;
}

status gan_describe_discriminator(const unet_config *c, gan_graph *out) {
    status st = ST_OK;
    *out = (gan_graph){.image = NODE_NONE, .loss = NODE_NONE};
    TRY(graph_create(&out->g));
    graph *g = out->g;
    node score = discriminator(g, c, graph_input(g, "image", TYPE_F32, c->size, c->size, 1));
    node sign = graph_input(g, "sign", TYPE_F32, 1, 1, 1);
    out->loss = graph_hinge_loss(g, score, sign, weight_input(g));
    TRY(graph_check(g));
done:
    return st;
}

void gan_graph_free(gan_graph *graph) {
    graph_destroy(graph->g);
    graph->g = NULL;
}
