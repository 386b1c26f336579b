/* The embedding of slices by which the gate compares them: a small convolutional network that is
 * trained to tell apart the slices of a set whatever their augmentation (Dosovitskiy et al. 2014,
 * "Discriminative unsupervised feature learning with convolutional neural networks": each slice is
 * a class of its own). The loss needs one sample at a time, other than contrastive losses over
 * pairs in a batch (Chen et al. 2020), so that it does not depend on how a batch is divided among
 * ranks and micro-batches.
 *
 * Inputs: x [size, size, 1] in [-1, 1]; for training also class [1,1,1] and weight [1,1,1].
 */
#ifndef CTAUG_MODEL_NET_EMBEDNET_H
#define CTAUG_MODEL_NET_EMBEDNET_H

#include "model/nn/graph.h"

enum { EMBEDDING = 64 /* length of the vector */ };

typedef struct embednet_config {
    int64_t size;
    int64_t classes; /* slices to be told apart */
    int64_t base;    /* channels of the first level, a multiple of 8 */
} embednet_config;

typedef struct embednet_nodes {
    node embedding; /* [1, 1, EMBEDDING] */
    node loss;      /* [1,1,1] */
} embednet_nodes;

/* The layers before the norm: the vector [1, 1, width] of the input x [size, size, 1]. Local. */
node embednet_vector(graph *g, int64_t size, int64_t base, int64_t width);

/* Describes the network in g. Errors are reported by graph_check(). Local. */
embednet_nodes embednet_build(graph *g, const embednet_config *c);

#endif
