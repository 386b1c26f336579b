/* Joins the vectors of both encoders to one, for the loss that the caller computes. */
#include "model/net/image_text.h"

#include "model/net/embednet.h"

image_text_nodes image_text_build(graph *g, int64_t size, int64_t vocabulary) {
    const text_encoder_config text = text_encoder_default(vocabulary, IMAGE_TEXT_WIDTH);
    const int64_t values = 2 * IMAGE_TEXT_WIDTH + 1;
    node image = embednet_vector(g, size, IMAGE_TEXT_BASE, IMAGE_TEXT_WIDTH);
    node sentence = text_encoder_build(g, &text).embedding;
    /* A number that is learnt: the bias of a layer whose input is 0. */
    node scale =
        graph_linear(g, "log_scale", graph_input(g, "zero", TYPE_F32, 1, 1, 1), 1, INIT_ZERO);
    node vectors = graph_concat(g, graph_concat(g, image, sentence), scale);
    node gradient = graph_input(g, "gradient", TYPE_F32, 1, 1, values);
    node value = graph_input(g, "value", TYPE_F32, 1, 1, 1);
    node weight = graph_input(g, "weight", TYPE_F32, 1, 1, 1);
    return (image_text_nodes){.vectors = vectors,
                              .loss = graph_gradient_loss(g, vectors, gradient, value, weight)};
}
