/* The layers of the denoiser. Their names follow the PyTorch modules that the network is compared
 * with (down.3.0.c1 ...), so that parameters can be copied by name. */
#include "model/net/unet.h"

#include "model/net/blocks.h"

#include <stdio.h>
#include <string.h>

/* Skip connections at most; channels of encoded codes. */
enum { SKIPS_MAX = 64, CODE_CHANNELS = 16 };

static const struct {
    const char *name;
    unet_config config;
} table[] = {
    [UNET_R64] = {"R64",
                  {.channels = 1,
                   .base = 64,
                   .levels = 4,
                   .mult = {1, 2, 2, 4},
                   .blocks = 2,
                   .attention = {16, 8},
                   .head = 32}},
    [UNET_R32] = {"R32",
                  {.channels = 1,
                   .base = 32,
                   .levels = 4,
                   .mult = {1, 2, 2, 4},
                   .blocks = 2,
                   .attention = {16, 8},
                   .head = 32}},
    [UNET_R16] = {"R16",
                  {.channels = 1,
                   .base = 16,
                   .levels = 3,
                   .mult = {1, 2, 2},
                   .blocks = 1,
                   .attention = {16},
                   .head = 32}},
};

const named_table unet_kinds = NAMED_TABLE("network", table);

unet_config unet_config_of(unet_kind kind) { return table[kind].config; }

/* What the functions below share while they describe a network. */
typedef struct builder {
    graph *g;
    const unet_config *c;
    node embedding;       /* SiLU of the time embedding with the conditions added */
    node text, text_mask; /* NODE_NONE: no text */
} builder;

/* The embedding of the input `name`. Its values 0..1 are scaled to 0..1000, the range of diffusion
 * times, so that the same frequencies resolve them. */
static node embed_share(graph *g, const unet_config *c, const char *name) {
    char full[LAYER_NAME];
    node p = graph_sinusoid(g, graph_input(g, name, TYPE_F32, 1, 1, 1), c->base, 1000.0);
    p = graph_linear(g, layer_name(full, name, "0"), p, 4 * c->base, INIT_UNIFORM);
    return graph_linear(g, layer_name(full, name, "2"), graph_silu(g, p), 4 * c->base,
                        INIT_UNIFORM);
}

/* The embedding of the time and of the conditions of a slice: one vector of 4 * base values. The
 * mean of the text's states is in it, for what a text says of the whole slice; attention tells
 * pixels what it says of places. */
static node embed(const builder *b) {
    graph *g = b->g;
    const unet_config *c = b->c;
    int64_t width = 4 * c->base;
    node e = graph_sinusoid(g, graph_input(g, "t", TYPE_F32, 1, 1, 1), c->base, 1.0);
    e = graph_linear(g, "t.0", e, width, INIT_UNIFORM);
    e = graph_linear(g, "t.2", graph_silu(g, e), width, INIT_UNIFORM);
    if (c->position) e = graph_add(g, e, embed_share(g, c, "position"));
    if (c->step_size) e = graph_add(g, e, embed_share(g, c, "d"));
    if (c->classes > 0) {
        node k = graph_input(g, "class", TYPE_F32, 1, 1, c->classes + 1);
        e = graph_add(g, e, graph_linear(g, "class.0", k, width, INIT_UNIFORM));
    }
    if (c->numbers > 0) {
        node n = graph_input(g, "numbers", TYPE_F32, 1, 1, 2 * c->numbers);
        n = graph_silu(g, graph_linear(g, "numbers.0", n, width, INIT_UNIFORM));
        e = graph_add(g, e, graph_linear(g, "numbers.2", n, width, INIT_UNIFORM));
    }
    if (b->text != NODE_NONE) {
        node m = graph_masked_mean(g, b->text, b->text_mask);
        m = graph_silu(g, graph_linear(g, "sentence.0", m, width, INIT_UNIFORM));
        e = graph_add(g, e, graph_linear(g, "sentence.2", m, width, INIT_UNIFORM));
    }
    return graph_silu(g, e);
}

/* Attention to the text behind the self-attention `name`; without text x as it is. */
static node text_block(const builder *b, const char *name, node x) {
    if (b->text == NODE_NONE) return x;
    return cross_attention_block(b->g, name, x, b->text, b->text_mask, b->c->head);
}

