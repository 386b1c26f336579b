/* The pair of encoders that learns which text belongs to which slice (Radford et al. 2021): the
 * image encoder (the layers of model/net/embednet.h before its norm) and the text encoder
 * (model/net/text_encoder.h), each with a vector of the same width, and the learnt scale of
 * model/net/clip_loss.h.
 *
 * Inputs: x [size, size, 1] in [-1, 1]; tokens and mask of the text encoder; `zero` [1,1,1], which
 * is 0; and for training `gradient` [1, 1, 2 * width + 1], `value` and `weight` [1,1,1] of
 * graph_gradient_loss(). A batch of pairs is first run for the vectors of all pairs, from which
 * clip_loss() gives values and gradients, and then for its gradient.
 */
#ifndef CTAUG_MODEL_NET_IMAGE_TEXT_H
#define CTAUG_MODEL_NET_IMAGE_TEXT_H

#include "model/net/text_encoder.h"

/* Channels of the image encoder's first level; width of both vectors. */
enum { IMAGE_TEXT_BASE = 16, IMAGE_TEXT_WIDTH = 128 };

typedef struct image_text_nodes {
    node vectors; /* [1, 1, 2 * IMAGE_TEXT_WIDTH + 1]: of the image, of the text, and the logarithm
                     of the scale less CLIP_LOG_SCALE_START */
    node loss;    /* [1,1,1] */
} image_text_nodes;

/* The parameter that is that logarithm. */
#define IMAGE_TEXT_SCALE "log_scale.bias"

/* Describes both networks in g. Errors are reported by graph_check(). Local. */
image_text_nodes image_text_build(graph *g, int64_t size, int64_t vocabulary);

#endif
