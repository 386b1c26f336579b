/* The segmenter: a plain U-Net (Ronneberger et al. 2015) with group norm and SiLU, two convolutions
 * a level. The output of its deepest convolution, averaged over pixels, is the feature vector for
 * FID.
 *
 * Inputs: x [size, size, 1] in [-1, 1]; for training also labels u8 [size, size, 1] and weight
 * [1,1,1].
 */
#ifndef CTAUG_MODEL_NET_SEGNET_H
#define CTAUG_MODEL_NET_SEGNET_H

/* Names the loss (nn/ops/op_dice_ce.c) in fingerprints of trainings: another loss, another word. */
#define SEGNET_LOSS "cross-entropy - ln Dice"

#include "model/nn/graph.h"

typedef struct segnet_config {
    int64_t size;
    int64_t labels; /* classes, including background */
    int64_t base;   /* channels of the first level, a multiple of 8 */
} segnet_config;

typedef struct segnet_nodes {
    node logits;   /* [size, size, labels] */
    node features; /* [1, 1, dim]: means over pixels of the deepest convolution */
    node loss;     /* [1,1,1] */
} segnet_nodes;

/* Describes the network in g. Errors are reported by graph_check(). Local. */
segnet_nodes segnet_build(graph *g, const segnet_config *c);

/* Length of the feature vector. Local. */
int64_t segnet_feature_dim(const segnet_config *c);

#endif
