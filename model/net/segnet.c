/* The layers of the segmenter. Its four levels have 1, 2, 4 and 4 times the base number of
 * channels, on the way down and on the way up. */
#include "model/net/segnet.h"

#include <stdio.h>

enum { GROUPS = 8, LEVELS = 4, NAME = 32 };

static const int64_t mult[LEVELS] = {1, 2, 4, 4};

int64_t segnet_feature_dim(const segnet_config *c) { return c->base * mult[LEVELS - 1]; }

/* Convolution, norm, SiLU; *raw (if not NULL) is the output of the convolution. */
static node unit(graph *g, const char *side, int level, int index, node x, int64_t out, int stride,
                 node *raw) {
    char name[NAME];
    snprintf(name, sizeof name, "%s.%d.conv%d", side, level, index);
    node h = graph_conv(g, name, x, out, 3, stride, INIT_UNIFORM);
    if (raw) *raw = h;
    snprintf(name, sizeof name, "%s.%d.norm%d", side, level, index);
    return graph_norm(g, name, h, GROUPS, NODE_NONE, true);
}

segnet_nodes segnet_build(graph *g, const segnet_config *c) {
    node skips[LEVELS], deepest = NODE_NONE;
    node h = graph_input(g, "x", TYPE_F32, c->size, c->size, 1);
    for (int level = 0; level < LEVELS; level++) {
        int64_t channels = c->base * mult[level];
        h = unit(g, "down", level, 0, h, channels, level > 0 ? 2 : 1, NULL);
        skips[level] = h = unit(g, "down", level, 1, h, channels, 1, &deepest);
    }
    /* Taken before the normalisation, which would remove the scale of the features. */
    node features = graph_mean(g, deepest);
    for (int level = LEVELS - 2; level >= 0; level--) {
        int64_t channels = c->base * mult[level];
        h = graph_concat(g, graph_upsample(g, h), skips[level]);
        h = unit(g, "up", level, 0, h, channels, 1, NULL);
        h = unit(g, "up", level, 1, h, channels, 1, NULL);
    }
    node logits = graph_conv(g, "out", h, c->labels, 1, 1, INIT_UNIFORM);
    node labels = graph_input(g, "labels", TYPE_U8, c->size, c->size, 1);
    node weight = graph_input(g, "weight", TYPE_F32, 1, 1, 1);
    return (segnet_nodes){.logits = logits,
                          .features = features,
                          .loss = graph_dice_ce_loss(g, logits, labels, weight)};
}
