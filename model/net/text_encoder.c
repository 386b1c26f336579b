/* The layers of the text encoder. Linear layers of tokens are convolutions with kernel 1. */
#include "model/net/text_encoder.h"

#include <stdio.h>

enum { NAME = 32 };

text_encoder_config text_encoder_default(int64_t vocabulary, int64_t embedding) {
    return (text_encoder_config){.tokens = 96,
                                 .vocabulary = vocabulary,
                                 .width = 256,
                                 .head = 64,
                                 .blocks = 4,
                                 .embedding = embedding};
}

/* Writes "text.<block>.<layer>" to a buffer of NAME bytes and returns it. */
static const char *name_in(char out[NAME], int block, const char *layer) {
    snprintf(out, NAME, "text.%d.%s", block, layer);
    return out;
}

static node attention(graph *g, const text_encoder_config *c, int block, node x, node mask) {
    char name[NAME];
    node h = graph_layer_norm(g, name_in(name, block, "n1"), x);
    node q = graph_conv(g, name_in(name, block, "q"), h, c->width, 1, 1, INIT_UNIFORM);
    node kv = graph_conv(g, name_in(name, block, "kv"), h, 2 * c->width, 1, 1, INIT_UNIFORM);
    h = graph_cross_attention(g, q, kv, mask, c->head > 0 ? c->width / c->head : 0);
    h = graph_conv(g, name_in(name, block, "o"), h, c->width, 1, 1, INIT_UNIFORM);
    return graph_add(g, x, h);
}

static node layers(graph *g, const text_encoder_config *c, int block, node x) {
    char name[NAME];
    node h = graph_layer_norm(g, name_in(name, block, "n2"), x);
    h = graph_conv(g, name_in(name, block, "up"), h, 4 * c->width, 1, 1, INIT_UNIFORM);
    h = graph_silu(g, h);
    h = graph_conv(g, name_in(name, block, "down"), h, c->width, 1, 1, INIT_UNIFORM);
    return graph_add(g, x, h);
}

text_encoder_nodes text_encoder_build(graph *g, const text_encoder_config *c) {
    node tokens = graph_input(g, "tokens", TYPE_F32, c->tokens, 1, 1);
    node mask = graph_input(g, "mask", TYPE_F32, c->tokens, 1, 1);
    node h = graph_embedding(g, "text.embed", tokens, c->vocabulary, c->width);
    for (int block = 0; block < c->blocks; block++) {
        graph_block(g);
        h = attention(g, c, block, h, mask);
        h = layers(g, c, block, h);
    }
    graph_block(g);
    node states = graph_layer_norm(g, "text.n", h);
    node mean = graph_masked_mean(g, states, mask);
    return (text_encoder_nodes){.states = states,
                                .embedding =
                                    graph_linear(g, "text.pool", mean, c->embedding, INIT_UNIFORM)};
}