/* Whether there is attention at the resolution of x. */
static bool has_attention(const unet_config *c, node x, const graph *g) {
    int64_t shape[4];
    graph_shape(g, x, shape);
    for (int i = 0; i < UNET_LEVELS && c->attention[i]; i++)
        if (shape[1] == c->attention[i]) return true;
    return false;
}

/* Block `index` of a side ("down", "up"): a residual block, with attention to itself and to the
 * text behind it where the configuration has it at this resolution. */
static node stage(const builder *b, const char *side, int index, node x, int64_t out) {
    char name[LAYER_NAME / 2];
    snprintf(name, sizeof name, "%s.%d.0", side, index);
    x = residual_block(b->g, name, x, out, b->embedding, b->c->dropout);
    if (!has_attention(b->c, x, b->g)) return x;
    snprintf(name, sizeof name, "%s.%d.1", side, index);
    x = attention_block(b->g, name, x, b->c->head);
    snprintf(name, sizeof name, "%s.%d.2", side, index);
    return text_block(b, name, x);
}

/* The convolution that goes to the next level: stride 2 on the way down, 1 (after upsampling) on
 * the way up. */
static node resample(const builder *b, const char *side, int index, node x, int64_t channels,
                     int stride) {
    char name[LAYER_NAME / 2];
    snprintf(name, sizeof name, "%s.%d.0", side, index);
    return graph_conv(b->g, name, x, channels, 3, stride, INIT_UNIFORM);
}

/* x with the codes, encoded to its size, behind it. */
static node with_codes(graph *g, const unet_config *c, node x) {
    char name[LAYER_NAME];
    if (c->codes.bits == 0) return x;
    const int64_t side = c->size * c->codes.factor;
    node h = graph_input(g, "codes", TYPE_F32, side, side, c->codes.bits);
    int layer = 0;
    for (int64_t left = c->codes.factor; left > 1; left /= 2) {
        snprintf(name, sizeof name, "codes.%d", layer++);
        h = graph_silu(g, graph_conv(g, name, h, CODE_CHANNELS, 3, 2, INIT_UNIFORM));
    }
    return graph_concat(g, x, h);
}

node unet_build(graph *g, const unet_config *c) {
    builder b = {.g = g, .c = c, .text = NODE_NONE, .text_mask = NODE_NONE};
    node skips[SKIPS_MAX];
    int top = 0, down = 0, up = 0;
    if (c->text.tokens > 0) {
        b.text = graph_input(g, "text", TYPE_F32, c->text.tokens, 1, c->text.width);
        b.text_mask = graph_input(g, "text_mask", TYPE_F32, c->text.tokens, 1, 1);
    }
    b.embedding = embed(&b);
    node x = graph_input(g, "x", TYPE_F32, c->size, c->size, c->channels + c->labels);
    node h = graph_conv(g, "inp", with_codes(g, c, x), c->base, 3, 1, INIT_UNIFORM);
    skips[top++] = h;
    for (int level = 0; level < c->levels; level++) {
        int64_t channels = c->base * c->mult[level];
        for (int i = 0; i < c->blocks; i++) {
            graph_block(g);
            skips[top++] = h = stage(&b, "down", down++, h, channels);
        }
        graph_block(g);
        if (level + 1 < c->levels) skips[top++] = h = resample(&b, "down", down++, h, channels, 2);
    }
    int64_t deepest = c->base * c->mult[c->levels - 1];
    graph_block(g);
    h = residual_block(g, "m1", h, deepest, b.embedding, c->dropout);
    h = attention_block(g, "ma", h, c->head);
    h = text_block(&b, "mt", h);
    graph_block(g);
    h = residual_block(g, "m2", h, deepest, b.embedding, c->dropout);
    for (int level = c->levels - 1; level >= 0; level--) {
        int64_t channels = c->base * c->mult[level];
        for (int i = 0; i <= c->blocks; i++) {
            graph_block(g);
            h = stage(&b, "up", up++, graph_concat(g, h, skips[--top]), channels);
        }
        graph_block(g);
        if (level > 0) h = resample(&b, "up", up++, graph_upsample(g, h), channels, 1);
    }
    h = graph_norm(g, "on", h, BLOCK_GROUPS, NODE_NONE, true);
    return graph_conv(g, "oc", h, c->spread ? 2 : c->channels, 3, 1, INIT_ZERO);
}
