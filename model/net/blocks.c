/* Residual blocks, and attention of pixels to each other and to tokens. */
#include "model/net/blocks.h"

#include <stdio.h>

const char *layer_name(char out[LAYER_NAME], const char *prefix, const char *layer) {
    snprintf(out, LAYER_NAME, "%s.%s", prefix, layer);
    return out;
}

node residual_block(graph *g, const char *name, node x, int64_t out, node embedding,
                    double dropout) {
    int64_t shape[4];
    char full[LAYER_NAME];
    graph_shape(g, x, shape);
    /* The skip is described first, so that its gradient is computed last, when the memory-intensive
     * part of the block's backward pass is finished. */
    node skip = x, scale_shift = NODE_NONE;
    if (shape[3] != out)
        skip = graph_conv(g, layer_name(full, name, "sk"), x, out, 1, 1, INIT_UNIFORM);
    node h = graph_norm(g, layer_name(full, name, "n1"), x, BLOCK_GROUPS, NODE_NONE, true);
    h = graph_conv(g, layer_name(full, name, "c1"), h, out, 3, 1, INIT_UNIFORM);
    if (embedding != NODE_NONE)
        scale_shift =
            graph_linear(g, layer_name(full, name, "e"), embedding, 2 * out, INIT_UNIFORM);
    h = graph_norm(g, layer_name(full, name, "n2"), h, BLOCK_GROUPS, scale_shift, true);
    if (dropout > 0) h = graph_dropout(g, h, dropout);
    h = graph_conv(g, layer_name(full, name, "c2"), h, out, 3, 1, INIT_ZERO);
    return graph_add(g, skip, h);
}

static int64_t heads_of(int64_t channels, int64_t head) {
    return channels / head > 0 ? channels / head : 1;
}

node attention_block(graph *g, const char *name, node x, int64_t head) {
    int64_t shape[4];
    char full[LAYER_NAME];
    graph_shape(g, x, shape);
    int64_t channels = shape[3];
    node h = graph_norm(g, layer_name(full, name, "n"), x, BLOCK_GROUPS, NODE_NONE, false);
    h = graph_conv(g, layer_name(full, name, "qkv"), h, 3 * channels, 1, 1, INIT_UNIFORM);
    h = graph_attention(g, h, heads_of(channels, head));
    h = graph_conv(g, layer_name(full, name, "o"), h, channels, 1, 1, INIT_ZERO);
    return graph_add(g, x, h);
}

node cross_attention_block(graph *g, const char *name, node x, node tokens, node mask,
                           int64_t head) {
    int64_t shape[4];
    char full[LAYER_NAME];
    graph_shape(g, x, shape);
    int64_t channels = shape[3];
    node h = graph_norm(g, layer_name(full, name, "n"), x, BLOCK_GROUPS, NODE_NONE, false);
    node q = graph_conv(g, layer_name(full, name, "q"), h, channels, 1, 1, INIT_UNIFORM);
    node kv = graph_conv(g, layer_name(full, name, "kv"), tokens, 2 * channels, 1, 1, INIT_UNIFORM);
    h = graph_cross_attention(g, q, kv, mask, heads_of(channels, head));
    h = graph_conv(g, layer_name(full, name, "o"), h, channels, 1, 1, INIT_ZERO);
    return graph_add(g, x, h);
}
