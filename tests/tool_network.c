/* For tests/test_weights.py: one forward pass of a network with the parameters of a file. Usage:
 * tool_network unet|generator|discriminator|segnet WEIGHTS SIZE LABELS INPUTS OUT. The networks are
 * those of a study with model.net R16 and evaluate.base 16; LABELS: channels of the maps (unet,
 * generator, discriminator) or classes (segnet). INPUTS: raw f32, the inputs one after the other,
 * channels last; OUT: raw f32. The output of a discriminator is
 * its loss. */
#include "io/file.h"
#include "model/net/gan.h"
#include "model/net/segnet.h"
#include "model/nn/kernels.h"
#include "model/nn/plan.h"
#include "pipeline/common/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct network {
    graph *g;
    params *params;
    plan *plan;
    node out;
    gan_graph gan;         /* its graph is g */
    const char *inputs[8]; /* in the order of INPUTS; NULL ends the list */
} network;

static const char *const of_unet[] = {"x", "t", "position", "class", NULL};
static const char *const of_discriminator[] = {"image", "labels", "sign", "weight", NULL};

static status take_gan(status (*describe)(const unet_config *, gan_graph *), const unet_config *c,
                       network *n) {
    graph_destroy(n->g);
    status st = describe(c, &n->gan);
    n->g = n->gan.g;
    return st;
}

/* The graph of a network for inference. */
static status describe(const char *kind, int64_t size, int64_t labels, network *n) {
    status st = ST_OK;
    TRY(graph_create(&n->g));
    unet_config c = unet_config_of(UNET_R16);
    c.size = size;
    c.labels = labels;
    c.classes = 2;
    c.position = true;
    memcpy(n->inputs, of_unet, sizeof of_unet);
    if (strcmp(kind, "unet") == 0) {
        n->out = unet_build(n->g, &c);
    } else if (strcmp(kind, "generator") == 0) {
        TRY(take_gan(gan_describe_training, &c, n));
        n->out = n->gan.image;
    } else if (strcmp(kind, "segnet") == 0) {
        const segnet_config s = {.size = size, .base = 16, .labels = labels};
        n->out = segnet_build(n->g, &s).logits;
        n->inputs[1] = NULL;
    } else if (strcmp(kind, "discriminator") == 0) {
        TRY(take_gan(gan_describe_discriminator, &c, n));
        n->out = n->gan.loss;
        memcpy(n->inputs, of_discriminator, sizeof of_discriminator);
    } else {
        TRY(status_fail(ST_USAGE, "no network %s", kind));
    }
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

static status run(char **argv) {
    status st = ST_OK;
    network n = {0};
    char *data = NULL;
    int64_t bytes = 0;
    TRY(describe(argv[1], atoll(argv[3]), atoll(argv[4]), &n));
    TRY(params_create(n.g, &n.params));
    TRY(weights_read(argv[2], n.params));
    plan_options options = {
        .engine = kernels_of(ENGINE_ONEDNN), .batch = 1, .outputs = &n.out, .output_count = 1};
    TRY(plan_create(n.g, n.params, &options, &n.plan));
    TRY(file_read(argv[5], (int64_t)1 << 30, &data, &bytes));
    TRY(fill(&n, data, bytes));
    TRY(plan_forward(n.plan, NULL));
    const tensor out = plan_output(n.plan, n.out);
    TRY(file_write_atomic(argv[6], out.at, 4 * tensor_count(&out)));
done:
    free(data);
    plan_destroy(n.plan);
    params_destroy(n.params);
    graph_destroy(n.g);
    return st;
}

int main(int argc, char **argv) {
    status st = argc == 7 ? run(argv) : ST_USAGE;
    if (st != ST_OK) fprintf(stderr, "%s\n", status_message());
    return st;
}
