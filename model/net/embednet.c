/* The layers of the embedding: four levels of two convolutions, each level half as large as the one
 * before and with up to 8 times the base number of channels; the mean over pixels; a linear layer.
 * The vector is normalised like a layer norm (a group norm with one group), so that the classes are
 * told apart by its direction. */
#include "model/net/embednet.h"

#include <stdio.h>

enum { GROUPS = 8, LEVELS = 4, NAME = 32 };

/* Convolution, norm, SiLU. */
static node unit(graph *g, int level, int index, node x, int64_t out, int stride) {
    char name[NAME];
    snprintf(name, sizeof name, "level%d.conv%d", level, index);
    node h = graph_conv(g, name, x, out, 3, stride, INIT_UNIFORM);
    snprintf(name, sizeof name, "level%d.norm%d", level, index);
    return graph_norm(g, name, h, GROUPS, NODE_NONE, true);
}

node embednet_vector(graph *g, int64_t size, int64_t base, int64_t width) {
    node h = graph_input(g, "x", TYPE_F32, size, size, 1);
    for (int level = 0; level < LEVELS; level++) {
        const int64_t channels = base << level;
        h = unit(g, level, 0, h, channels, 2);
        h = unit(g, level, 1, h, channels, 1);
    }
    return graph_linear(g, "embedding", graph_mean(g, h), width, INIT_UNIFORM);
}

embednet_nodes embednet_build(graph *g, const embednet_config *c) {
    node h = embednet_vector(g, c->size, c->base, EMBEDDING);
    node embedding = graph_norm(g, "embedding.norm", h, 1, NODE_NONE, false);
    node logits = graph_linear(g, "classes", embedding, c->classes, INIT_UNIFORM);
    node truth = graph_input(g, "class", TYPE_F32, 1, 1, 1);
    node weight = graph_input(g, "weight", TYPE_F32, 1, 1, 1);
    return (embednet_nodes){.embedding = embedding,
                            .loss = graph_class_loss(g, logits, truth, weight)};
}
