/* The layers of the denoiser. Their names follow the PyTorch modules that the network is compared
 * with (down.3.0.c1 ...), so that parameters can be copied by name. */
#include "model/net/unet.h"

#include <stdio.h>
#include <string.h>

/* Groups of a group norm, skip connections at most, bytes of a layer's name. */
enum { GROUPS = 8, SKIPS_MAX = 64, NAME = 64 };

static const struct {
    const char *name;
    unet_config config;
} table[] = {
    [UNET_R64] = {"R64",
                  {.base = 64,
                   .levels = 4,
                   .mult = {1, 2, 2, 4},
                   .blocks = 2,
                   .attention = {16, 8},
                   .head = 32}},
    [UNET_R32] = {"R32",
                  {.base = 32,
                   .levels = 4,
                   .mult = {1, 2, 2, 4},
                   .blocks = 2,
                   .attention = {16, 8},
                   .head = 32}},
    [UNET_R16] =
        {"R16",
         {.base = 16, .levels = 3, .mult = {1, 2, 2}, .blocks = 1, .attention = {16}, .head = 32}},
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

/* Writes "<prefix>.<layer>" to a buffer of NAME bytes and returns it. */
static const char *name_in(char out[NAME], const char *prefix, const char *layer) {
    snprintf(out, NAME, "%s.%s", prefix, layer);
    return out;
}

/* The embedding of the input `name`. Its values 0..1 are scaled to 0..1000, the range of diffusion
 * times, so that the same frequencies resolve them. */
static node embed_share(graph *g, const unet_config *c, const char *name) {
    char full[NAME];
    node p = graph_sinusoid(g, graph_input(g, name, TYPE_F32, 1, 1, 1), c->base, 1000.0);
    p = graph_linear(g, name_in(full, name, "0"), p, 4 * c->base, INIT_UNIFORM);
    return graph_linear(g, name_in(full, name, "2"), graph_silu(g, p), 4 * c->base, INIT_UNIFORM);
}

/* The embedding of the time and of the conditions of a slice: one vector of 4 * base values. */
static node embed(graph *g, const unet_config *c) {
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
    return graph_silu(g, e);
}

/* A residual block: norm, SiLU, conv; norm with scale-shift by the embedding, SiLU, dropout, conv;
 * the skip connection is added. */
static node residual_block(const builder *b, const char *name, node x, int64_t out) {
    graph *g = b->g;
    int64_t shape[4];
    char full[NAME];
    graph_shape(g, x, shape);
    /* The skip is described first, so that its gradient is computed last, when the memory-intensive
     * part of the block's backward pass is finished. */
    node skip = x;
    if (shape[3] != out)
        skip = graph_conv(g, name_in(full, name, "sk"), x, out, 1, 1, INIT_UNIFORM);
    node h = graph_norm(g, name_in(full, name, "n1"), x, GROUPS, NODE_NONE, true);
    h = graph_conv(g, name_in(full, name, "c1"), h, out, 3, 1, INIT_UNIFORM);
    node scale_shift =
        graph_linear(g, name_in(full, name, "e"), b->embedding, 2 * out, INIT_UNIFORM);
    h = graph_norm(g, name_in(full, name, "n2"), h, GROUPS, scale_shift, true);
    if (b->c->dropout > 0) h = graph_dropout(g, h, b->c->dropout);
    h = graph_conv(g, name_in(full, name, "c2"), h, out, 3, 1, INIT_ZERO);
    return graph_add(g, skip, h);
}

static int64_t heads_of(const builder *b, int64_t channels) {
    return channels / b->c->head > 0 ? channels / b->c->head : 1;
}

/* Group norm, multi-head self-attention over the pixels; the input is added. */
static node attention_block(const builder *b, const char *name, node x) {
    graph *g = b->g;
    int64_t shape[4];
    char full[NAME];
    graph_shape(g, x, shape);
    int64_t channels = shape[3];
    node h = graph_norm(g, name_in(full, name, "n"), x, GROUPS, NODE_NONE, false);
    h = graph_conv(g, name_in(full, name, "qkv"), h, 3 * channels, 1, 1, INIT_UNIFORM);
    h = graph_attention(g, h, heads_of(b, channels));
    h = graph_conv(g, name_in(full, name, "o"), h, channels, 1, 1, INIT_ZERO);
    return graph_add(g, x, h);
}

/* Group norm, multi-head attention of the pixels to the tokens of the text; the input is added.
 * Without text it is x. */
static node text_block(const builder *b, const char *name, node x) {
    graph *g = b->g;
    int64_t shape[4];
    char full[NAME];
    if (b->text == NODE_NONE) return x;
    graph_shape(g, x, shape);
    int64_t channels = shape[3];
    node h = graph_norm(g, name_in(full, name, "n"), x, GROUPS, NODE_NONE, false);
    node q = graph_conv(g, name_in(full, name, "q"), h, channels, 1, 1, INIT_UNIFORM);
    node kv = graph_conv(g, name_in(full, name, "kv"), b->text, 2 * channels, 1, 1, INIT_UNIFORM);
    h = graph_cross_attention(g, q, kv, b->text_mask, heads_of(b, channels));
    h = graph_conv(g, name_in(full, name, "o"), h, channels, 1, 1, INIT_ZERO);
    return graph_add(g, x, h);
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
    char name[NAME / 2];
    snprintf(name, sizeof name, "%s.%d.0", side, index);
    x = residual_block(b, name, x, out);
    if (!has_attention(b->c, x, b->g)) return x;
    snprintf(name, sizeof name, "%s.%d.1", side, index);
    x = attention_block(b, name, x);
    snprintf(name, sizeof name, "%s.%d.2", side, index);
    return text_block(b, name, x);
}

/* The convolution that goes to the next level: stride 2 on the way down, 1 (after upsampling) on
 * the way up. */
static node resample(const builder *b, const char *side, int index, node x, int64_t channels,
                     int stride) {
    char name[NAME / 2];
    snprintf(name, sizeof name, "%s.%d.0", side, index);
    return graph_conv(b->g, name, x, channels, 3, stride, INIT_UNIFORM);
}

node unet_build(graph *g, const unet_config *c) {
    builder b = {
        .g = g, .c = c, .embedding = embed(g, c), .text = NODE_NONE, .text_mask = NODE_NONE};
    node skips[SKIPS_MAX];
    int top = 0, down = 0, up = 0;
    node x = graph_input(g, "x", TYPE_F32, c->size, c->size, 1 + c->labels);
    if (c->text.tokens > 0) {
        b.text = graph_input(g, "text", TYPE_F32, c->text.tokens, 1, c->text.width);
        b.text_mask = graph_input(g, "text_mask", TYPE_F32, c->text.tokens, 1, 1);
    }
    node h = graph_conv(g, "inp", x, c->base, 3, 1, INIT_UNIFORM);
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
    h = residual_block(&b, "m1", h, deepest);
    h = attention_block(&b, "ma", h);
    h = text_block(&b, "mt", h);
    graph_block(g);
    h = residual_block(&b, "m2", h, deepest);
    for (int level = c->levels - 1; level >= 0; level--) {
        int64_t channels = c->base * c->mult[level];
        for (int i = 0; i <= c->blocks; i++) {
            graph_block(g);
            h = stage(&b, "up", up++, graph_concat(g, h, skips[--top]), channels);
        }
        graph_block(g);
        if (level > 0) h = resample(&b, "up", up++, graph_upsample(g, h), channels, 1);
    }
    h = graph_norm(g, "on", h, GROUPS, NODE_NONE, true);
    return graph_conv(g, "oc", h, c->spread ? 2 : 1, 3, 1, INIT_ZERO);
}
