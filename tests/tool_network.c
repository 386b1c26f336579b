/* For tests/test_weights.py and test_weights_latent.py: one forward pass of a network with the
 * parameters of a file. Usage: tool_network NETWORK WEIGHTS INPUTS OUT [NAME=NUMBER...].
 *
 * INPUTS: raw f32, the inputs one after the other, channels last; OUT: the outputs in the same way.
 * The settings NAME=NUMBER are 0 if they are not given:
 *
 *   unet              size, labels (channels of the maps), channels (0: 1), bits and factor (of
 *                     codes), tokens and width (of a text), numbers, step_size, spread; the rest is
 *                     that of a study with model.net R16
 *   generator         size, labels
 *   discriminator     size, labels; the output is its loss
 *   segnet            size, labels (classes); evaluate.base is 16
 *   encoder, decoder  size, factor, channels (of the latents), base, blocks; the output of the
 *                     encoder are its moments
 *   text              tokens, vocabulary, width, head, blocks, embedding; outputs: states, vector
 */
#include "io/file.h"
#include "model/net/autoencoder.h"
#include "model/net/gan.h"
#include "model/net/segnet.h"
#include "model/net/text_encoder.h"
#include "model/nn/kernels.h"
#include "model/nn/plan.h"
#include "pipeline/common/weights_file.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    int64_t size, labels, channels, bits, factor, tokens, width, step_size, spread, base, blocks;
    int64_t vocabulary, head, embedding, numbers;
} settings;

#define SETTING(name)                                                                              \
    { #name, offsetof(settings, name) }
static const struct {
    const char *name;
    size_t at;
} table[] = {SETTING(size),   SETTING(labels),    SETTING(channels), SETTING(bits),
             SETTING(factor), SETTING(tokens),    SETTING(width),    SETTING(step_size),
             SETTING(spread), SETTING(base),      SETTING(blocks),   SETTING(vocabulary),
             SETTING(head),   SETTING(embedding), SETTING(numbers)};

enum { SETTINGS = sizeof table / sizeof *table, INPUTS_MAX = 8, OUTPUTS_MAX = 2 };

typedef struct network {
    graph *g;
    params *params;
    plan *plan;
    node outputs[OUTPUTS_MAX];
    int output_count;
    const char *inputs[INPUTS_MAX + 1]; /* in the order of INPUTS; NULL ends the list */
} network;

static status parse(const char *word, settings *out) {
    const char *number = strchr(word, '=');
    for (int i = 0; number && i < SETTINGS; i++) {
        const size_t n = strlen(table[i].name);
        if (n != (size_t)(number - word) || strncmp(word, table[i].name, n) != 0) continue;
        *(int64_t *)((char *)out + table[i].at) = atoll(number + 1);
        return ST_OK;
    }
    return status_fail(ST_USAGE, "no setting %s", word);
}

static void add_input(network *n, const char *name) {
    int k = 0;
    while (n->inputs[k]) k++;
    n->inputs[k] = name;
}

static void add_output(network *n, node out) { n->outputs[n->output_count++] = out; }

static unet_config unet_of(const settings *s) {
    unet_config c = unet_config_of(UNET_R16);
    c.size = s->size;
    if (s->channels > 0) c.channels = s->channels;
    c.labels = s->labels;
    c.classes = 2;
    c.position = true;
    c.step_size = s->step_size != 0;
    c.spread = s->spread != 0;
    c.numbers = s->numbers;
    c.text = (unet_text){.tokens = s->tokens, .width = s->width};
    c.codes = (unet_codes){.bits = s->bits, .factor = s->factor};
    return c;
}

static status describe_unet(const settings *s, network *n) {
    status st = ST_OK;
    const unet_config c = unet_of(s);
    TRY(graph_create(&n->g));
    add_output(n, unet_build(n->g, &c));
    if (c.numbers > 0) add_input(n, "numbers");
    if (c.step_size) add_input(n, "d");
    if (c.codes.bits > 0) add_input(n, "codes");
    if (c.text.tokens > 0) {
        add_input(n, "text");
        add_input(n, "text_mask");
    }
done:
    return st;
}

static status describe_generator(const settings *s, network *n) {
    gan_graph made;
    const unet_config c = unet_of(s);
    status st = gan_describe_training(&c, &made);
    n->g = made.g;
    add_output(n, made.image);
    return st;
}

static status describe_discriminator(const settings *s, network *n) {
    gan_graph made;
    const unet_config c = unet_of(s);
    status st = gan_describe_discriminator(&c, &made);
    n->g = made.g;
    add_output(n, made.loss);
    return st;
}

static status describe_segnet(const settings *s, network *n) {
    status st = ST_OK;
    const segnet_config c = {.size = s->size, .base = 16, .labels = s->labels};
    TRY(graph_create(&n->g));
    add_output(n, segnet_build(n->g, &c).logits);
done:
    return st;
}

static autoencoder_config autoencoder_of(const settings *s) {
    return (autoencoder_config){.size = s->size,
                                .factor = s->factor,
                                .z = s->channels,
                                .base = s->base,
                                .blocks = (int)s->blocks};
}

static status describe_encoder(const settings *s, network *n) {
    autoencoder_graph made;
    const autoencoder_config c = autoencoder_of(s);
    status st = autoencoder_describe_encoder(&c, &made);
    n->g = made.g;
    add_output(n, made.moments);
    return st;
}

static status describe_decoder(const settings *s, network *n) {
    autoencoder_graph made;
    const autoencoder_config c = autoencoder_of(s);
    status st = autoencoder_describe_decoder(&c, &made);
    n->g = made.g;
    add_output(n, made.image);
    return st;
}

static status describe_text(const settings *s, network *n) {
    status st = ST_OK;
    const text_encoder_config c = {.tokens = s->tokens,
                                   .vocabulary = s->vocabulary,
                                   .width = s->width,
                                   .head = s->head,
                                   .blocks = (int)s->blocks,
                                   .embedding = s->embedding};
    TRY(graph_create(&n->g));
    const text_encoder_nodes made = text_encoder_build(n->g, &c);
    add_output(n, made.states);
    add_output(n, made.embedding);
done:
    return st;
}

/* The networks, and those of their inputs that no setting leaves out. */
static const struct {
    const char *name;
    status (*describe)(const settings *, network *);
    const char *inputs[INPUTS_MAX];
} networks[] = {{"unet", describe_unet, {"x", "t", "position", "class"}},
                {"generator", describe_generator, {"x", "t", "position", "class"}},
                {"discriminator", describe_discriminator, {"image", "labels", "sign", "weight"}},
                {"segnet", describe_segnet, {"x"}},
                {"encoder", describe_encoder, {"image"}},
                {"decoder", describe_decoder, {"latent"}},
                {"text", describe_text, {"tokens", "mask"}}};

enum { NETWORKS = sizeof networks / sizeof *networks };

/* The graph of a network for inference. */
static status describe(const char *name, const settings *s, network *n) {
    status st = ST_OK;
    int k = 0;
    while (k < NETWORKS && strcmp(networks[k].name, name) != 0) k++;
    if (k == NETWORKS) TRY(status_fail(ST_USAGE, "no network %s", name));
    for (int i = 0; networks[k].inputs[i]; i++) add_input(n, networks[k].inputs[i]);
    TRY(networks[k].describe(s, n));
    TRY(graph_check(n->g));
done:
    return st;
}

static status fill(const network *n, const char *data, int64_t bytes) {
    status st = ST_OK;
    int64_t at = 0;
    for (int i = 0; n->inputs[i]; i++) {
        tensor in;
        TRY(plan_input(n->plan, n->inputs[i], &in));
        const int64_t values = tensor_count(&in);
        if (at + 4 * values > bytes)
            TRY(status_fail(ST_INPUT, "the inputs end at %s", n->inputs[i]));
        memcpy(in.at, data + at, (size_t)values * 4);
        at += 4 * values;
    }
    if (at != bytes) st = status_fail(ST_INPUT, "the inputs have more than the network takes");
done:
    return st;
}

static status write_outputs(const network *n, const char *path) {
    status st = ST_OK;
    FILE *f = fopen(path, "wb");
    for (int i = 0; f && i < n->output_count; i++) {
        const tensor out = plan_output(n->plan, n->outputs[i]);
        const size_t values = (size_t)tensor_count(&out);
        if (fwrite(out.at, 4, values, f) != values)
            st = status_fail(ST_STORAGE, "%s: not written", path);
    }
    if (!f || fclose(f) != 0) st = status_fail(ST_STORAGE, "%s: not written", path);
    return st;
}

static status run(int argc, char **argv) {
    status st = ST_OK;
    network n = {0};
    settings s = {0};
    char *data = NULL;
    int64_t bytes = 0;
    for (int i = 5; i < argc; i++) TRY(parse(argv[i], &s));
    TRY(describe(argv[1], &s, &n));
    TRY(params_create(n.g, &n.params));
    TRY(weights_read(argv[2], n.params));
    plan_options options = {.engine = kernels_of(ENGINE_ONEDNN),
                            .batch = 1,
                            .outputs = n.outputs,
                            .output_count = n.output_count};
    TRY(plan_create(n.g, n.params, &options, &n.plan));
    TRY(file_read(argv[3], (int64_t)1 << 30, &data, &bytes));
    TRY(fill(&n, data, bytes));
    TRY(plan_forward(n.plan, NULL));
    TRY(write_outputs(&n, argv[4]));
done:
    free(data);
    plan_destroy(n.plan);
    params_destroy(n.params);
    graph_destroy(n.g);
    return st;
}

int main(int argc, char **argv) {
    status st = argc >= 5 ? run(argc, argv) : ST_USAGE;
    if (st != ST_OK) fprintf(stderr, "%s\n", status_message());
    return st;
}
